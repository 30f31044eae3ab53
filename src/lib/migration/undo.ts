import {sleep} from '../clock.js'
import {isMigratorError, messageOf, MigratorError} from '../errors.js'
import {DuplicationStatus} from '../rpc/structs/duplication.js'
import type {MigrationContext} from './context.js'
import {proveEverywhere} from './proof/deny.js'
import {putSettingsBack} from './settings.js'
import {timersOf} from './timers.js'
import {mayPass} from './wait.js'

const RETRY_MS = 2000
/** The undo goes on beyond the bound; this only bounds a command that nobody stops. */
const UNDO_LIMIT_MS = 15 * 60_000

export interface UndoOptions {
  /** How long to insist on each step; default 15 min. */
  limitMs?: number
  reason: string
  /** Aborts only when the operator leaves at once. */
  signal: AbortSignal
}

/** What the undo could make sure of. */
export type UndoResult =
  /** Writes are allowed on the source, proved on every primary, or were never denied. */
  | {state: 'writable'}
  /** The node names the target: there is only forward. */
  | {state: 'switched'}
  /** Nobody can say that writes are allowed. */
  | {reason: string; state: 'denied'}

/**
 * Takes the write-deny back, and proves it. Keeps trying while metas cannot be reached.
 * Before it lifts anything after a doubtful switch it takes the commit away: it writes the node's old bytes at the version known,
 * so that a write still under way must fail (issue: the same rule serves every undo after a lost answer).
 */
export async function undo(context: MigrationContext, options: UndoOptions): Promise<UndoResult> {
  const {emit, state} = context
  const {reason, signal} = options
  if (state.commit === 'done') return {state: 'switched'}
  if (!state.denySet) {
    await undoBeforeDeny(context, signal)
    return {state: 'writable'}
  }

  emit({
    reason,
    sentence: `writes to ${context.request.table} are allowed again; this takes up to ${Math.round(liftMs(context) / 1000)} s`,
    type: 'undo-started',
  })
  try {
    if (state.commit === 'uncertain' && (await takeCommitAway(context, options)) === 'switched') return {state: 'switched'}
    await lift(context, options)
    await resumeShipping(context, options)
    emit({ok: true, sentence: 'every primary accepts writes again (proved by probe)', type: 'undo-finished'})
    return {state: 'writable'}
  } catch (error) {
    emit({ok: false, sentence: messageOf(error), type: 'undo-finished'})
    return {reason: messageOf(error), state: 'denied'}
  }
}

function liftMs(context: MigrationContext): number {
  return timersOf(context.state).configSyncMs + 1000
}

/** Nothing was denied: without a duplication the settings are of no use either. */
async function undoBeforeDeny(context: MigrationContext, signal: AbortSignal): Promise<void> {
  const {dryRun, state} = context
  if (dryRun || context.hints.settings.length === 0 || state.dupid !== 0) return
  await putSettingsBack(context, signal)
}

/** @returns `switched` when the node names the target after all */
async function takeCommitAway(context: MigrationContext, options: UndoOptions): Promise<'source' | 'switched'> {
  const {request, state, store} = context
  const {signal} = options
  return insist(context, options, 'looking whether the node was switched', async () => {
    const node = await store!.read(request.table, signal)
    if (node.data.clusterName === request.targetCluster) {
      state.commit = 'done'
      return 'switched'
    }

    try {
      await store!.compareAndSet(request.table, node.bytes, node.version, signal)
    } catch (error) {
      // Somebody wrote between: look again.
      if (isMigratorError(error, 'zk.version_conflict')) {
        throw new MigratorError('zk.moved', 'the node changed while it was looked at', {cause: error})
      }

      throw error
    }

    state.commit = 'none'
    return 'source'
  })
}

async function lift(context: MigrationContext, options: UndoOptions): Promise<void> {
  const {client, clock, effects, emit, request, source, state} = context
  const {signal} = options
  await insist(context, options, 'taking the write-deny back', () =>
    effects.perform({before: null, kind: 'lift-deny'}, signal),
  )
  emit({sentence: 'the deny env is deleted; waiting for every server to hear of it', type: 'undo-progress'})
  await insist(context, options, 'proving that writes are allowed', () =>
    proveEverywhere({
      clock,
      cluster: source,
      limitMs: liftMs(context) + 30_000,
      onProgress: ({partitionCount, proved}) =>
        emit({sentence: `${proved} of ${partitionCount} partitions accept writes again`, type: 'undo-progress'}),
      pool: client.pool,
      signal,
      table: request.table,
      wanted: 'writable',
    }),
  )
  state.denySet = false
  state.window.liftedAtMs = clock.wallMs()
  if (state.window.firstRefusedAtMs !== undefined) {
    state.window.windowMs = state.window.liftedAtMs - state.window.firstRefusedAtMs
  }
}

/** Clients have not written to the target: the duplication may go on (product.md, lesson 14, forbids it only later). */
async function resumeShipping(context: MigrationContext, options: UndoOptions): Promise<void> {
  const {effects, request, source, state} = context
  const {signal} = options
  if (!state.paused) return
  await insist(context, options, 'letting the duplication go on', async () => {
    const entries = await source.duplications(request.table, {signal})
    const entry = entries.find(({dupid}) => dupid === state.dupid)
    if (entry?.status !== DuplicationStatus.DS_PAUSE) return
    await effects.perform({dupid: state.dupid, kind: 'resume-duplication'}, signal)
  })
  state.paused = false
}

/** Tries until it works, the operator leaves, or the limit of all undoing is reached. */
async function insist<T>(
  context: MigrationContext,
  {limitMs = UNDO_LIMIT_MS, signal}: UndoOptions,
  what: string,
  attempt: () => Promise<T>,
): Promise<T> {
  const {clock, emit} = context
  const startMs = clock.nowMs()
  for (;;) {
    signal.throwIfAborted()
    try {
      return await attempt()
    } catch (error) {
      signal.throwIfAborted()
      const again = mayPass(error) || isMigratorError(error, 'deny.not_proved')
      if (!again || clock.nowMs() - startMs > limitMs) throw error
      emit({
        code: 'undo.trouble',
        message: `ALARM: ${context.request.table} may still be write-denied; ${what}: ${messageOf(error)}; trying again`,
        type: 'warning',
      })
      await sleep(clock, RETRY_MS, signal)
    }
  }
}
