import {DuplicationStatus} from '../rpc/structs/duplication.js'
import {factsOf, type MigrationContext} from './context.js'
import {DENY_ENV} from './effects-live.js'

/**
 * Where a migration stands, read from the clusters and ZooKeeper:
 * `begin`: nothing of the cutover has begun;
 * `denied`: an earlier run denied writes and did not take it back, the node still names the source;
 * `committed`: the table was handed over: only forward.
 */
export type Position = 'begin' | 'committed' | 'denied'

/**
 * Finds the position after Preflight gathered the facts, and fills `state` with what the earlier run had reached.
 * What belongs to us is known from the journal (`hints`); that the node names the target needs no journal.
 */
export function locate(context: MigrationContext): Position {
  const {hints, request, state} = context
  const {metaproxy, source} = factsOf(context)
  const entry = source.duplications.find(({remote}) => remote === request.targetCluster)
  const deny = source.table.envs.get(DENY_ENV)
  const namesTarget = metaproxy?.node?.data.clusterName === request.targetCluster
  // Without a node the word is the commit point; its only witness is the journal.
  const word = !request.metaproxy && (hints.word === true || (deny === 'reconfig*all' && hints.closed === true))
  if (namesTarget || word) {
    state.commit = 'done'
    state.dupid = entry?.dupid ?? 0
    state.paused = entry?.status === DuplicationStatus.DS_PAUSE
    if (metaproxy?.node) state.nodeVersion = metaproxy.node.version
    return 'committed'
  }

  if (deny !== undefined && hints.deny === deny) {
    state.denySet = true
    state.dupid = entry?.dupid ?? 0
    state.adoptedForeign = false
    state.paused = entry?.status === DuplicationStatus.DS_PAUSE
    state.window.setAtMs = hints.denyAtMs
    return 'denied'
  }

  return 'begin'
}
