import {plural} from '../../../plural.js'
import {strangers} from '../addresses.js'
import type {Check, MetaFacts, PreflightFacts, ServerFacts} from '../check.js'
import {releaseOf} from '../gather-side.js'
import {error, figuresOf, listed, named, ok, warning} from '../wording.js'

const sourceCluster: Check = {
  id: 'source-cluster',
  needs: ['source.info'],
  run({source}) {
    const {clusterName, primaryMetaServer} = source.info
    const others = source.metas.filter(({dump}) => dump && dump.get('replication', 'cluster_name') !== clusterName)
    if (others.length > 0) {
      return error(
        `not metas of ${clusterName}: ${named(others)}`,
        'name the metas of one cluster only with --source-meta',
      )
    }

    const silent = source.metas.filter(({error: silence}) => silence)
    if (silent.length > 0) {
      return warning(
        `of the metas of ${clusterName}, these do not answer: ${listed(silent.map((meta) => reasonOf(meta)))}`,
        'start them: while no meta leader lives the whole cluster refuses reads and writes',
      )
    }

    const metas = named(source.metas)
    return ok(`${clusterName}, led by ${primaryMetaServer}, metas ${metas}`)
  },
  title: "the source's metas answer and have a leader",
}

const reasonOf = ({address, error: silence}: MetaFacts) => `${address} (${silence?.message ?? ''})`

const sourceServers: Check = {
  id: 'source-servers',
  needs: ['source.nodes'],
  run({source}) {
    const silent = source.servers.filter((server) => troubleOf(server) !== undefined)
    if (silent.length > 0) {
      return error(
        `servers that host the table cannot be asked: ${listed(
          silent.map((server) => withTrouble(server)),
          3,
        )}`,
        'repair or start them (HTTP must be on: [http] enable_http_server), or let the cluster move their replicas away',
      )
    }

    const idle = [
      ...source.nodes.filter(({alive}) => !alive).map(({address}) => `${address} (listed unalive)`),
      ...source.otherServers.filter((server) => troubleOf(server) !== undefined).map((server) => withTrouble(server)),
    ]
    if (idle.length > 0) {
      return warning(
        `servers that host no replica of the table do not answer: ${listed(idle)}`,
        'start them or take them out, so that a failover finds room',
      )
    }

    const hosting = plural(source.servers.length, 'server')
    return ok(`${hosting} of ${source.nodes.length} host the table, all alive and answering RPC and HTTP`)
  },
  title: 'every server that hosts the table is alive and can be asked',
}

/** Why the server cannot be asked; its version stands for HTTP. */
function troubleOf({failures, unreachable}: ServerFacts): string | undefined {
  const questions = ['version', 'contact', 'replicas', 'dump'] as const
  return unreachable ?? questions.map((question) => failures.get(question)?.message).find(Boolean)
}

const withTrouble = (server: ServerFacts) => `${server.address} (${troubleOf(server)})`

const levels: Record<string, string> = {
  lively: 'the balancer may move primaries; the migration sets steady and puts lively back afterwards',
  steady: 'the balancer is off',
}

const sourceMetaLevel: Check = {
  id: 'source-meta-level',
  needs: ['source.info'],
  run({source}) {
    const level = source.info.metaFunctionLevel
    const meaning = levels[level]
    if (meaning) return ok(`${level}: ${meaning}`)
    return warning(
      `the level is ${level || 'not told'}: a partition whose primary dies would stay without one`,
      'set it to steady before the migration (set_meta_level steady)',
    )
  },
  title: "the source's metas may replace a dead primary",
}

