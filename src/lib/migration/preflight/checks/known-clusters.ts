import type {ConfigDump} from '../../../pegasus/config-dump.js'
import {nounOf} from '../../../plural.js'
import {canonical, isAddress, splitAddresses, strangers} from '../addresses.js'
import type {Check, Finding, PreflightFacts} from '../check.js'
import {duplicationName, metaAddresses} from '../clusters.js'
import {clusterIds, configuredMetas, isOn} from '../settings.js'
import {error, everyone, figuresOf, groupedBy, listed, ok, warning} from '../wording.js'

/** Something in the configuration file of one server that stands in the way. */
interface Problem {
  address: string
  severity: 'error' | 'warning'
  text: string
}

function verdict(problems: Problem[], remedy: string, allWell: string): Finding {
  if (problems.length === 0) return ok(allWell)
  const evidence = groupedBy(
    problems,
    ({text}) => text,
    ({address}) => address,
  )
  return problems.some(({severity}) => severity === 'error') ? error(evidence, remedy) : warning(evidence, remedy)
}

/** What `[pegasus.clusters] <target>` of one source server says, compared with the target's metas. */
function addressProblems(facts: PreflightFacts, dump: ConfigDump): Array<Omit<Problem, 'address'>> {
  const {targetCluster} = facts.request
  const text = configuredMetas(dump, targetCluster)
  if (text === undefined) return [{severity: 'error', text: `[pegasus.clusters] has no ${targetCluster}`}]
  const entries = splitAddresses(text)
  const bad = entries.filter((entry) => !isAddress(entry))
  if (bad.length > 0)
    return [{severity: 'error', text: `[pegasus.clusters] ${targetCluster} has ${listed(bad)}, which is not host:port`}]
  const unknown = strangers(facts, entries, metaAddresses(facts.target))
  if (unknown.length === entries.length) {
    return [{severity: 'error', text: `[pegasus.clusters] ${targetCluster} = ${text} names none of the target's metas`}]
  }

  const problems: Array<Omit<Problem, 'address'>> = []
  if (unknown.length > 0)
    problems.push({
      severity: 'warning',
      text: `[pegasus.clusters] ${targetCluster} names ${listed(unknown)}, which is no meta of the target`,
    })
  const byName = entries.filter((entry) => !/^[\d.]+:/.test(entry))
  if (byName.length > 0 && facts.source.generation !== 'master') {
    problems.push({
      severity: 'warning',
      text: `[pegasus.clusters] ${targetCluster} has host names (${listed(byName)}) where ${facts.source.generation} wants ip:port`,
    })
  }

  return problems
}

function groupProblems(dump: ConfigDump, clusters: string[]): Array<Omit<Problem, 'address'>> {
  const ids = clusterIds(dump)
  return clusters
    .filter((name) => !ids.has(name))
    .map((name) => ({severity: 'error', text: `[duplication-group] has no ${name}`}))
}

/** The clusters whose ids a source server needs; master may leave out the others' (protocol.md §3.9). */
function neededIds(facts: PreflightFacts, dump: ConfigDump): string[] {
  const own = duplicationName(facts.source)
  return isOn(dump, 'dup_ignore_other_cluster_ids') ? [own] : [own, facts.request.targetCluster]
}

/** What a meta or replica server of the source needs in order to duplicate to the target. */
function sourceProblems(facts: PreflightFacts, dump: ConfigDump): Array<Omit<Problem, 'address'>> {
  const disabled = dump.get('replication', 'duplication_enabled')?.trim() === 'false'
  return [
    ...(disabled ? [{severity: 'error' as const, text: '[replication] duplication_enabled is false'}] : []),
    ...groupProblems(dump, neededIds(facts, dump)),
    ...addressProblems(facts, dump),
  ]
}

const remedySource = (facts: PreflightFacts) =>
  `write [duplication-group] ${facts.request.targetCluster} = <id> and [pegasus.clusters] ${facts.request.targetCluster} =` +
  ` ${facts.request.targetMetas.join(',')} into the configuration file of each and restart it`

const sourceMetasKnowTarget: Check = {
  id: 'source-metas-know-target',
  needs: ['source.info', 'target.info'],
  run(facts) {
    const {source} = facts
    const leader = canonical(facts, source.info.primaryMetaServer)
    const problems = source.metas.flatMap(({address, dump, error: silence}): Problem[] => {
      if (!dump) {
        const severity = canonical(facts, address) === leader ? 'error' : 'warning'
        return [{address, severity, text: `configuration not read (${silence?.message ?? 'no answer'})`}]
      }

      return sourceProblems(facts, dump).map((problem) => ({...problem, address}))
    })
    const well = `${everyone(source.metas.length, 'meta')} of the source ${nounOf(source.metas.length, 'knows', 'know')} ${facts.request.targetCluster}: its id and its metas`
    return verdict(problems, remedySource(facts), well)
  },
  title: "the source's metas know the target",
}

