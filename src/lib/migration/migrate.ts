import {setMaxListeners} from 'node:events'

import {isMigratorError, messageOf, MigratorError} from '../errors.js'
import {openZooKeeper} from '../metaproxy/open.js'
import type {MetaproxyStore} from '../metaproxy/store.js'
import {PegasusClient} from '../pegasus/client.js'
import {factsOf, freshState, type MigrationContext} from './context.js'
import {JournaledEffects} from './effects-journaled.js'
import {LiveEffects} from './effects-live.js'
import {RecordingEffects} from './effects-recording.js'
import {describeEffect, type Effects} from './effects.js'
import type {UnstampedEvent} from './events.js'
import type {Migrate, MigrateHooks, MigrationWorld} from './index.js'
import {hintsOf, Journal, journalPath, readJournal} from './journal.js'
import {restoreSyncInterval} from './fast-cutover.js'
import type {GuardHandle} from './guard/handle.js'
import {locate} from './position.js'
import type {MigrationRequest} from './request.js'
import type {MigrationResult} from './result.js'
import {ResultBuilder} from './result-builder.js'
import {boundedContext, cutover, phases, type RunOutcome, runPhases} from './runner.js'
import {timersOf} from './timers.js'
import {undo} from './undo.js'
import {mayPass} from './wait.js'

const DEFAULT_CUTOVER_ATTEMPTS = 3
/** What another try may get over, besides servers in passing trouble. */
const passing = ['cutover.bound', 'deny.not_proved', 'drain.limit', 'wait.limit']

function worthAnotherTry(error: unknown, signal: AbortSignal): boolean {
  return !signal.aborted && (isMigratorError(error, ...passing) || mayPass(error))
}

/** Moves a table, or says what moving it would do. See `Migrate`. */
export const migrate: Migrate = async (request, world, hooks, {dryRun, signal}) => {
  const run = new Run(request, world, hooks, dryRun, signal)
  try {
    return await run.go()
  } finally {
    await run.close()
  }
}

class Run {
  private readonly builder: ResultBuilder
  private readonly client: PegasusClient
  private context: MigrationContext | undefined
  private readonly forward = new AbortController()
  private guard: GuardHandle | undefined
  private readonly store: MetaproxyStore | undefined

  constructor(
    private readonly request: MigrationRequest,
    private readonly world: MigrationWorld,
    private readonly hooks: MigrateHooks,
    private readonly dryRun: boolean,
    private readonly signal: AbortSignal,
  ) {
    this.builder = new ResultBuilder(request)
    // Hundreds of calls may be under way on one signal; each takes its listener away again.
    setMaxListeners(0, signal, this.forward.signal)
    this.client = new PegasusClient({clock: world.clock, random: world.random, transport: world.transport})
    this.store = request.metaproxy && (world.openStore ?? openZooKeeper)(request.metaproxy, world.clock)
  }

  async close(): Promise<void> {
    await Promise.all([this.client.close(), this.store?.close(), this.context?.journal?.close()])
  }

  async go(): Promise<MigrationResult> {
    try {
      this.context = await this.openContext()
    } catch (error) {
      return this.builder.failed(error, 'refused')
    }

    return this.dryRun ? this.rehearse(this.context) : this.perform(this.context)
  }

  /** Preflight for real, every later phase on the recording twin. */
  private async rehearse(context: MigrationContext): Promise<MigrationResult> {
    const outcome = await runPhases(context, phases)
    this.builder.addTimings(outcome.timings)
    this.builder.effects = (context.effects as RecordingEffects).recorded.map((e) =>
      describeEffect(e, this.request.table),
    )
    return outcome.error === undefined
      ? this.builder.finish(context, 'dry-run')
      : this.builder.failed(outcome.error, 'refused', context)
  }