const versions: Check = {
  id: 'versions',
  needs: ['source.info', 'target.info'],
  run(facts) {
    const {source, target} = facts
    const told = [
      {all: [...source.metas, ...source.servers, ...source.otherServers], name: source.info.clusterName},
      {all: [...target.metas, ...target.servers], name: target.info.clusterName},
    ].map(({all, name}) => ({
      name,
      servers: all.filter(({version}) => version !== ''),
      silent: all.filter(({version}) => version === ''),
    }))
    const evidence = told.map(({name, servers}) => `${name}: ${versionsOf(servers)}`).join('. ')
    const old = told.flatMap(({servers}) => servers).filter(({version}) => (releaseOf(version) ?? 0) < 2.4)
    if (old.length > 0) {
      return error(
        `${evidence}. Too old or unknown: ${versionsOf(old)}`,
        'upgrade to 2.4 or later: older servers cannot copy a checkpoint to another cluster',
      )
    }

    const mixed = told.filter(({servers}) => new Set(servers.map(({version}) => releaseOf(version))).size > 1)
    if (mixed.length > 0) {
      return error(
        `${evidence}. Servers of different releases in ${mixed.map(({name}) => name).join(' and ')}`,
        'finish the upgrade first: how a drain is proved differs between releases',
      )
    }

    const traps = trapsOf(facts)
    const silent = told.flatMap((side) => side.silent)
    if (silent.length > 0) traps.push(`not told by ${named(silent)}`)
    const builds = told.filter(({servers}) => new Set(servers.map(({version}) => version)).size > 1)
    if (builds.length > 0) traps.push(`different builds in ${builds.map(({name}) => name).join(' and ')}`)
    return traps.length === 0
      ? ok(evidence)
      : warning(
          `${evidence}. ${traps.join('. ')}`,
          'nothing to mend; make sure of it, and keep it in mind if something hangs',
        )
  },
  title: 'the versions of all servers are known to work',
}

const versionOf = ({version}: {version: string}) => version
const addressOf = ({address}: {address: string}) => address
const versionsOf = (servers: ReadonlyArray<{address: string; version: string}>) =>
  servers.length === 0 ? 'no version told' : figuresOf(servers, versionOf, addressOf)

/** What is known to be different about servers of a generation. */
function trapsOf({source, target}: PreflightFacts): string[] {
  const traps: string[] = []
  if (source.generation === '2.4') {
    traps.push('2.4: its timers cannot be changed at run time, and its behaviour is known from its source only')
  }

  const byName = source.info.metaServers.filter((address) => !/^[\d.]+:/.test(address))
  if (source.generation === 'master' && byName.length > 0) {
    traps.push(`every target server must be able to resolve ${listed(byName)}, as the source's metas name themselves`)
  }

  if (source.generation === 'master' && target.generation !== 'master') {
    traps.push(
      `master to ${target.generation}: when the reply to the table's creation is lost, the duplication stays in DS_PREPARE` +
        " until the target's table is dropped",
    )
  }

  return traps
}

const bothClusters: Check = {
  id: 'different-clusters',
  needs: ['source.info', 'target.info'],
  run(facts) {
    const {source, target} = facts
    const targets = [...facts.request.targetMetas, ...target.info.metaServers]
    const own = [...facts.request.sourceMetas, ...source.info.metaServers]
    const shared = targets.filter((address) => !strangers(facts, [address], own).includes(address))
    if (shared.length > 0) {
      return error(
        `${listed([...new Set(shared)])} is a meta of the source and of the target`,
        'name the metas of the other cluster with --meta',
      )
    }

    const places = [source, target].map(({info}) => `${info.zookeeperHosts} ${info.zookeeperRoot}`)
    if (places[0] === places[1] && source.info.zookeeperRoot !== '') {
      return error(
        `both keep their state in ${places[0]}: it is one cluster`,
        'name the metas of the other cluster with --meta',
      )
    }

    return ok(`${source.info.clusterName} and ${target.info.clusterName} share no meta and no ZooKeeper root`)
  },
  title: 'source and target are two clusters',
}

export const sourceClusterChecks = [sourceCluster, bothClusters, versions, sourceServers, sourceMetaLevel]
