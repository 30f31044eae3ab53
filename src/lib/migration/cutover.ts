import {deadline} from '../clock.js'
import {isMigratorError, messageOf, MigratorError} from '../errors.js'
import {machineProcesses} from '../processes.js'
import type {MigrationContext} from './context.js'
import type {GuardHandle} from './guard/handle.js'
import type {MigrationWorld} from './index.js'
import type {PhaseTiming} from './result.js'
import {cutoverPhases, phases, type RunOutcome, runPhases} from './runner.js'
import {timersOf} from './timers.js'
import {undo} from './undo.js'
import {mayPass} from './wait.js'

const DEFAULT_ATTEMPTS = 3
const UNDO_MARGIN_MS = 2000
/** What another try may get over, besides servers in passing trouble. */
const passing = [
  'batching.returned',
  'cutover.bound',
  'deny.not_proved',
  'drain.limit',
  'hold.window_over',
  'verify.suspicious',
  'wait.limit',
]

/** Deny, drain and switch: within the bound, watched by the guard, and tried again when it was taken back. */
export class Cutover {
  private guard: GuardHandle | undefined

  constructor(
    private readonly world: MigrationWorld,
    private readonly context: MigrationContext,
    private readonly addTimings: (timings: PhaseTiming[]) => void,
    private readonly lockToken: () => string | undefined,
  ) {}

  /** Sends the guard away: only when nothing is denied any more, or nothing may be lifted any more. */
  async dismissGuard(): Promise<void> {
    await this.guard?.dismiss()
    this.guard = undefined
  }

  /** This run ends: a guard that is still there hears no more of it, and goes on by itself. */
  leaveGuard(): void {
    this.guard?.leave()
  }

  /** @returns what stopped the last attempt, or undefined when the table was handed over */
  async run(): Promise<RunOutcome | undefined> {
    const {context} = this
    const attempts = context.request.cutoverAttempts ?? DEFAULT_ATTEMPTS
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.attempt()
      this.addTimings(outcome.timings)
      if (outcome.error === undefined) {
        await this.dismissGuard()
        return undefined
      }

      if (attempt >= attempts || !this.worthAnother(outcome.error)) return outcome
      const undone = await undo(context, {reason: messageOf(outcome.error), signal: context.forward})
      if (undone.state !== 'writable') return outcome
      await this.dismissGuard()
      context.emit({
        code: 'cutover.again',
        message: `cutover ${attempt} of ${attempts} was taken back (${messageOf(outcome.error)}); writes are allowed, catching up again`,
        type: 'warning',
      })
      if (context.state.window.setAtMs !== undefined) context.state.earlierWindows.push(context.state.window)
      context.state.window = {}
      const failed = await this.prepareAgain()
      if (failed) return failed
    }
  }

  /** Catches up, and compares all rows where their order has come into doubt. */
  private async prepareAgain(): Promise<RunOutcome | undefined> {
    const {context} = this
    for (const phase of phases.filter(({id}) => id === 'catch-up' || id === 'verify')) {
      const {compareAgain, fullVerifyBecause} = context.state
      if (phase.id === 'verify' && fullVerifyBecause === undefined && compareAgain === undefined) continue
      const outcome = await runPhases(context, [phase])
      this.addTimings(outcome.timings)
      if (outcome.error !== undefined) return outcome
    }

    return undefined
  }

  private worthAnother(error: unknown): boolean {
    return !this.context.signal.aborted && (isMigratorError(error, ...passing) || mayPass(error))
  }

  private async attempt(): Promise<RunOutcome> {
    const bound = new Bound(this.context)
    const context: MigrationContext = {
      ...this.context,
      arm: async () => {
        bound.arm()
        this.guard ??= await this.startGuard()
        context.guard = this.guard
      },
      signal: bound.signal,
    }
    try {
      return await runPhases(
        context,
        phases.filter(({id}) => cutoverPhases.has(id)),
      )
    } finally {
      bound.dispose()
    }
  }

  private async startGuard(): Promise<GuardHandle | undefined> {
    const {journalDirectory, processes = machineProcesses, startGuard} = this.world
    const {emit, request, state} = this.context
    if (!startGuard) return undefined
    const lockToken = this.lockToken()
    const plan = {
      driver: await processes.own(),
      dupid: state.dupid,
      journalDirectory,
      ...(lockToken === undefined ? {} : {lockToken}),
      request,
      timers: timersOf(state),
    }
    return startGuard(plan, emit)
  }
}

/**
 * A signal that aborts early enough that writes flow again before `--max-write-deny` is over (I7): counted from when it
 * is armed, less one config sync, in which the servers hear of the lift.
 */
class Bound {
  readonly signal: AbortSignal
  private readonly controller = new AbortController()
  private limit: ReturnType<typeof deadline> | undefined
  private readonly onParentAbort: () => void

  constructor(private readonly context: MigrationContext) {
    this.signal = this.controller.signal
    const {signal: parent} = context
    this.onParentAbort = () => this.controller.abort(parent.reason)
    if (parent.aborted) this.onParentAbort()
    else parent.addEventListener('abort', this.onParentAbort, {once: true})
  }

  arm(): void {
    const {clock, request, state} = this.context
    const undoMs = timersOf(state).configSyncMs + UNDO_MARGIN_MS
    const limitMs = Math.max(1, request.maxWriteDenyMs - undoMs)
    this.limit = deadline(clock, limitMs, () => tooLong(request, limitMs, undoMs))
    this.limit.signal.addEventListener('abort', () => this.controller.abort(this.limit!.signal.reason), {once: true})
  }

  dispose(): void {
    this.context.signal.removeEventListener('abort', this.onParentAbort)
    this.limit?.dispose()
  }
}

function tooLong({maxWriteDenyMs, table}: MigrationContext['request'], limitMs: number, undoMs: number): MigratorError {
  const seconds = (ms: number) => Math.round(ms / 1000)
  return new MigratorError(
    'cutover.bound',
    `the cutover of ${table} did not fit into --max-write-deny ${seconds(maxWriteDenyMs)}s: after ${seconds(limitMs)} s the deny must be taken back, which takes up to ${seconds(undoMs)} s`,
    {next: 'Run the same command again at a quieter time, or with a larger --max-write-deny.'},
  )
}
