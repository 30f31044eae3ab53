import {isMigratorError, messageOf} from '../errors.js'
import {machineProcesses} from '../processes.js'
import {Bound, tellExceeded} from './bound.js'
import {NodeWatch} from './node-watch.js'
import type {MigrationContext} from './context.js'
import {GuardChannel} from './guard/channel.js'
import {type GuardHandle, sendGuardAway} from './guard/handle.js'
import type {MigrationWorld} from './index.js'
import {tellHook} from './operator-hooks/calls.js'
import type {PhaseTiming} from './result.js'
import {cutoverPhases, phases, type RunOutcome, runPhases} from './runner.js'
import {timersOf} from './timers.js'
import {undo} from './undo.js'
import {mayPass} from './wait.js'

const DEFAULT_ATTEMPTS = 3
/** What another try may get over, besides servers in passing trouble. */
const passing = [
  'batching.returned',
  'cutover.bound',
  'deny.not_proved',
  'drain.limit',
  'hold.window_over',
  'shipping.doubtful',
  'shipping.moved',
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

  /**
   * @returns what stopped the last attempt, or undefined when the table was handed over. `switched`: the node turned out to name the
   *   target
   */
  async run(): Promise<(RunOutcome & {switched?: boolean}) | undefined> {
    const {context} = this
    const attempts = context.request.cutoverAttempts ?? DEFAULT_ATTEMPTS
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.attempt()
      this.addTimings(outcome.timings)
      if (outcome.error === undefined) {
        tellExceeded(context)
        await this.dismissGuard()
        return undefined
      }

      if (attempt >= attempts || !this.worthAnother(outcome.error)) return outcome
      const undone = await undo(context, {reason: messageOf(outcome.error), signal: context.forward})
      if (undone.state === 'switched') return {...outcome, switched: true}
      // Without shipping there is nothing to try again with.
      if (undone.state === 'denied' || undone.paused) return outcome
      await this.dismissGuard()
      if (context.state.window.liftedAtMs !== undefined) await tellHook(context, 'rolled-back', {error: outcome.error})
      context.emit({
        code: 'cutover.again',
        message: `cutover ${attempt} of ${attempts} was taken back (${messageOf(outcome.error)}); writes are allowed, catching up again`,
        type: 'warning',
      })
      if (context.state.window.setAtMs !== undefined) context.state.earlierWindows.push(context.state.window)
      context.state.window = {}
      context.state.nodeOursAtMs = undefined
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
    const watch = new NodeWatch(this.context, (error) => bound.giveUp(error))
    const context: MigrationContext = {
      ...this.context,
      arm: async () => {
        bound.arm()
        this.guard ??= await this.startGuard()
        context.guard = this.guard
        watch.begin()
      },
      signal: bound.signal,
    }
    try {
      return await runPhases(
        context,
        phases.filter(({id}) => cutoverPhases.has(id)),
      )
    } finally {
      watch.end()
      bound.dispose()
      context.store?.keepSession(false)
    }
  }

  private async startGuard(): Promise<GuardHandle | undefined> {
    const {journalDirectory, processes = machineProcesses, startGuard} = this.world
    const {emit, request, state} = this.context
    if (!startGuard) {
      // One of an earlier run may linger, and would take this run's deny back.
      const channel = new GuardChannel(journalDirectory, request.table, request.targetCluster, this.world.files)
      await sendGuardAway(channel, this.context.clock, processes)
      return undefined
    }

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
