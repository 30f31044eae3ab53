import {sleep} from '../clock.js'
import {messageOf} from '../errors.js'
import type {MigrationContext} from './context.js'
import {DENY_ENV} from './effects-live.js'
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

/** How long a deny that nobody heard the answer of may still take place. */
const LATE_DENY_MS = 15_000
const LATE_DENY_POLL_MS = 1000

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
  try {
    await putSettingsBack(context, signal)
  } catch (error) {
    signal.throwIfAborted()
    const message = `not every setting could be put back: ${messageOf(error)}; running the same command again, or table:migrate-rollback, does it`
    context.emit({code: 'setting.left', message, type: 'warning'})
  }
}

async function liftDeny(context: MigrationContext, options: UndoOptions): Promise<void> {
  const {clock, state} = context
  const lift = async () => {
    await liftAndProve(context, {...options, configSyncMs: timersOf(state).configSyncMs})
    state.window.liftedAtMs = clock.wallMs()
    if (state.window.firstRefusedAtMs !== undefined) {
      state.window.windowMs = state.window.liftedAtMs - state.window.firstRefusedAtMs
    }
  }

  await lift()
  if (state.denyUnanswered) await outwaitLateDeny(context, options, lift)
  state.denySet = false
  state.denyUnanswered = false
}

/**
 * A meta whose own ZooKeeper is slow may set the env after it has answered its deletion ("no key need to delete"), and no
 * server has heard of it by then: so the env is looked at for a while, with writes allowed.
 */
async function outwaitLateDeny(
  context: MigrationContext,
  options: UndoOptions,
  lift: () => Promise<void>,
): Promise<void> {
  const {clock, request, source} = context
  const {signal} = options
  let untilMs = clock.nowMs() + LATE_DENY_MS
  while (clock.nowMs() < untilMs) {
    await sleep(clock, LATE_DENY_POLL_MS, signal)
    const look = () => source.table(request.table, {signal})
    const table = await insist(context, options, 'looking whether the deny is set after all', look)
    if (table?.envs.get(DENY_ENV) !== `${request.denyMode}*write`) continue
    await lift()
    untilMs = clock.nowMs()
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
