import {MigratorError} from '../../errors.js'
import {ExitCode} from '../../exit-codes.js'
import {plural} from '../../plural.js'
import {DuplicationStatus} from '../../rpc/structs/duplication.js'
import {recallLine} from '../target-health.js'
import {isCopyGone} from './copy.js'
import type {StepId} from './events.js'
import type {RollbackRequest} from './request.js'
import type {RollbackView} from './view.js'
import {shellQuote} from '../../shell-quote.js'

/** Just the steps that are needed, and what they rest on. */
export interface RollbackPlan {
  /** What was found, in sentences. */
  found: string[]
  /** `back`: the source serves, or should; `return`: the target serves and the table comes back. */
  kind: 'back' | 'return'
  steps: StepId[]
  warnings: string[]
}

const CLOSED = 'reconfig*all'
const MASTER = 'duplication.master_cluster'
/** Before the copy is there as a whole (protocol.md §3.9). */
const makesCopy: ReadonlySet<DuplicationStatus> = new Set([DuplicationStatus.DS_INIT, DuplicationStatus.DS_PREPARE])

/**
 * Decides what a rollback does. Asks nobody and changes nothing.
 * @throws MigratorError `rollback.*` when it must not be done as things are; nothing was changed then
 */
export function planRollback(view: RollbackView, request: RollbackRequest): RollbackPlan {
  const found = describe(view)
  if (view.node.side === 'other') {
    throw refuse(
      'node_elsewhere',
      `the node of ${request.table} names ${view.node.record.data.clusterName}, which is neither the source nor the target`,
      'Find out who wrote it. Nothing is lifted while nobody can say which side serves.',
    )
  }

  const {target} = view
  if (request.copyIsGone && target?.table) {
    throw refuse(
      'copy_is_there',
      `${target.cluster} has a table ${request.table} (table id ${target.table.appId}): the copy is not gone`,
      'Run it without --copy-is-gone; --brief-deny removes the duplication of a busy table.',
    )
  }

  return handedOver(view, request) ? planReturn(view, request, found) : planBack(view, request, found)
}

/** Whether the target serves: the node says so, or, without a node, the journal. */
function handedOver(view: RollbackView, request: RollbackRequest): boolean {
  const {deny, journal, node} = view
  if (node.side === 'target') return true
  if (node.side === 'source') return false
  if (journal) return journal.handedOver
  // The tool that this one replaces leaves this value after every success: it may well be that the target serves.
  if (deny === CLOSED && !(request.adopt && node.side === 'absent')) {
    throw refuse(
      'perhaps_handed_over',
      `the source refuses every client of ${request.table} (${CLOSED}), as it does after a table was moved, and nothing here tells whether it was`,
      'Say --root, so that the metaproxy node can be looked at.',
    )
  }

  return false
}

function planBack(view: RollbackView, request: RollbackRequest, found: string[]): RollbackPlan {
  const {adopt, dropTarget, table} = request
  const {deny, entry, journal, node, settings, target} = view
  const warnings: string[] = []
  if (deny !== undefined && deny !== journal?.deny && !adopt) {
    throw refuse(
      'foreign_deny',
      `${table} is write-denied on the source (replica.deny_client_request=${deny}), and no journal on this machine says that a migration set it`,
      'If it was left behind by a migration that nobody works on any more, add --adopt.',
    )
  }

  // With a node the node decides; without one nothing but the journal and the operator knows where the applications are.
  const moved = journal?.finished !== undefined && node.side !== 'source' && deny === undefined && !entry
  if (moved && target?.table && target.table.deny === undefined && !adopt) {
    throw refuse(
      'perhaps_serving',
      `this machine's journal says that the applications of ${table} were moved to ${target.cluster} (finished ${journal.finished}); since then somebody opened the source, and both sides accept writes. Nobody but you can know which side serves`,
      `If ${target.cluster} serves, close the source: in the Pegasus shell there, use ${table}; set_app_envs replica.deny_client_request ${CLOSED}. If the applications are back on the source, say so with --adopt: what was written to ${target.cluster} stays there.`,
    )
  }

  if (entry && request.copyIsGone) {
    warnings.push(
      `What duplication ${entry.dupid} has left to ship is given up. Servers of 2.5 have gone down when a duplication was removed that was shipping; of one whose copy was gone that was not seen.`,
    )
  }

  const named = request.targetCluster !== undefined
  if (entry && journal?.dupid !== entry.dupid && !named && !adopt) {
    throw refuse(
      'foreign_duplication',
      `duplication ${entry.dupid} of ${table} to ${entry.remote} was begun by somebody else, as far as this machine knows`,
      `If it belongs to the migration that is to be taken back, say so: -c ${shellQuote(entry.remote)}, or --adopt.`,
    )
  }

  if (deny !== undefined && node.side === 'unknown') {
    warnings.push('No --root was given: nobody looks whether metaproxy sends clients to the source.')
  }

  const steps: StepId[] = [deny === undefined ? 'prove-writes' : 'allow-writes']
  if (entry) steps.push('remove-duplication')
  if (settings.length > 0) steps.push('put-settings-back')
  if (dropTarget) requireDroppable(view, request)
  if (dropTarget && target?.table) steps.push('drop-target')
  else if (isFollower(view)) {
    steps.push('clean-target')
    found.push(`The target's copy of ${table} is kept; --drop-target drops it.`)
  } else if (isBeingMade(view)) steps.push('clean-target')

  if (target?.trouble !== undefined)
    warnings.push(`The target could not be read: ${target.trouble}. What is left there stays.`)
  return {found, kind: 'back', steps, warnings}
}

