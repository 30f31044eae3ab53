import {deadline, type Timer} from '../clock.js'
import {MigratorError} from '../errors.js'
import {factsOf, type MigrationContext} from './context.js'
import {predictDrainMs} from './preflight/prediction.js'
import {timersOf} from './timers.js'

/** What a lift takes besides the servers' config sync. */
export const UNDO_MARGIN_MS = 2000
const TICK_MS = 1000
/** A tick that is later than this was not late: this machine, or this process, stood still. */
const STANDSTILL_MS = 5000

/**
 * A signal that aborts early enough that writes flow again before `--max-write-deny` is over (I7): counted from when it
 * is armed, less one config sync, in which the servers hear of the lift.
 */
export class Bound {
  readonly signal: AbortSignal
  private readonly controller = new AbortController()
  private limit: ReturnType<typeof deadline> | undefined
  private readonly onParentAbort: () => void
  private ticking: Timer | undefined

  constructor(private readonly context: MigrationContext) {
    this.signal = this.controller.signal
    const {signal: parent} = context
    this.onParentAbort = () => this.controller.abort(parent.reason)
    if (parent.aborted) this.onParentAbort()
    else parent.addEventListener('abort', this.onParentAbort, {once: true})
  }

  /** @throws MigratorError `cutover.no_fit` when the servers' timers, as they are now, need more than the bound */
  arm(): void {
    const {clock, request, state} = this.context
    this.requireFit()
    const undoMs = timersOf(state).configSyncMs + UNDO_MARGIN_MS
    const limitMs = Math.max(1, request.maxWriteDenyMs - undoMs)
    this.limit = deadline(clock, limitMs, () => this.tooLong(limitMs, undoMs))
    this.limit.signal.addEventListener('abort', () => this.giveUp(this.limit!.signal.reason), {once: true})
    this.tick({armedWallMs: clock.wallMs(), atMs: clock.nowMs(), limitMs, undoMs, wallMs: clock.wallMs()})
  }

  dispose(): void {
    this.context.signal.removeEventListener('abort', this.onParentAbort)
    this.limit?.dispose()
    this.ticking?.cancel()
  }

  /** Preflight judged what it saw; what could not be shortened since counts as it is. */
  private requireFit(): void {
    const {dryRun, request, state} = this.context
    if (dryRun) return
    const timers = timersOf(state)
    const {generation} = factsOf(this.context).source
    const {sumMs} = predictDrainMs(generation, timers, 0)
    if (sumMs <= request.maxWriteDenyMs) return
    const needed = Math.ceil(sumMs / 1000)
    // master ships what is left without an empty write (protocol.md §4.2).
    const groupChecks = generation === 'master' ? '' : `group check ${timers.groupCheckMs / 1000} s twice, `
    throw new MigratorError(
      'cutover.no_fit',
      `the cutover of ${request.table} needs ${needed} s as the servers' timers are now (config sync ${timers.configSyncMs / 1000} s twice, ${groupChecks}shipping and switch), allowed are ${Math.round(request.maxWriteDenyMs / 1000)} s`,
      {facts: {sumMs}, next: `Nothing was denied. Allow --max-write-deny ${needed}s, or lower the servers' timers.`},
    )
  }

  /**
   * Sees a machine that was asleep (the wall clock went on, the monotonic one did not) and a process that was stopped (the timer
   * came late). The bound could not be kept meanwhile: that is told, and what is over by the wall clock ends at once.
   */
  private tick(last: {armedWallMs: number; atMs: number; limitMs: number; undoMs: number; wallMs: number}): void {
    const {clock, emit, request, state} = this.context
    this.ticking = clock.setTimer(TICK_MS, () => {
      const now = {...last, atMs: clock.nowMs(), wallMs: clock.wallMs()}
      const stoodStillMs = Math.max(now.atMs - last.atMs, now.wallMs - last.wallMs) - TICK_MS
      if (stoodStillMs > STANDSTILL_MS) {
        const sentence = `this machine or this process stood still for ${Math.round(stoodStillMs / 1000)} s while writes to ${request.table} were denied: nothing could be done for them meanwhile`
        state.standstill = sentence
        emit({code: 'bound.standstill', message: sentence, type: 'warning'})
        if (now.wallMs - last.armedWallMs > last.limitMs) this.giveUp(this.tooLong(last.limitMs, last.undoMs))
      }

      if (!this.signal.aborted) this.tick(now)
    })
  }

  private tooLong(limitMs: number, undoMs: number): MigratorError {
    const {request, state} = this.context
    const {maxWriteDenyMs, table} = request
    const seconds = (ms: number) => Math.round(ms / 1000)
    return new MigratorError(
      'cutover.bound',
      `the cutover of ${table} did not fit into --max-write-deny ${seconds(maxWriteDenyMs)}s: after ${seconds(limitMs)} s the deny must be taken back, which takes up to ${seconds(undoMs)} s${spreadOf(state)}`,
      {next: 'Run the same command again at a quieter time, or with a larger --max-write-deny.'},
    )
  }

  /** Ends the cutover for this reason. */
  giveUp(reason: unknown): void {
    this.controller.abort(reason)
  }
}

/** What the servers took to hear of the deny, as it was seen: the sum of Preflight rests on what their timers say. */
function spreadOf({window}: MigrationContext['state']): string {
  const {lastRefusedAtMs, provedAtMs, setAtMs} = window
  if (setAtMs === undefined) return ''
  if (provedAtMs === undefined) return '; not every primary was seen to refuse writes in that time'
  return `; the last primary refused writes after ${(((lastRefusedAtMs ?? provedAtMs) - setAtMs) / 1000).toFixed(1)} s`
}

/** Tells when writes were denied for longer than the bound, and why as far as that is known. */
export function tellExceeded({emit, request, state}: MigrationContext): void {
  const {liftedAtMs, setAtMs, switchedAtMs} = state.window
  const endMs = liftedAtMs ?? switchedAtMs
  if (setAtMs === undefined || endMs === undefined || endMs - setAtMs <= request.maxWriteDenyMs) return
  const seconds = (ms: number) => (ms / 1000).toFixed(1)
  const why = state.standstill ?? state.mendingTrouble ?? 'the servers heard later of it than their timers say'
  const message = `writes to ${request.table} were denied for ${seconds(endMs - setAtMs)} s, longer than --max-write-deny ${Math.round(request.maxWriteDenyMs / 1000)}s: ${why}`
  emit({code: 'bound.exceeded', message, type: 'warning'})
}
