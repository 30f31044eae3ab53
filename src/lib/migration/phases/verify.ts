import {MigratorError} from '../../errors.js'
import {plural} from '../../plural.js'
import type {MigrationContext, Phase} from '../context.js'
import {rememberShippers, waitForLateOnes} from '../doubt.js'
import type {Progress} from '../events.js'
import {whileWatchingMeta} from '../fast-cutover.js'
import {listed} from '../proof/shipping.js'
import type {VerifyMode} from '../request.js'
import {timersOf} from '../timers.js'
import {shortestRereadLimitMs, verdictOf, type VerifyReport, verifyTable} from '../verify/index.js'
import {RecentKeys} from '../verify/recent-keys.js'
import {expiryToleranceSeconds, openBothSides} from './both-sides.js'
import {shippingOf} from './catch-up.js'

const PARALLEL_PARTITIONS = 4
/** So often partitions are compared whose primary moves again meanwhile. */
const ROUNDS = 3
/** A mutation ships at the latest two group checks after it was written (measured.md §3), and some margin. */
const SHIP_MARGIN_MS = 20_000

/** Compares rows of the live table on both sides, before writes are denied: only values can tell (product.md, lesson 13). */
export const verify: Phase = {
  id: 'verify',
  async observe() {
    return {done: false}
  },
  skip: ({request, state}) =>
    wantedMode(state, request.verify) === 'none' && state.compareAgain === undefined
      ? 'not wanted (--verify none)'
      : undefined,
  steps: [{title: 'compare rows of both sides', wait}],
  summarize({state}) {
    const {rowsCompared = 0} = state.verification ?? {}
    return `${plural(rowsCompared, 'row is', 'rows are')} the same on both sides`
  },
}

/** Where the order of shipping is in doubt nothing less than all rows will do. */
function wantedMode(state: MigrationContext['state'], asked: VerifyMode): VerifyMode {
  return state.adoptedForeign || state.fullVerifyBecause !== undefined ? 'full' : asked
}

async function wait(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {request, state} = context
  const mode = wantedMode(state, request.verify)
  // Before another cutover only what has come into doubt since.
  const isRest = state.verification !== undefined && state.compareAgain !== undefined
  if (mode !== 'none' && (!isRest || state.fullVerifyBecause !== undefined)) {
    const again = mode === 'full' ? await takeDoubted(context, report) : []
    await compare(context, report, mode)
    settle(state, again)
    state.fullVerifyBecause = undefined
  }

  for (let round = 1; state.compareAgain !== undefined; round++) {
    if (round > ROUNDS) throw restless(context, state.compareAgain)
    const again = await takeDoubted(context, report)
    await compare(context, report, 'full', again)
    settle(state, again)
  }

  await rememberShippers(context)
}

/** What comes into doubt from here on is not settled by the comparison that begins now. */
async function takeDoubted(
  context: MigrationContext,
  report: (progress: Progress) => void,
): Promise<readonly number[]> {
  const {state} = context
  if (state.compareAgain !== undefined) await waitForLateOnes(context, report)
  const partitions = state.compareAgain ?? []
  state.compareAgain = undefined
  return partitions
}

function settle(state: MigrationContext['state'], partitions: readonly number[]): void {
  state.comparedAgain = new Set([...(state.comparedAgain ?? []), ...partitions])
}

function restless({request}: MigrationContext, partitions: number[]): MigratorError {
  return new MigratorError(
    'verify.restless',
    `${listed('partition', partitions)} of ${request.table} got a new primary on the source each time that the rows there were compared (${ROUNDS} of ${ROUNDS})`,
    {next: 'See why the servers of the source do not stay, then run the same command again. Writes were not denied.'},
  )
}

async function compare(
  context: MigrationContext,
  report: (progress: Progress) => void,
  mode: VerifyMode,
  partitions?: readonly number[],
): Promise<void> {
  const {clock, random, request, signal, state} = context
  const sides = await openBothSides(context, signal, request.verifyRowsPerSecond)
  const recentKeys = state.recentKeys ?? new RecentKeys()
  state.recentKeys = recentKeys
  const comparing = verifyTable({
    clock,
    emit: (seen) =>
      report({
        partitionCount: seen.partitionCount,
        partitionsDone: seen.partitionsDone,
        text: `${seen.mode}: ${plural(seen.rowsCompared, 'row')} compared, ${seen.suspects} read again, ${plural(seen.differences, 'differs', 'differ')}`,
      }),
    expiryToleranceSeconds: await expiryToleranceSeconds(context),
    limitMs: request.limits.verifyMs,
    mode,
    onExpiry() {
      state.rowsExpire = true
    },
    onSuspect: (partition, key) => recentKeys.add(partition, key),
    parallel: PARALLEL_PARTITIONS,
    ...(partitions === undefined ? {} : {partitions}),
    async progress() {
      const view = await shippingOf(context, true)
      return Array.from({length: view.partitionCount}, (_, index) => view.partitions.get(index))
    },
    random,
    rereadLimitMs: Math.max(shortestRereadLimitMs, 2 * timersOf(context.state).groupCheckMs + SHIP_MARGIN_MS),
    sampleRows: request.verifySampleRows,
    signal,
    ...sides,
  })
  const result = await whileWatchingMeta(context, comparing)
  const {rowsCompared} = result
  // What is compared again adds to what was compared before.
  const before = partitions && state.verification
  state.verification = before
    ? {...before, rowsCompared: before.rowsCompared + rowsCompared}
    : {
        partitions: result.partitions,
        rowsCompared,
        rowsCountedSource: sum(result.countsSource),
        rowsCountedTarget: sum(result.countsTarget),
      }
  judge(context, result)
}

function sum(counts: number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}

/** @throws MigratorError `verify.different`, `verify.unproved` */
function judge({request, state}: MigrationContext, result: VerifyReport): void {
  const verdict = verdictOf(result)
  if (verdict === 'same' || verdict === 'unverified') return
  const figures = `${result.different} different, ${result.missingOnTarget} missing on the target, ${result.missingOnSource} only on the target (${plural(result.rowsCompared, 'row')} compared)`
  if (verdict === 'different') {
    const [first] = result.differences
    throw new MigratorError(
      'verify.different',
      `rows of ${request.table} are not the same on both sides: ${figures}; the first is ${first?.key} of partition ${first?.partition} (${first?.kind})`,
      {
        facts: {
          different: result.different,
          missingOnSource: result.missingOnSource,
          missingOnTarget: result.missingOnTarget,
        },
        next: `The copy on ${request.targetCluster} is not sound${state.adoptedForeign ? ' (the duplication was begun by somebody else)' : ''}: remove duplication ${state.dupid}, drop the copy, and run the same command again. Writes were not denied.`,
      },
    )
  }

  throw new MigratorError(
    'verify.unproved',
    `${plural(result.unresolved, 'row')} of ${request.table} could not be judged${result.stopped === 'time' ? ' within the time limit' : ''}; ${figures}`,
    {
      facts: {hot: result.hot, unresolved: result.unresolved},
      next: 'Run the same command again at a quieter time, or with a larger --verify-limit. Writes were not denied.',
    },
  )
}
