import {deadline, type Deadline} from '../../clock.js'
import {isMigratorError, messageOf, MigratorError} from '../../errors.js'
import {formatCount, plural} from '../../plural.js'
import {factsOf, type MigrationContext} from '../context.js'
import {doubtPartitions} from '../doubt.js'
import {listed, shortList} from '../proof/shipping.js'
import type {LastLook} from '../result.js'
import {timersOf} from '../timers.js'
import {
  describeDifference,
  RestingComparison,
  type RestingDifference,
  type UnexplainedCounts,
} from '../verify/at-rest.js'
import {untilAborted} from '../verify/waiting.js'
import {expiryToleranceSeconds, openBothSides} from './both-sides.js'

/** What the look may add to the write-deny window at most, less what the pause takes anyway. */
const BUDGET_MS = 500
/** Of the bound. */
const BUDGET_SHARE = 0.1
/** What the rest of a cutover may need: one ZooKeeper transaction, and taking the deny back if it fails. */
const SWITCH_RESERVE_MS = 10_000
const UNDO_MARGIN_MS = 2000
/** A row that differed is worth more time: it will stop the switch. */
const CONFIRM_MS = 1000
/** Rules by which each side deletes and changes rows when it compacts, at a time of its own. */
const COMPACTION_ENV = 'user_specified_compaction'

class TimeOver extends Error {}

/**
 * Looks at rows within the write-deny window while `work` (the pause) is done, and ends a moment after it: what fits into the time
 * left is compared, the rest is left out, and the result says so.
 * @throws MigratorError `verify.different`, `verify.suspicious`, `verify.table_changed`; what `work` throws
 */
export async function whileLooking(
  context: MigrationContext,
  work: (context: MigrationContext) => Promise<void>,
): Promise<void> {
  const {dryRun, request, state} = context
  // Clients write to a target that the node names already.
  if (dryRun || request.verify === 'none' || state.commit === 'done') return work(context)
  const {drained} = state
  let look = new Look(context)
  try {
    await work(context)
    if (state.drained !== drained) {
      // A primary moved meanwhile, and was drained anew: what was read before may have been neither old nor new.
      look.leave()
      look = new Look(context)
    }

    const sentence = 'the last look at both sides'
    context.emit({phase: 'drain', progress: {text: sentence}, step: 'look at rows', type: 'progress'})
    state.lastLook = await look.end()
  } finally {
    look.leave()
  }
}

/** How long the look may take, ms; 0: there is no time for it. */
function budgetOf({clock, request, state}: MigrationContext): number {
  const elapsedMs = state.window.setAtMs === undefined ? 0 : clock.wallMs() - state.window.setAtMs
  const undoMs = timersOf(state).configSyncMs + UNDO_MARGIN_MS
  const leftMs = request.maxWriteDenyMs - undoMs - SWITCH_RESERVE_MS - elapsedMs
  return Math.max(0, Math.min(BUDGET_MS, request.maxWriteDenyMs * BUDGET_SHARE, leftMs))
}

/** One look, begun when it is made. */
class Look {
  private comparison: RestingComparison | undefined
  private counts = true
  private readonly ending = new AbortController()
  private failure: unknown
  private readonly limit: Deadline
  /** Why not everything was looked at. */
  private left: string | undefined
  private partitionCount = 0
  private readonly startMs: number
  private readonly working: Promise<void>

  constructor(private readonly context: MigrationContext) {
    const {clock, signal} = context
    const budgetMs = budgetOf(context)
    this.startMs = clock.nowMs()
    const parent = AbortSignal.any([signal, this.ending.signal])
    this.limit = deadline(clock, budgetMs, () => new TimeOver('there was no more time'), parent)
    this.working = budgetMs > 0 ? this.work() : Promise.resolve()
    if (budgetMs === 0) this.left = 'no time was left within --max-write-deny'
  }

  /** Ends what is still being read. */
  leave(): void {
    this.ending.abort(new TimeOver('it was given up'))
    this.limit.dispose()
  }

  /** Waits until it is done, or its time is over, and judges. @throws as `whileLooking` */
  async end(): Promise<LastLook> {
    await this.working
    const {clock, signal} = this.context
    signal.throwIfAborted()
    if (this.failure !== undefined) throw this.failure
    const found = this.comparison?.found
    if (found && found.differences.length > 0) await this.refuseDifferences()
    if (found && found.unexplained.length > 0) this.refuseCounts(found.unexplained)
    return {
      counted: found?.counted ?? 0,
      countsDiffer: (found?.expiring.length ?? 0) + (found?.unexplained.length ?? 0),
      keysRead: found?.keysRead ?? 0,
      ...(this.left === undefined ? {} : {leftOut: this.left}),
      partitions: this.partitionCount,
      rowsCompared: found?.rowsCompared ?? 0,
      tookMs: Math.round(clock.nowMs() - this.startMs),
    }
  }