  private async perform(context: MigrationContext): Promise<MigrationResult> {
    const [preflight, ...rest] = phases
    const checked = await runPhases(context, [preflight!])
    this.builder.addTimings(checked.timings)
    if (checked.error !== undefined) return this.builder.failed(checked.error, 'refused', context)
    if (!(await this.confirmed(context))) return this.builder.finish(context, 'refused')

    const {denyMode, maxWriteDenyMs, metaproxy, proxies, table, targetCluster, targetMetas, thresholdMutations} =
      this.request
    await context.journal!.write({
      denyMode,
      kind: 'begin',
      maxWriteDenyMs,
      ...(metaproxy ? {metaproxyHosts: metaproxy.hosts, proxies, root: metaproxy.root} : {}),
      sourceCluster: factsOf(context).source.info.clusterName,
      table,
      targetCluster,
      targetMetas,
      thresholdMutations,
      version: 1,
    })
    const position = locate(context)
    // A deny that an earlier run left behind is taken back first: whoever waits for writes waits no longer.
    if (position === 'denied') {
      const undone = await undo(context, {
        reason: 'an earlier run left the table write-denied',
        signal: this.forward.signal,
      })
      if (undone.state === 'denied')
        return this.end(context, 'write-denied', new MigratorError('undo.failed', undone.reason))
    }

    if (position !== 'committed') {
      const prepared = await runPhases(
        context,
        rest.filter(({id}) => !cutover.has(id) && id !== 'finish'),
      )
      this.builder.addTimings(prepared.timings)
      if (prepared.error !== undefined) return this.stop(context, prepared)
      const stopped = await this.cutOverWithRetries(context)
      if (stopped) return stopped
    }

    const left = rest.filter(({id}) => id === 'finish' || (position === 'committed' && id === 'switch'))
    const finished = await runPhases({...context, signal: context.forward}, left)
    this.builder.addTimings(finished.timings)
    if (finished.error !== undefined) return this.stop(context, finished)
    return this.end(context, context.state.handedOver ? 'handed-over' : 'migrated')
  }

  /**
   * Tries the cutover; one that was taken back is tried again after the lag has fallen once more.
   * @returns the result when the run ends here, undefined when the table was handed over
   */
  private async cutOverWithRetries(context: MigrationContext): Promise<MigrationResult | undefined> {
    const attempts = this.request.cutoverAttempts ?? DEFAULT_CUTOVER_ATTEMPTS
    for (let attempt = 1; ; attempt++) {
      const cut = await this.cutOver(
        context,
        phases.filter(({id}) => cutover.has(id)),
      )
      this.builder.addTimings(cut.timings)
      if (cut.error === undefined) {
        await this.dismissGuard()
        return undefined
      }

      if (attempt >= attempts || !worthAnotherTry(cut.error, this.signal)) return this.stop(context, cut)
      const undone = await undo(context, {reason: messageOf(cut.error), signal: this.forward.signal})
      if (undone.state !== 'writable') return this.stop(context, cut)
      await this.dismissGuard()
      context.emit({
        code: 'cutover.again',
        message: `cutover ${attempt} of ${attempts} was taken back (${messageOf(cut.error)}); writes are allowed, catching up again`,
        type: 'warning',
      })
      context.state.earlierWindows.push(context.state.window)
      context.state.window = {}
      const caughtUp = await runPhases(
        context,
        phases.filter(({id}) => id === 'catch-up'),
      )
      this.builder.addTimings(caughtUp.timings)
      if (caughtUp.error !== undefined) return this.stop(context, caughtUp)
    }
  }

  /** Deny, drain and switch, with a signal that aborts early enough for the undo to fit into the bound. */
  private async cutOver(context: MigrationContext, during: typeof phases): Promise<RunOutcome> {
    let guard: GuardHandle | undefined
    try {
      guard = await this.startGuard(context)
    } catch (error) {
      return {error, timings: []}
    }

    context.guard = guard
    const bounded = boundedContext(context)
    try {
      return await runPhases(bounded.context, during)
    } finally {
      bounded.dispose()
      this.guard = guard
    }
  }

  private async startGuard(context: MigrationContext): Promise<GuardHandle | undefined> {
    const {journalDirectory, startGuard} = this.world
    if (!startGuard) return undefined
    const {request, state} = context
    return startGuard({dupid: state.dupid, journalDirectory, request, timers: timersOf(state)}, context.emit)
  }

