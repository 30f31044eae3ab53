import {messageOf} from '../../../errors.js'
import {plural} from '../../../plural.js'
import {isAddress, strangers} from '../addresses.js'
import type {Check, PreflightFacts, ProxyFacts} from '../check.js'
import {duplicationName, isResume, metaAddresses, namesOf, nodeNamesTarget} from '../clusters.js'
import {confirm, error, listed, named, ok, skipped, warning} from '../wording.js'
import {shellQuote} from '../../../shell-quote.js'

const NO_ROOT = 'no --root: no metaproxy node is switched, the applications are moved by hand'

const metaproxyNode: Check = {
  id: 'metaproxy-node',
  needs: ['source.info'],
  run(facts) {
    const {metaproxy, request, source} = facts
    if (!request.metaproxy) return skipped(NO_ROOT)
    const place = `${request.metaproxy.root}/${request.table} on ${request.metaproxy.hosts}`
    if (!metaproxy?.node) {
      return error(
        `${place} could not be read: ${metaproxy?.error?.message ?? 'no ZooKeeper was asked'}`,
        'correct --node and --root, start ZooKeeper, or create the node',
      )
    }

    const {data, path, version} = metaproxy.node
    const found = `${path} (version ${version}) names ${data.clusterName} with metas ${listed(data.metaAddresses)}`
    if (nodeNamesTarget(facts)) {
      if (isResume(facts)) return ok(`ours: ${found}: an earlier run has switched it already`)
      return error(
        `${found}: that is the target already, switched by somebody or half finished`,
        `see where it stands: pegasus table:migrate-status -t ${shellQuote(request.table)}`,
      )
    }

    if (!namesOf(source).includes(data.clusterName)) {
      return error(
        `${found}, not the source ${source.info.clusterName}`,
        'name the right source cluster, or correct --root',
      )
    }

    const unknown = strangers(facts, data.metaAddresses, metaAddresses(source))
    if (unknown.length === data.metaAddresses.length) {
      return error(
        `${found}: none of them is a meta of the source`,
        'correct the node, or name the cluster that it means with --source-meta',
      )
    }

    if (unknown.length > 0)
      return warning(`${found}; no meta of the source: ${listed(unknown)}`, 'correct the node if they should be there')
    return ok(found)
  },
  title: 'the metaproxy node names the source',
}

const metaproxyAddresses: Check = {
  id: 'metaproxy-addresses',
  run({request}) {
    if (!request.metaproxy) return skipped(NO_ROOT)
    const bad = request.targetMetas.filter((address) => !isAddress(address))
    if (bad.length > 0) return error(`not host:port: ${listed(bad)}`, 'write every address of --meta as host:port')
    const [only, ...others] = request.targetMetas
    if (others.length === 0) {
      return warning(
        `only one target meta, ${only}: metaproxy refuses a node with one address, so it is written twice`,
        'name more metas with --meta if the cluster has them: with one, clients stand still when it dies',
      )
    }

    return ok(
      `${plural(request.targetMetas.length, 'target meta goes', 'target metas go')} into the node: ${listed(request.targetMetas)}`,
    )
  },
  title: 'the target metas can be written into the node',
}

const metaproxyProxies: Check = {
  id: 'metaproxy-proxies',
  needs: ['source.configuration'],
  run(facts) {
    const {proxies, request, source} = facts
    if (!request.metaproxy) return skipped(NO_ROOT)
    if (source.configuration.appId === 0) return skipped('the source was not seen to have the table')
    if (proxies.length === 0) {
      return confirm(
        'no --proxy was given: whether the metaproxies follow the switch cannot be confirmed. One that has lost its ZooKeeper session goes on' +
          ' to send clients to the source for ever',
        'name every metaproxy: --proxy host:port',
      )
    }

    const wrong = proxies.flatMap((proxy) => proxyTrouble(facts, proxy) ?? [])
    if (wrong.length > 0) {
      return error(
        listed(wrong, 3),
        'restart a metaproxy that is stale, correct its ZooKeeper root, or take out of --proxy what is none',
      )
    }

    return ok(
      `${named(proxies)}: answering with ${nodeNamesTarget(facts) ? "the target's table" : "the source's table and its primaries"}`,
    )
  },
  title: 'every metaproxy answers with the source',
}

function proxyTrouble(facts: PreflightFacts, {address, answer, error: silence}: ProxyFacts): string | undefined {
  if (!answer) return `${address}: ${messageOf(silence)}`
  const {source, target} = facts
  // Behind the commit point the proxies name the target, or not yet.
  if (isResume(facts) && nodeNamesTarget(facts)) {
    const known = [source.table.appId, target.table?.appId]
    return known.includes(answer.appId)
      ? undefined
      : `${address} answers with table id ${answer.appId}, which neither cluster has`
  }

  const {appId, partitions} = source.configuration
  const primaries = partitions.flatMap(({primary}) => primary ?? [])
  const others = strangers(facts, answer.primaries, primaries)
  const shown = listed(answer.primaries, 2)
  if (answer.appId !== appId || others.length === answer.primaries.length) {
    return `${address} answers with table id ${answer.appId} on ${shown}, the source has table id ${appId}`
  }

  return undefined
}

const directClients: Check = {
  id: 'direct-clients',
  needs: ['source.info'],
  run(facts) {
    const metas = listed(facts.source.info.metaServers)
    return warning(
      `applications that name the metas of ${duplicationName(facts.source)} themselves (${metas}) never follow a switch: their writes fail for good`,
      'make sure that every application of this table goes through metaproxy, or reconfigure and restart the others right after the switch',
    )
  },
  title: 'applications that bypass metaproxy',
  unread: 'warning',
}

export const metaproxyChecks = [metaproxyNode, metaproxyAddresses, metaproxyProxies, directClients]
