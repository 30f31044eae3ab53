import {MigratorError} from '../errors.js'
import {ExitCode} from '../exit-codes.js'
import {DuplicationStatus} from '../rpc/structs/duplication.js'
import type {MigrationContext} from './context.js'
import {DENY_ENV} from './effects-live.js'
import {namesTarget} from './names-target.js'

/**
 * Where a migration stands, read from the clusters and ZooKeeper:
 * `begin`: nothing of the cutover has begun;
 * `denied`: an earlier run denied writes and did not take it back, the node still names the source;
 * `committed`: the table was handed over: only forward.
 */
export type Position = 'begin' | 'committed' | 'denied'

/**
 * Finds the position once the lock is held (what Preflight gathered may be minutes old by then), and fills `state` with what the earlier run had reached.
 * What belongs to us is known from the journal (`hints`); that the node names the target needs no journal.
 */
export async function locate(context: MigrationContext): Promise<Position> {
  const {hints, request, signal, source, state, store} = context
  const [entries, table, node] = await Promise.all([
    source.duplications(request.table, {signal}),
    source.table(request.table, {signal}),
    store?.read(request.table, signal),
  ])
  const entry = entries.find(({remote}) => remote === request.targetCluster)
  const deny = table?.envs.get(DENY_ENV)
  const isSwitched = node !== undefined && namesTarget(node.data, request)
  // Without a node the word is the commit point; its only witness is the journal.
  const word = !request.metaproxy && (hints.word === true || (deny === 'reconfig*all' && hints.closed === true))
  if (word && !isSwitched && deny === undefined) {
    throw new MigratorError(
      'position.reopened',
      `the word was given that applications of ${request.table} move to ${request.targetCluster}, and since then somebody took the write-deny off the source: what was written there is not on the target`,
      {
        next: `If the applications stay on the source: remove duplication ${entry?.dupid ?? '(none is left)'}, drop the copy on the target, move the journal of this migration away, and begin anew.`,
      },
    )
  }

  // A drain ends with a pause: what still ships was switched by somebody else, and nobody proved that all has arrived.
  if (isSwitched && entry?.status === DuplicationStatus.DS_LOG && deny !== 'reconfig*all') {
    throw new MigratorError(
      'position.switched_undrained',
      `metaproxy's node of ${request.table} names ${request.targetCluster}, but duplication ${entry.dupid} still ships and the source was never drained: somebody switched it by hand`,
      {
        exitCode: ExitCode.needsOperator,
        facts: {dupid: entry.dupid, sourceDeny: deny},
        next: `Until this is settled both clusters may take writes, and what ships may overwrite newer rows on the target. Either name the source in the node again and run the same command; or deny writes on the source (reconfig*all), wait until pegasus table:migrate-status shows nothing pending, and remove the duplication.`,
      },
    )
  }

  if (isSwitched || word) {
    state.commit = 'done'
    state.dupid = entry?.dupid ?? 0
    state.paused = entry?.status === DuplicationStatus.DS_PAUSE
    if (node) state.nodeVersion = node.version
    return 'committed'
  }

  if (deny !== undefined && hints.deny === deny) {
    state.denySet = true
    // Whoever denied may be stopped just before its switch, and wake up: the undo takes the commit away from it first.
    state.commit = store ? 'uncertain' : 'none'
    state.dupid = entry?.dupid ?? 0
    state.adoptedForeign = false
    state.paused = entry?.status === DuplicationStatus.DS_PAUSE
    state.window.setAtMs = hints.denyAtMs
    return 'denied'
  }

  return 'begin'
}