function planReturn(view: RollbackView, request: RollbackRequest, found: string[]): RollbackPlan {
  const {table} = request
  const {deny, entry, journal, node, settings, target} = view
  if (!target) {
    throw refuse('no_target', `${table} was handed over, and nothing tells where its target is`, 'Say -c and -m.')
  }

  if (target.trouble !== undefined || !target.table) {
    throw refuse(
      'no_copy',
      `${table} was handed over to ${target.cluster}: ${target.trouble ?? 'it has no table of that name'}`,
      `Without the target a return would lose what was written there.${target.dropped ? ` ${recallLine(target.cluster, table, target.dropped)}.` : ''}`,
    )
  }

  if (request.dropTarget) {
    throw refuse(
      'drop_while_serving',
      `${target.cluster} serves ${table}: its copy is not dropped now`,
      'Run it without --drop-target first.',
    )
  }

  if (deny === undefined) {
    throw refuse(
      'both_open',
      `${target.cluster} serves ${table}, and the source accepts writes too: what was written where cannot be told apart`,
      journal?.finished === undefined && !journal?.handedOver
        ? `Close the source first: in the Pegasus shell there, use ${table}; set_app_envs replica.deny_client_request ${CLOSED}.`
        : 'Close the source first: pegasus table:migrate goes on forward and does that.',
    )
  }

  const steps: StepId[] = []
  if (entry) steps.push('remove-duplication')
  if (!request.allowDataLoss) steps.push('open-source-reads', 'compare-live')
  steps.push('deny-target')
  if (!request.allowDataLoss) steps.push('compare-denied')
  if (node.side === 'target') steps.push('switch-back')
  steps.push('open-source', 'close-target')
  if (settings.length > 0) steps.push('put-settings-back')
  if (isFollower(view)) steps.push('clean-target')
  const warnings = request.allowDataLoss ? [`What was written to ${target.cluster} since the switch is lost.`] : []
  return {found, kind: 'return', steps, warnings}
}

/** Whether the target's table follows this one, as far as its envs tell; one of another cluster's is none of our business. */
function isFollower({entry, source, target}: RollbackView): boolean {
  const envs = target?.table?.followerEnvs ?? {}
  const master = envs[MASTER]
  const isOurs = master === undefined || [source.cluster, source.duplicatesAs].includes(master)
  // What ships to a table has made it, by whatever name.
  return Object.keys(envs).length > 0 && (isOurs || (entry !== undefined && !makesCopy.has(entry.status)))
}

/** The source's meta may have sent for the copy just now: it comes although the duplication is removed. */
function isBeingMade({entry, target}: RollbackView): boolean {
  return entry !== undefined && makesCopy.has(entry.status) && target !== undefined && !target.trouble && !target.table
}

/** Only what is known to be the copy of this table may be dropped. */
function requireDroppable(view: RollbackView, request: RollbackRequest): void {
  const {entry, journal, source, target} = view
  if (!target) {
    throw refuse('no_target', `nothing tells which cluster holds the copy of ${request.table}`, 'Say -c and -m.')
  }

  if (!target.table) return
  const master = target.table.followerEnvs[MASTER]
  const isCopy =
    (master !== undefined && [source.cluster, source.duplicatesAs].includes(master)) ||
    (master === undefined && (entry !== undefined || journal?.dupid !== undefined))
  if (!isCopy) {
    throw refuse(
      'not_a_copy',
      `${target.cluster}'s ${request.table} (table id ${target.table.appId}) is not known to be a copy of this one${master === undefined ? '' : `: it follows ${master}`}`,
      'If it is one, drop it in the Pegasus shell there.',
    )
  }
}

function describe(view: RollbackView): string[] {
  const {deny, entry, node, source, target} = view
  const found: string[] = []
  found.push(
    deny === undefined
      ? `Writes are allowed on ${source.cluster} (no deny env).`
      : `${source.cluster} carries replica.deny_client_request=${deny}.`,
  )
  if (node.side === 'source') found.push('The metaproxy node names the source.')
  if (node.side === 'target') found.push('The metaproxy node names the target: it serves.')
  if (node.side === 'absent') found.push('There is no metaproxy node of the table.')
  found.push(
    entry
      ? `Duplication ${entry.dupid} to ${entry.remote} is in ${DuplicationStatus[entry.status]}.`
      : 'There is no duplication of it to the target.',
  )
  if (entry && isCopyGone(view)) found.push(`${target!.cluster} has no table of that name any more.`)
  if (target?.table) found.push(`${target.cluster} has a table of that name (table id ${target.table.appId}).`)
  if (view.settings.length > 0)
    found.push(`${plural(view.settings.length, 'setting of a server is', 'settings of servers are')} to be put back.`)
  if (view.otherRemotes.length > 0) found.push(`It is duplicated to ${view.otherRemotes.join(', ')} too; that stays.`)
  return found
}

function refuse(code: string, message: string, next: string): MigratorError {
  return new MigratorError(`rollback.${code}`, message, {exitCode: ExitCode.refused, next})
}
