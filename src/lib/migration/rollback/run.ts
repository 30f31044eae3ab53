import {isMigratorError, messageOf, MigratorError} from '../../errors.js'
import {ExitCode} from '../../exit-codes.js'
import {diskFiles} from '../../files.js'
import {machineProcesses} from '../../processes.js'
import {PegasusClient} from '../../pegasus/client.js'
import type {Cluster} from '../../pegasus/cluster.js'
import {JournaledEffects} from '../effects-journaled.js'
import {LiveEffects} from '../effects-live.js'
import {RecordingEffects} from '../effects-recording.js'
import {describeEffect, type Effects} from '../effects.js'
import type {UnstampedEvent} from '../events.js'
import {GuardChannel} from '../guard/channel.js'
import {sendGuardAway} from '../guard/handle.js'
import {Journal} from '../journal.js'
import {acquireLock, type MigrationLock} from '../lock.js'
import {insist} from '../mend.js'
import type {MetaproxyLocation} from '../request.js'
import type {RollbackContext} from './context.js'
import {type StepId, translateEvent, type UnstampedRollbackEvent} from './events.js'
import {observe, type Observed} from './observe.js'
import {planRollback, type RollbackPlan} from './plan.js'
import {foretell} from './rehearse.js'
import type {RollbackRequest} from './request.js'
import {RollbackReport} from './report.js'
import type {RollbackOutcome, RollbackResult} from './result.js'
import {takeReturnBack} from './return.js'
import {runSteps} from './runner.js'
import type {RollbackView} from './view.js'
import {noJournal, openZooKeeper, type RollbackHooks, type RollbackWorld, whyTypeName} from './world.js'
import {takeOwnDenyBack} from './writes.js'