  /** Only when nothing is denied any more, or nothing may be lifted any more. */
  private async dismissGuard(): Promise<void> {
    await this.guard?.dismiss()
    this.guard = undefined
  }

  private async stop(context: MigrationContext, outcome: RunOutcome): Promise<MigrationResult> {
    const {error} = outcome
    const undone = await undo(context, {reason: messageOf(error), signal: this.forward.signal})
    // While writes may be denied the guard stays: it goes on trying when this run has ended.
    if (undone.state !== 'denied') await this.dismissGuard()
    if (undone.state === 'switched') return this.end(context, 'switched-unfinished', error)
    if (undone.state === 'denied')
      return this.end(context, 'write-denied', new MigratorError('undo.failed', undone.reason, {cause: error}))
    await restoreSyncInterval(context, this.forward.signal)
    if (isMigratorError(error, 'duplicate.primary_moved')) await this.dropTainted(context)
    return this.end(context, 'stopped', error)
  }

  /** A duplication whose copy may lack writes must not be found and adopted later; removing it before DS_LOG is safe. */
  private async dropTainted(context: MigrationContext): Promise<void> {
    await context.effects.perform({dupid: context.state.dupid, kind: 'remove-duplication'}, this.forward.signal)
    context.state.dupid = 0
    await undo(context, {reason: '', signal: this.forward.signal})
  }

  private async end(
    context: MigrationContext,
    outcome: MigrationResult['outcome'],
    error?: unknown,
  ): Promise<MigrationResult> {
    await context.journal?.write({kind: 'end', outcome})
    this.builder.effects = context.effects instanceof JournaledEffects ? context.effects.done : []
    return error === undefined ? this.builder.finish(context, outcome) : this.builder.failed(error, outcome, context)
  }

  private async confirmed(context: MigrationContext): Promise<boolean> {
    const effects = await this.plan(context)
    return this.hooks.confirm({effects, result: this.builder.finish(context, 'dry-run')})
  }

  /** What the phases would do, from the recording twin. */
  private async plan(context: MigrationContext): Promise<string[]> {
    const recording = new RecordingEffects(this.request.table, () => {})
    const rehearsal: MigrationContext = {
      ...context,
      dryRun: true,
      effects: recording,
      emit() {},
      hints: {...context.hints, settings: [...context.hints.settings]},
      journal: undefined,
      state: {...freshState(), facts: context.state.facts},
    }
    const {error} = await runPhases(rehearsal, phases.slice(1))
    if (error !== undefined) throw error
    return recording.recorded.map((effect) => describeEffect(effect, this.request.table))
  }

  private async openContext(): Promise<MigrationContext> {
    const {client, dryRun, hooks, request, signal, store, world} = this
    const emit = (event: UnstampedEvent) => {
      const stamped = {...event, atMs: world.clock.wallMs()}
      this.builder.hear(stamped)
      hooks.emit(stamped)
    }

    const source = client.cluster(request.sourceMetas)
    const target = client.cluster(request.targetMetas)
    const runId = world.random().toString(36).slice(2, 10)
    const where = [world.journalDirectory, request.table, request.targetCluster] as const
    const journal = dryRun ? undefined : await Journal.open(...where, world.clock, runId, world.files)
    const past = journal?.past ?? (await readJournal(journalPath(...where), world.files))
    const live = new LiveEffects({clock: world.clock, source, store, table: request.table, target})
    const effects: Effects = journal
      ? new JournaledEffects(live, journal, request.table, emit)
      : new RecordingEffects(request.table, emit)
    return {
      askMoved: (bound) => hooks.askMoved(bound),
      client,
      clock: world.clock,
      dryRun,
      effects,
      emit,
      forward: this.forward.signal,
      hints: hintsOf(past),
      journal,
      random: world.random,
      request,
      signal,
      source,
      state: freshState(),
      store,
      target,
    }
  }
}
