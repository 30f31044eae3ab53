import {isMigratorError, messageOf, MigratorError} from '../errors.js'
import {DuplicationStatus} from '../rpc/structs/duplication.js'
import {factsOf, type MigrationContext} from './context.js'
import {Cutover} from './cutover.js'
import {tellDeniedNow} from './denied-now.js'
import {JournaledEffects} from './effects-journaled.js'
import {RecordingEffects} from './effects-recording.js'
import {restoreSyncInterval} from './fast-cutover.js'
import type {PhaseId} from './events.js'
import type {Migrate, MigrateHooks, MigrationWorld} from './index.js'
import {type OpenRun, openRun} from './open-run.js'
import {askHook, isHookOwed, tellHook, tellSwitched} from './operator-hooks/calls.js'
import {perhapsOverwritten, wasDrainedBeforeSwitch} from './node-watch.js'
import {findEntry} from './phases/duplicate.js'
import {locate, type Position} from './position.js'
import {foretell, rehearseRest, sentences} from './rehearsal.js'
import {ResultBuilder} from './result-builder.js'
import type {MigrationResult} from './result.js'
import {cutoverPhases, phases, runPhases} from './runner.js'
import {refuseOtherPlan} from './same-plan.js'
import {outwaitEarlierDeny, undo} from './undo.js'

/** Moves a table, or says what moving it would do. See `Migrate`. */
export const migrate: Migrate = async (request, world, hooks, {dryRun, signal}) => {
  const builder = new ResultBuilder(request)
  let open: OpenRun
  try {
    open = await openRun({builder, dryRun, hooks, request, signal, world})
  } catch (error) {
    return builder.failed(error, 'refused')
  }

  try {
    await refuseOtherPlan(open.context, open.past, {directory: world.journalDirectory, files: world.files})
  } catch (error) {
    await open.close()
    return builder.failed(error, 'refused', open.context)
  }

  try {
    return dryRun ? await rehearse(open.context, builder) : await new Run(open, builder, world, hooks).perform()
  } finally {
    await open.close()
  }
}

/** Preflight for real, what is left of the later phases on the recording twin. */
async function rehearse(context: MigrationContext, builder: ResultBuilder): Promise<MigrationResult> {
  const checked = await runPhases(context, phases.slice(0, 1))
  builder.addTimings(checked.timings)
  if (checked.error !== undefined) return builder.failed(checked.error, 'refused', context)
  try {
    const {error, timings} = await rehearseRest(context)
    builder.addTimings(timings)
    if (context.effects instanceof RecordingEffects) builder.effects = sentences(context, context.effects)
    return error === undefined ? builder.finish(context, 'dry-run') : builder.failed(error, 'refused', context)
  } catch (error) {
    return builder.failed(error, 'refused', context)
  }
}

class Run {
  private readonly context: MigrationContext
  private readonly cutover: Cutover

  constructor(
    private readonly open: OpenRun,
    private readonly builder: ResultBuilder,
    world: MigrationWorld,
    private readonly hooks: MigrateHooks,
  ) {
    this.context = open.context
    this.cutover = new Cutover(
      world,
      open.context,
      (timings) => builder.addTimings(timings),
      () => open.lockToken(),
    )
  }

  async perform(): Promise<MigrationResult> {
    const {builder, context} = this
    const checked = await runPhases(context, phases.slice(0, 1))
    builder.addTimings(checked.timings)
    if (checked.error !== undefined) return this.refused(checked.error)
    let position: Position
    try {
      if (!(await this.confirmed())) return builder.finish(context, 'refused')
      if ((await this.open.acquireLock()).goneOn) await this.lookAgain()
      await context.holdDesk?.prepare()
      await this.writeBegin()
      position = await locate(context)
      if (position === 'begin') await askHook(context, 'validated')
    } catch (error) {
      return this.refused(error)
    }

    try {
      return await this.goOn(position)
    } catch (error) {
      // Phases report their failures; this is for what fails between them. Nothing may be left denied.
      return await this.stop(error)
    } finally {
      this.cutover.leaveGuard()
    }
  }

  /** What Preflight judged stands no more: another command went on with this table, or ended, before the lock was had. */
  private async lookAgain(): Promise<void> {
    const {builder, context} = this
    const message = `another command went on with ${context.request.table} since Preflight looked: it looks again`
    context.emit({code: 'preflight.again', message, type: 'warning'})
    const checked = await runPhases(context, phases.slice(0, 1))
    builder.addTimings(checked.timings)
    if (checked.error !== undefined) throw checked.error
  }

  private async refused(error: unknown): Promise<MigrationResult> {
    const {builder, context} = this
    await tellDeniedNow(context, error)
    await tellHook(context, 'failed', {error, outcome: 'refused'})
    return builder.failed(error, 'refused', context)
  }

  private async goOn(position: Position): Promise<MigrationResult> {
    const {context} = this
    // A deny that an earlier run left behind is taken back first: whoever waits for writes waits no longer.
    if (position === 'denied') {
      const reason = 'an earlier run left the table write-denied'
      const undone = await undo(context, {reason, signal: context.forward})
      if (undone.state === 'denied') return this.end('write-denied', new MigratorError('undo.failed', undone.reason))
      if (undone.state === 'switched') return this.goOn('committed')
      await tellHook(context, 'rolled-back')
    }

    if (position === 'committed') {
      const failed = await this.runForward(['switch'])
      if (failed) return this.stop(failed.error)
      // An earlier run switched it, and may have died before it said so.
      if (isHookOwed(this.open.past, 'after-switch')) await tellSwitched(context)
    } else {
      await outwaitEarlierDeny(context)
      const before = phases.filter(({id}) => !cutoverPhases.has(id) && id !== 'preflight' && id !== 'finish')
      const prepared = await runPhases(context, before)
      this.builder.addTimings(prepared.timings)
      if (prepared.error !== undefined) return this.stop(prepared.error)
      const stopped = await this.cutover.run()
      if (stopped) return stopped.switched ? this.goForward(stopped.error) : this.stop(stopped.error)
      await tellSwitched(context)
    }

    const failed = await this.runForward(['finish'])
    if (failed) return this.stop(failed.error)
    return this.end(context.state.handedOver ? 'handed-over' : 'migrated')
  }

