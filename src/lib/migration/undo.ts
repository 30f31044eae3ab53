import {deadline} from '../clock.js'
import {isMigratorError, messageOf, MigratorError} from '../errors.js'
import type {MigrationContext} from './context.js'
import {tellExceeded} from './bound.js'
import {
  insist,
  LATE_DENY_MS,
  liftAndProve,
  liftLimitMs,
  type MendingOptions,
  outwaitLateDeny,
  resume,
  resumeBeforeLift,
  takeCommitAway,
  takeLateDenyOff,
} from './mend.js'
import {namesTarget} from './names-target.js'
import {putSettingsBack} from './settings.js'
import {timersOf} from './timers.js'
import {mayPass} from './wait.js'

/** How long a look at the node may hold up a lift when our own switch was never sent. */
const NODE_LOOK_MS = 3000
/** How long the duplication is asked to go on once writes are allowed: a new meta leader takes up to 47 s. */
const RESUME_INSIST_MS = 60_000

export interface UndoOptions extends MendingOptions {
  reason: string
}

/** What the undo could make sure of. */
export type UndoResult =
  /** Writes are allowed on the source, proved on every primary, or were never denied. `paused`: nothing ships. */
  | {paused?: true; state: 'writable'}
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
    } else if (await isSwitchedByOthers(context, signal)) {
      state.commit = 'done'
      return {state: 'switched'}
    }

    await letGoOn(context, options)
    await liftDeny(context, options)
    const ships = await resumeShipping(context, options)
    const sentence = `every primary accepts writes again (proved by probe)${ships ? '' : '; the duplication is still paused'}`
    emit({ok: true, sentence, type: 'undo-finished'})
    return {...(ships ? {} : {paused: true}), state: 'writable'}
  } catch (error) {
    emit({ok: false, sentence: messageOf(error), type: 'undo-finished'})
    return {reason: messageOf(error), state: 'denied'}
  }
}

/** Before a run prepares, which takes its time: a deny that an earlier run sent just before it died may still come. */
export async function outwaitEarlierDeny(context: MigrationContext): Promise<void> {
  const {forward: signal, hints, state} = context
  await takeLateDenyOff(context, {configSyncMs: timersOf(state).configSyncMs, signal}, hints)
}

/** What kept writes denied beyond the bound is told afterwards. */
function rememberTrouble(context: MigrationContext): MigrationContext {
  return {
    ...context,
    emit(event) {
      if (event.type === 'warning' && event.code === 'undo.trouble') context.state.mendingTrouble = event.message
      context.emit(event)
    },
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
    await liftAndProve(rememberTrouble(context), {...options, configSyncMs: timersOf(state).configSyncMs})
    state.window.liftedAtMs = clock.wallMs()
    tellExceeded(context)
    if (state.window.firstRefusedAtMs !== undefined) {
      state.window.windowMs = state.window.liftedAtMs - state.window.firstRefusedAtMs
    }
  }

  await lift()
  if (state.denyUnanswered) {
    await outwaitLateDeny(context, options, {deny: `${context.request.denyMode}*write`, forMs: LATE_DENY_MS, lift})
  }

  state.denySet = false
  state.denyUnanswered = false
}

async function letGoOn(context: MigrationContext, {signal}: UndoOptions): Promise<void> {
  const {state} = context
  if (state.paused && (await resumeBeforeLift(context, state.dupid, signal))) state.paused = false
}

/** Writes are allowed by now, whatever comes of this. @returns whether the duplication ships */
async function resumeShipping(context: MigrationContext, {signal}: UndoOptions): Promise<boolean> {
  const {emit, request, state} = context
  if (!state.paused) return true
  try {
    await insist(context, {limitMs: RESUME_INSIST_MS, signal}, 'letting the duplication go on', () =>
      resume(context, state.dupid, signal),
    )
    state.paused = false
    return true
  } catch (error) {
    const message = `writes to ${request.table} are allowed, and duplication ${state.dupid} is still paused: nothing is shipped, and the source keeps its logs (${messageOf(error)}). Running the same command again lets it go on; table:migrate-rollback takes it away`
    emit({code: 'undo.paused', message, type: 'warning'})
    return false
  }
}

/**
 * Our own switch was never sent; somebody else may have switched the node all the same, and then nothing may be lifted. The look is
 * short: a deny must not last because ZooKeeper is away.
 */
async function isSwitchedByOthers({clock, emit, request, store}: MigrationContext, signal: AbortSignal) {
  if (!store) return false
  const late = () => new MigratorError('zk.timeout', `no answer in ${NODE_LOOK_MS / 1000} s`)
  const limit = deadline(clock, NODE_LOOK_MS, late, signal)
  try {
    const {data, path} = await store.read(request.table, limit.signal)
    if (!namesTarget(data, request)) return false
    const message = `somebody else switched ${path} to ${request.targetCluster}: the write-deny stays on the source, and there is only forward`
    emit({code: 'switch.by_others', message, type: 'warning'})
    return true
  } catch (error) {
    signal.throwIfAborted()
    // A node that is gone, or names nobody, sends no client to the target.
    if (!mayPass(error) && !isMigratorError(error, 'metaproxy.bad_node')) throw error
    return false
  } finally {
    limit.dispose()
  }
}
