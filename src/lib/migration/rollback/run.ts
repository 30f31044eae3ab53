import {isMigratorError, messageOf, MigratorError} from '../../errors.js'
import {ExitCode} from '../../exit-codes.js'
import {tellForeignDeny} from '../denied-now.js'
import {RecordingEffects} from '../effects-recording.js'
import {describeEffect, type Effects} from '../effects.js'
import type {UnstampedEvent} from '../events.js'
import type {RollbackContext} from './context.js'
import {type StepId, translateEvent, type UnstampedRollbackEvent} from './events.js'
import type {Observed} from './observe.js'
import {Opened} from './opened.js'
import {planRollback, type RollbackPlan} from './plan.js'
import {foretell} from './rehearse.js'
import type {RollbackRequest} from './request.js'
import {RollbackReport} from './report.js'
import type {RollbackOutcome, RollbackResult} from './result.js'
import {takeReturnBack} from './return.js'
import {runSteps} from './runner.js'
import {type RollbackHooks, type RollbackWorld, whyTypeName} from './world.js'
import {takeOwnDenyBack} from './writes.js'

/** One rollback: looks, plans, asks, and does it. */
export class Run {
  private readonly opened: Opened
  private readonly report: RollbackReport
  /** Monotonic; the time that the operator took to answer is not counted. */
  private startMs: number
  private step: StepId | undefined

  constructor(
    private readonly request: RollbackRequest,
    private readonly world: RollbackWorld,
    private readonly hooks: RollbackHooks,
    private readonly options: {dryRun: boolean; signal: AbortSignal},
  ) {
    this.opened = new Opened(request, world, options.signal, (event) => this.hear(event))
    this.report = new RollbackReport(request)
    this.startMs = world.clock.nowMs()
  }

  async close(): Promise<void> {
    await this.opened.close()
  }

  async go(): Promise<RollbackResult> {
    let context: RollbackContext
    try {
      const observed = await this.opened.look()
      const agreed = planRollback(observed.view, this.request)
      this.report.observed(observed.view, agreed.found)
      for (const message of agreed.warnings) this.tell({code: 'rollback.plan', message, type: 'warning'})
      context = this.contextOf(observed, agreed, new RecordingEffects(this.request.table, () => {}))
      const refused = await this.announce(context)
      if (refused) return refused
      await this.opened.takeLock(observed)
      const seen = await this.lookAgain(agreed)
      const effects = await this.opened.arm(seen.observed)
      this.report.effects = effects.done
      context = this.contextOf(seen.observed, seen.plan, effects)
    } catch (error) {
      if (isMigratorError(error, 'lock.held')) await this.tellDenyNow()
      return this.report.failed(error, 'refused')
    }

    return this.perform(context)
  }

  /** Whoever holds the lock may have denied writes while it was waited for, and died. */
  private async tellDenyNow(): Promise<void> {
    await tellForeignDeny(
      this.request.table,
      (event) => this.tell(event),
      () => this.opened.denyNow(),
    )
  }

  /** Says what would be done, and asks. @returns the result when it ends here */
  private async announce(context: RollbackContext): Promise<RollbackResult | undefined> {
    const {plan} = context
    const {dryRun} = this.options
    this.tell({steps: plan.steps, type: 'steps'})
    const effects = await foretell(context)
    const sentences = effects.map((effect) => describeEffect(effect, this.request.table))
    if (dryRun) {
      this.report.effects = sentences
      return this.report.finish('dry-run')
    }

    const typeName = whyTypeName(this.request, plan)
    const result = this.report.finish('dry-run')
    const askedAtMs = this.world.clock.nowMs()
    const agreed = await this.hooks.confirm({
      effects: sentences,
      found: plan.found,
      result,
      ...(typeName === undefined ? {} : {typeName}),
    })
    this.startMs += this.world.clock.nowMs() - askedAtMs
    return agreed ? undefined : this.report.finish('refused')
  }