const sourceServersKnowTarget: Check = {
  id: 'source-servers-know-target',
  needs: ['source.nodes', 'source.configuration', 'target.info'],
  run(facts) {
    const servers = [...facts.source.servers, ...facts.source.otherServers]
    const problems = servers.flatMap((server): Problem[] => {
      const {address, dump, failures, unreachable} = server
      // A server that hosts nothing today matters when a failover brings a replica there.
      const bound = (severity: Problem['severity']) => (facts.source.servers.includes(server) ? severity : 'warning')
      if (!dump) {
        const why = failures.get('dump')?.message ?? unreachable ?? 'no answer'
        return [{address, severity: bound('error'), text: `configuration not read (${why})`}]
      }

      return sourceProblems(facts, dump).map(({severity, text}) => ({address, severity: bound(severity), text}))
    })
    const well = `${everyone(servers.length, 'server')} of the source ${nounOf(servers.length, 'knows', 'know')} ${facts.request.targetCluster}: its id and its metas`
    return verdict(problems, `${remedySource(facts)}: a server without them aborts when it begins to ship`, well)
  },
  title: "the source's replica servers know the target",
}

const targetKnowsSource: Check = {
  id: 'target-knows-source',
  needs: ['source.info', 'target.info', 'target.nodes'],
  run(facts) {
    const {source, target} = facts
    const names = {source: duplicationName(source), target: duplicationName(target)}
    const problems = target.servers.flatMap(({address, alive, dump, failures, unreachable}): Problem[] => {
      if (!dump) {
        const why = failures.get('dump')?.message ?? unreachable ?? 'no answer'
        return [{address, severity: alive ? 'error' : 'warning', text: `configuration not read (${why})`}]
      }

      const needed = isOn(dump, 'dup_ignore_other_cluster_ids') ? [names.target] : [names.source, names.target]
      return groupProblems(dump, needed).map((problem) => ({...problem, address}))
    })
    return verdict(
      problems,
      `write [duplication-group] ${names.source} = <its id on the source> into the configuration file of every target server and restart it:` +
        ' a target server that does not know the id makes the replica server of the source abort',
      `${everyone(target.servers.length, 'server')} of the target ${nounOf(target.servers.length, 'knows', 'know')} the id of ${names.source}`,
    )
  },
  title: "every target server knows the source's cluster id",
}

const clusterIdsAgree: Check = {
  id: 'cluster-ids',
  needs: ['source.info', 'target.info'],
  run(facts) {
    const {source, target} = facts
    const named = [...source.metas, ...source.servers, ...source.otherServers, ...target.metas, ...target.servers]
    const dumps = named.flatMap(({address, dump}) => (dump ? [{address, ids: clusterIds(dump)}] : []))
    const told = [duplicationName(source), facts.request.targetCluster].map((name) => ({
      found: dumps.flatMap(({address, ids}) => (ids.has(name) ? [{address, id: ids.get(name)!}] : [])),
      name,
    }))
    const evidence = told
      .map(
        ({found, name}) =>
          `${name}: ${
            found.length > 0
              ? figuresOf(
                  found,
                  ({id}) => `${id}`,
                  ({address}) => address,
                )
              : 'no id'
          }`,
      )
      .join('; ')
    const remedy =
      'give each cluster one id of 1 to 127, the same in the configuration files of both clusters, and restart what was changed'
    const outside = told.some(({found}) => found.some(({id}) => !Number.isInteger(id) || id < 1 || id > 127))
    const split = told.some(({found}) => new Set(found.map(({id}) => id)).size > 1)
    const [own, other] = told.map(({found}) => new Set(found.map(({id}) => id)))
    const shared = [...own!].some((id) => other!.has(id))
    if (outside || split || shared)
      return error(
        `${evidence}: ${outside ? 'not 1 to 127' : split ? 'not the same everywhere' : 'one id for both'}`,
        remedy,
      )
    if (dumps.length === 0) return error('no configuration could be read', remedy)
    return ok(evidence)
  },
  title: 'the cluster ids are the same everywhere',
}

export const knownClusterChecks = [sourceMetasKnowTarget, sourceServersKnowTarget, targetKnowsSource, clusterIdsAgree]
