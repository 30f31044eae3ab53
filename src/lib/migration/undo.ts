import {messageOf} from '../errors.js'
import type {MigrationContext} from './context.js'
import {
  insist,
  liftAndProve,
  liftLimitMs,
  type MendingOptions,
  resume,
  resumeBeforeLift,
  takeCommitAway,
} from './mend.js'
import {putSettingsBack} from './settings.js'
import {timersOf} from './timers.js'

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

    await letGoOn(context, options)
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

async function letGoOn(context: MigrationContext, {signal}: UndoOptions): Promise<void> {
  const {state} = context
  if (state.paused && (await resumeBeforeLift(context, state.dupid, signal))) state.paused = false
}

async function resumeShipping(context: MigrationContext, options: UndoOptions): Promise<void> {
  const {state} = context
  if (!state.paused) return
  await insist(context, options, 'letting the duplication go on', () => resume(context, state.dupid, options.signal))
  state.paused = false
}