/** One rollback: looks, plans, asks, and does it. */
export class Run {
  private readonly client: PegasusClient
  private journal: Journal | undefined
  private lock: MigrationLock | undefined
  private observed: Observed | undefined
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
    this.client = new PegasusClient({clock: world.clock, random: world.random, transport: world.transport})
    this.report = new RollbackReport(request)
    this.startMs = world.clock.nowMs()
  }

  async close(): Promise<void> {
    await this.lock?.release()
    await Promise.all([this.client.close(), this.observed?.store?.close(), this.journal?.close()])
  }

  async go(): Promise<RollbackResult> {
    let context: RollbackContext
    try {
      this.observed = await this.look()
      const agreed = planRollback(this.observed.view, this.request)
      this.report.observed(this.observed.view, agreed.found)
      for (const message of agreed.warnings) this.tell({code: 'rollback.plan', message, type: 'warning'})
      context = this.contextOf(this.observed, agreed, new RecordingEffects(this.request.table, () => {}))
      const refused = await this.announce(context)
      if (refused) return refused
      await this.takeLock(this.observed)
      const plan = await this.lookAgain(this.observed, agreed)
      context = await this.armed(this.observed, plan)
    } catch (error) {
      return this.report.failed(error, 'refused')
    }

    return this.perform(context)
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

  private async takeLock(observed: Observed): Promise<void> {
    const {clock, journalDirectory} = this.world
    const {signal} = this.options
    const {limitMs, table} = this.request
    this.lock = await insist(this.mending(), {limitMs, signal}, 'taking the lock', () =>
      acquireLock(
        {
          clock,
          command: this.world.command ?? 'table:migrate-rollback',
          directory: journalDirectory,
          emit: (event) => this.hear(event),
          ...(observed.metaproxy ? {metaproxy: this.locationOf(observed.metaproxy)} : {}),
          ...(this.world.files ? {files: this.world.files} : {}),
          ...(this.world.openLocks ? {openLocks: this.world.openLocks} : {}),
          ...(this.world.processes ? {processes: this.world.processes} : {}),
          sourceCluster: observed.view.source.cluster,
          table,
        },
        signal,
      ),
    )
  }

  /**
   * Whoever held the lock until now may have changed what was seen before. What is taken back is what is there now, as long as
   * it is of the kind that was agreed to.
   * @throws MigratorError `rollback.changed`
   */
  private async lookAgain(before: Observed, agreed: RollbackPlan): Promise<RollbackPlan> {
    this.observed = await this.look()
    await before.store?.close()
    const plan = planRollback(this.observed.view, this.request)
    if (plan.kind !== agreed.kind) {
      throw new MigratorError('rollback.changed', `${this.request.table} is not as it was: ${plan.found.join(' ')}`, {
        exitCode: ExitCode.refused,
        next: 'Nothing was changed. Run the same command again to see what it would do now.',
      })
    }

    if (plan.steps.join() !== agreed.steps.join()) this.tell({steps: plan.steps, type: 'steps'})
    return plan
  }

  /** Journal and effects that are carried out. */
  private async armed(observed: Observed, plan: RollbackPlan): Promise<RollbackContext> {
    const {clock} = this.world
    const {view} = observed
    const {table} = this.request
    if (view.target) await this.openJournal(observed, view.target)
    const live = new LiveEffects({
      clock,
      lock: this.lock,
      source: this.client.cluster(this.request.sourceMetas),
      store: observed.store,
      table,
      target: this.targetOf(view),
    })
    const carried = this.world.wrapEffects?.(live) ?? live
    const effects = new JournaledEffects(
      carried,
      this.journal ?? noJournal,
      table,
      (event) => this.hear(event),
      this.lock,
    )
    this.report.effects = effects.done
    return this.contextOf(observed, plan, effects)
  }

  private async openJournal({metaproxy, view}: Observed, target: {cluster: string; metas: string[]}): Promise<void> {
    const {clock, files, journalDirectory, random} = this.world
    const {table} = this.request
    const run = random().toString(36).slice(2, 10)
    this.journal = await Journal.open(journalDirectory, table, target.cluster, clock, run, files)
    await this.journal.write({
      denyMode: 'reconfig',
      kind: 'begin',
      ...(metaproxy ? {metaproxyHosts: metaproxy.hosts, root: metaproxy.root} : {}),
      sourceCluster: view.source.cluster,
      table,
      targetCluster: target.cluster,
      targetMetas: target.metas,
      version: 1,
    })
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
      await this.journal?.write({kind: 'end', outcome: outcome === 'returned' ? 'rolled-back' : outcome})
    } catch (error_) {
      this.tell({code: 'journal.write_failed', message: messageOf(error_), type: 'warning'})
    }

    return error === undefined ? this.report.finish(outcome) : this.report.failed(error, outcome)
  }

  private look(): Promise<Observed> {
    const {client, request, world} = this
    return observe({
      client,
      emit: (event) => this.hear(event),
      files: world.files ?? diskFiles,
      journalDirectory: world.journalDirectory,
      openStore: (place) => {
        const location = this.locationOf(place)
        return world.openStore?.(location, world.clock) ?? openZooKeeper(location, world.clock)
      },
      request,
      signal: this.options.signal,
    })
  }

  private locationOf(place: {hosts: string; root: string}): MetaproxyLocation {
    const {zooKeeperAuth} = this.request
    return {...place, ...(zooKeeperAuth === undefined ? {} : {auth: zooKeeperAuth})}
  }

  private async sendGuardAway({target}: RollbackView): Promise<void> {
    const {clock, files, journalDirectory, processes = machineProcesses} = this.world
    if (!target) return
    await sendGuardAway(new GuardChannel(journalDirectory, this.request.table, target.cluster, files), clock, processes)
  }

  private mending() {
    const {table} = this.request
    return {
      clock: this.world.clock,
      emit: (event: UnstampedEvent) => this.hear(event),
      request: {table, targetCluster: ''},
    }
  }

  private contextOf(observed: Observed, plan: RollbackPlan, effects: Effects): RollbackContext {
    const {client, options, request, world} = this
    const {hints, store, view} = observed
    return {
      client,
      clock: world.clock,
      effects,
      emit: (event) => this.hear(event),
      hints: {...hints, settings: [...view.settings]},
      journal: this.journal,
      plan,
      random: world.random,
      report: (progress) => this.step !== undefined && this.tell({progress, step: this.step, type: 'progress'}),
      request: {table: request.table, targetCluster: view.target?.cluster ?? ''},
      rollback: request,
      sendGuardAway: () => this.sendGuardAway(view),
      signal: options.signal,
      source: client.cluster(request.sourceMetas),
      startMs: this.startMs,
      state: {deniesSource: false, returned: false, settingsPutBack: [], targetDenied: false},
      store,
      target: this.targetOf(view),
      view,
    }
  }

  private targetOf({target}: RollbackView): Cluster | undefined {
    return target && target.metas.length > 0 ? this.client.cluster(target.metas) : undefined
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