  /**
   * Whoever held the lock until now may have changed what was seen before. What is taken back is what is there now, as long as
   * it is of the kind that was agreed to.
   * @throws MigratorError `rollback.changed`
   */
  private async lookAgain(agreed: RollbackPlan): Promise<{observed: Observed; plan: RollbackPlan}> {
    const observed = await this.opened.look()
    const plan = planRollback(observed.view, this.request)
    if (plan.kind !== agreed.kind) {
      throw new MigratorError('rollback.changed', `${this.request.table} is not as it was: ${plan.found.join(' ')}`, {
        exitCode: ExitCode.refused,
        next: 'Nothing was changed. Run the same command again to see what it would do now.',
      })
    }

    if (plan.steps.join() !== agreed.steps.join()) this.tell({steps: plan.steps, type: 'steps'})
    return {observed, plan}
  }

  private async perform(context: RollbackContext): Promise<RollbackResult> {
    const {plan, state, view} = context
    const {error, timings} = await runSteps(
      context,
      (event) => this.tell(event),
      (step) => {
        this.step = step
      },
    )
    this.report.performed(timings, state)
    if (error !== undefined) return this.stop(context, error)
    if (plan.kind === 'return') return this.end('returned')
    if (state.keptBecause !== undefined) return this.end('duplication-kept')
    if (plan.steps.includes('drop-target')) this.report.dropped(view)
    return this.end('rolled-back')
  }

  /** Whatever this run denied is allowed again before it ends. */
  private async stop(context: RollbackContext, error: unknown): Promise<RollbackResult> {
    const {plan, state, view} = context
    try {
      await takeOwnDenyBack(context)
      if (plan.kind === 'return') await takeReturnBack(context)
    } catch (error_) {
      return this.end(
        'write-denied',
        new MigratorError(
          'rollback.undo_failed',
          `what this rollback had denied for ${this.request.table} could not be allowed again: ${messageOf(error_)}`,
          {cause: error},
        ),
      )
    }

    const served =
      plan.kind === 'return'
        ? !state.returned || state.writableAfterMs !== undefined
        : state.writableAfterMs !== undefined
    const switched = isMigratorError(error, 'rollback.switched')
    if (!served && !switched && (view.deny !== undefined || plan.kind === 'return'))
      return this.end('write-denied', error)
    // A return that would lose something was refused, and everything that was opened for the look is closed again.
    const refused = isMigratorError(error) && error.exitCode === ExitCode.refused
    return this.end(refused ? 'refused' : 'stopped', error)
  }

  private async end(outcome: RollbackOutcome, error?: unknown): Promise<RollbackResult> {
    try {
      await this.opened.journal?.write({kind: 'end', outcome: outcome === 'returned' ? 'rolled-back' : outcome})
    } catch (error_) {
      this.tell({code: 'journal.write_failed', message: messageOf(error_), type: 'warning'})
    }

    return error === undefined ? this.report.finish(outcome) : this.report.failed(error, outcome)
  }

  private contextOf(observed: Observed, plan: RollbackPlan, effects: Effects): RollbackContext {
    const {opened, options, request, world} = this
    const {client} = opened
    const {hints, store, view} = observed
    return {
      client,
      clock: world.clock,
      effects,
      emit: (event) => this.hear(event),
      hints: {...hints, settings: [...view.settings]},
      journal: opened.journal,
      plan,
      random: world.random,
      report: (progress) => this.step !== undefined && this.tell({progress, step: this.step, type: 'progress'}),
      request: {
        table: request.table,
        targetCluster: view.target?.cluster ?? '',
        ...(view.target ? {targetMetas: view.target.metas} : {}),
      },
      rollback: request,
      sendGuardAway: () => opened.sendGuardAway(view),
      signal: options.signal,
      source: client.cluster(request.sourceMetas),
      startMs: this.startMs,
      state: {deniesSource: false, returned: false, settingsPutBack: [], targetDenied: false},
      store,
      target: opened.targetOf(view),
      view,
    }
  }

  /** Events of what rollback shares with a migration. */
  private hear(event: UnstampedEvent): void {
    const translated = translateEvent(event, this.step)
    if (translated) this.tell(translated)
  }

  private tell(event: UnstampedRollbackEvent): void {
    const stamped = {...event, atMs: this.world.clock.wallMs()}
    this.report.hear(stamped)
    this.hooks.emit(stamped)
  }
}