  /** What goes on whatever happened to the run's own signal. @returns what failed */
  private async runForward(ids: PhaseId[]): Promise<undefined | {error: unknown}> {
    const {builder, context} = this
    const selected = phases.filter(({id}) => ids.includes(id))
    const {error, timings} = await runPhases({...context, signal: context.forward}, selected)
    builder.addTimings(timings)
    return error === undefined ? undefined : {error}
  }

  /** Before our own commit point the node turned out to name the target: there is only forward from here. */
  private async goForward(cause: unknown): Promise<MigrationResult> {
    const {context, cutover} = this
    const {clock, emit, request, state} = context
    await cutover.dismissGuard()
    state.window.switchedAtMs ??= clock.wallMs()
    const message = `metaproxy's node of ${request.table} names ${request.targetCluster}: going on from there (${messageOf(cause)})`
    emit({code: 'switch.turned_out', message, type: 'warning'})
    const overwritten = wasDrainedBeforeSwitch(context) ? undefined : perhapsOverwritten(context)
    if (overwritten) emit({code: overwritten.code, message: overwritten.message, type: 'warning'})
    // What was accepted must arrive all the same, and nothing may ship afterwards.
    const ids: PhaseId[] = state.switchSent || (await this.isPaused()) ? ['switch'] : ['drain', 'switch']
    const switched = await this.runForward(ids)
    if (!switched) await tellSwitched(context)
    const failed = switched ?? (overwritten ? undefined : await this.runForward(['finish']))
    if (failed) return this.end('switched-unfinished', overwritten ?? failed.error)
    return overwritten ? this.end('switched-unfinished', overwritten) : this.end('migrated')
  }

  /** It is paused only once everything has arrived. */
  private async isPaused(): Promise<boolean> {
    const {status} = await findEntry({...this.context, signal: this.context.forward})
    return status === DuplicationStatus.DS_PAUSE
  }

  /** The way out of every failure: the deny is taken back and proved, or it is said why not. */
  private async stop(error: unknown): Promise<MigrationResult> {
    const {context, cutover} = this
    const liftedBefore = context.state.window.liftedAtMs
    const wasCommitted = context.state.commit === 'done'
    const undone = await undo(context, {reason: messageOf(error), signal: context.forward})
    // While writes may be denied the guard stays: it goes on trying when this run has ended.
    if (undone.state !== 'denied') await cutover.dismissGuard()
    if (undone.state === 'switched') {
      return wasCommitted ? this.end('switched-unfinished', error) : this.goForward(error)
    }

    if (undone.state === 'denied') {
      return this.end('write-denied', new MigratorError('undo.failed', undone.reason, {cause: error}))
    }

    if (context.state.window.liftedAtMs !== liftedBefore) await tellHook(context, 'rolled-back', {error})
    await this.tidy(() => restoreSyncInterval(context, context.forward))
    if (isMigratorError(error, 'duplicate.primary_moved')) await this.tidy(() => this.dropTainted())
    return this.end('stopped', error)
  }

  /** Writes are allowed by now: what cannot be tidied up is told, and left to the next run. */
  private async tidy(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      const message = `not everything could be put back: ${messageOf(error)}; running the same command again, or table:migrate-rollback, does it`
      this.context.emit({code: 'stop.left', message, type: 'warning'})
    }
  }

  /** A duplication whose copy may lack writes must not be found and adopted later; removing it before DS_LOG is safe. */
  private async dropTainted(): Promise<void> {
    const {effects, forward, state} = this.context
    await effects.perform({dupid: state.dupid, kind: 'remove-duplication'}, forward)
    state.dupid = 0
    await undo(this.context, {reason: '', signal: forward})
  }

  private async end(outcome: MigrationResult['outcome'], error?: unknown): Promise<MigrationResult> {
    const {builder, context} = this
    try {
      await context.journal?.write({kind: 'end', outcome})
    } catch (error_) {
      // What was done is done; the next run reads it from the clusters.
      context.emit({code: 'journal.write_failed', message: messageOf(error_), type: 'warning'})
    }

    const isGood = outcome === 'handed-over' || outcome === 'migrated'
    await tellHook(context, isGood ? 'finished' : 'failed', {error, outcome})
    builder.effects = context.effects instanceof JournaledEffects ? context.effects.done : []
    return error === undefined ? builder.finish(context, outcome) : builder.failed(error, outcome, context)
  }

  private async confirmed(): Promise<boolean> {
    const effects = await foretell(this.context)
    return this.hooks.confirm({effects, result: this.builder.finish(this.context, 'dry-run')})
  }

  private async writeBegin(): Promise<void> {
    const {journal, request} = this.context
    const {denyMode, maxWriteDenyMs, metaproxy, proxies, sourceMetas} = request
    const {table, targetCluster, targetMetas, thresholdMutations} = request
    await journal?.write({
      denyMode,
      kind: 'begin',
      maxWriteDenyMs,
      ...(metaproxy ? {metaproxyHosts: metaproxy.hosts, proxies, root: metaproxy.root} : {}),
      sourceCluster: factsOf(this.context).source.info.clusterName,
      sourceMetas,
      table,
      targetCluster,
      targetMetas,
      thresholdMutations,
      version: 1,
    })
  }
}