  /** Never throws: what goes wrong is judged at the end. */
  private async work(): Promise<void> {
    const {context, limit} = this
    try {
      const [sides, tolerance] = await Promise.all([
        openBothSides(context, limit.signal),
        untilAborted(expiryToleranceSeconds(context), limit.signal),
      ])
      this.partitionCount = sides.partitionCount
      const reason = this.noCountsBecause()
      this.counts = reason === undefined
      this.left = reason
      this.comparison = new RestingComparison({
        clock: context.clock,
        counts: this.counts,
        expiryToleranceSeconds: tolerance,
        ...sides,
        recentKeys: context.state.recentKeys?.newestFirst() ?? [],
        rowsExpire: context.state.rowsExpire === true || tolerance > 0,
      })
      await this.comparison.run(limit.signal)
    } catch (error) {
      if (isMigratorError(error, 'verify.table_changed')) this.failure = error
      // It is a look more, not the proof: a server that cannot be read now is told, and holds nothing up.
      this.left = this.limit.signal.reason instanceof TimeOver ? this.timeOver() : messageOf(error)
    }
  }

  private noCountsBecause(): string | undefined {
    const {source, target} = factsOf(this.context)
    if (source.generation === '2.4' || target.generation === '2.4') return '2.4 cannot count rows'
    const rules = [source.table, target.table].some((table) => table?.envs.has(COMPACTION_ENV))
    return rules ? `rows were not counted: with ${COMPACTION_ENV} each side removes rows at its own time` : undefined
  }

  private timeOver(): string {
    const {counted = 0, keysRead = 0} = this.comparison?.found ?? {}
    const keys = this.context.state.recentKeys?.newestFirst().length ?? 0
    const parts = [
      ...(this.counts ? [`${counted} of ${plural(this.partitionCount, 'partition')} counted`] : []),
      ...(keysRead < keys ? [`${formatCount(keysRead)} of ${plural(keys, 'row')} written lately read`] : []),
    ]
    return `time was over: ${parts.join(', ') || 'nothing could be read'}`
  }

  /** Nothing moves any more, so what differs a second time is different. */
  private async refuseDifferences(): Promise<void> {
    const {context} = this
    const {clock, request, signal, state} = context
    const limit = deadline(clock, CONFIRM_MS, () => new TimeOver('there was no more time'), signal)
    let confirmed: RestingDifference[]
    try {
      const sides = await openBothSides(context, limit.signal)
      confirmed = await this.comparison!.confirm(sides, limit.signal)
    } catch (error) {
      signal.throwIfAborted()
      const partitions = [...new Set(this.comparison!.found.differences.map(({partition}) => partition))]
      throw this.suspicious(partitions, `rows differ, and could not be read again (${messageOf(error)})`)
    } finally {
      limit.dispose()
    }

    if (confirmed.length === 0) return
    throw new MigratorError(
      'verify.different',
      `rows of ${request.table} are not the same on both sides after everything was shipped: ${confirmed.length} of those looked at differ; the first is ${describeDifference(confirmed[0]!)}`,
      {
        facts: {different: confirmed.length},
        next: `The copy on ${request.targetCluster} is not sound: remove duplication ${state.dupid}, drop the copy, and run the same command again (docs/verify.md). Writes are allowed again on the source.`,
      },
    )
  }

  /** A count proves nothing; the rows of those partitions do, and are compared where there is time for it. */
  private refuseCounts(unexplained: readonly UnexplainedCounts[]): void {
    const {context} = this
    const open = unexplained.filter(({partition}) => !context.state.comparedAgain?.has(partition))
    const text = ({partition, source, target}: UnexplainedCounts) =>
      `partition ${partition} has ${plural(source, 'row')} on the source and ${target} on the target`
    if (open.length > 0)
      throw this.suspicious(
        open.map(({partition}) => partition),
        text(open[0]!),
      )
    const message = `${text(unexplained[0]!)}, as in the cutover before; all its rows were compared since and are the same`
    context.state.warnings.push(message)
    context.emit({code: 'verify.counts', message, type: 'warning'})
  }

  private suspicious(partitions: number[], why: string): MigratorError {
    const {request, state} = this.context
    doubtPartitions(state, partitions)
    return new MigratorError(
      'verify.suspicious',
      `the last look at ${request.table} found what it had no time to explain: ${why}; all rows of ${listed('partition', partitions)} must be compared`,
      {
        facts: {partitions: shortList(partitions)},
        next: 'Writes are allowed again on the source. Run the same command again with --verify full.',
      },
    )
  }
}
