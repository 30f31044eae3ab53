import {deadline} from '../clock.js'
import {messageOf, MigratorError} from '../errors.js'
import {DuplicationStatus} from '../rpc/structs/duplication.js'
import type {MigrationContext} from './context.js'
import {insist, liftAndProve, liftLimitMs, type MendingOptions, takeCommitAway} from './mend.js'
import {putSettingsBack} from './settings.js'
import {timersOf} from './timers.js'

/** How long a resume may hold up the lift. */
const RESUME_LIMIT_MS = 3000

export interface UndoOptions extends MendingOptions {
  reason: string
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
    sentence: `writes to ${context.request.table} are allowed again; this takes up to ${Math.round(liftLimitMs(timersOf(state).configSyncMs) / 1000)} s`,
    type: 'undo-started',
  })
  try {
    if (state.commit === 'uncertain') {
      const found = await takeCommitAway(context, options)
      state.commit = found === 'switched' ? 'done' : 'none'
      if (found === 'switched') return {state: 'switched'}
    }

    await resumeBeforeLift(context, options)
    await liftDeny(context, options)
    await resumeShipping(context, options)
    emit({ok: true, sentence: 'every primary accepts writes again (proved by probe)', type: 'undo-finished'})
    return {state: 'writable'}
  } catch (error) {
    emit({ok: false, sentence: messageOf(error), type: 'undo-finished'})
    return {reason: messageOf(error), state: 'denied'}
  }
}

/** Nothing was denied: without a duplication the settings are of no use either. */
async function undoBeforeDeny(context: MigrationContext, signal: AbortSignal): Promise<void> {
  const {dryRun, state} = context
  if (dryRun || context.hints.settings.length === 0 || state.dupid !== 0) return
  await putSettingsBack(context, signal)
}

async function liftDeny(context: MigrationContext, options: UndoOptions): Promise<void> {
  const {clock, state} = context
  await liftAndProve(context, {...options, configSyncMs: timersOf(state).configSyncMs})
  state.denySet = false
  state.window.liftedAtMs = clock.wallMs()
  if (state.window.firstRefusedAtMs !== undefined) {
    state.window.windowMs = state.window.liftedAtMs - state.window.firstRefusedAtMs
  }
}

/**
 * While nothing is written: a server that hears of the pause only when writes flow again stops shipping under load, which
 * crashes 2.5 now and then (measured.md §14). Tried once and shortly, because the writes come first.
 */
async function resumeBeforeLift(context: MigrationContext, {signal}: UndoOptions): Promise<void> {
  if (!context.state.paused) return
  const late = () => new MigratorError('undo.resume_late', `no answer in ${RESUME_LIMIT_MS / 1000} s`)
  const limit = deadline(context.clock, RESUME_LIMIT_MS, late, signal)
  try {
    await resume(context, limit.signal)
  } catch (error) {
    signal.throwIfAborted()
    const message = `the duplication goes on only after writes are allowed: ${messageOf(error)}`
    context.emit({code: 'undo.resume_late', message, type: 'warning'})
  } finally {
    limit.dispose()
  }
}

async function resumeShipping(context: MigrationContext, options: UndoOptions): Promise<void> {
  if (!context.state.paused) return
  await insist(context, options, 'letting the duplication go on', () => resume(context, options.signal))
}

/** Clients have not written to the target: the duplication may go on (product.md, lesson 14, forbids it only later). */
async function resume({effects, request, source, state}: MigrationContext, signal: AbortSignal): Promise<void> {
  const entries = await source.duplications(request.table, {signal})
  const entry = entries.find(({dupid}) => dupid === state.dupid)
  if (entry?.status === DuplicationStatus.DS_PAUSE) {
    await effects.perform({dupid: state.dupid, kind: 'resume-duplication'}, signal)
  }

  state.paused = false
}
