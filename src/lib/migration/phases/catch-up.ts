import {formatSeconds} from '../../durations.js'
import {MigratorError} from '../../errors.js'
import {formatCount, plural} from '../../plural.js'
import {DuplicationStatus} from '../../rpc/structs/duplication.js'
import {factsOf, type MigrationContext, type Phase} from '../context.js'
import {doubtMoved, doubtServers, doubtSkipping, refuseFailMode} from '../doubt.js'
import type {Progress} from '../events.js'
import {lowerSyncInterval, waitForShortSync, watchMeta} from '../fast-cutover.js'
import {notShipping, pendingMutations, readShipping, type ShippingView, worstPartition} from '../proof/shipping.js'
import {ensureSteady, keepOrder} from '../settings.js'
import {explainTarget, requireFitTarget} from '../target-health.js'
import {patiently, waitUntil} from '../wait.js'
import {findEntry} from './duplicate.js'
import {waitUntilReady} from './readiness.js'
import {waitUntilShippingMoves} from './shipping-moves.js'

const POLL_MS = 1000
const SETTINGS_EVERY_MS = 10_000
/** Readings in a row that must be at or under the threshold: one may be luck. */
const READINGS = 3

/** Waits until the table's pending mutations are few. Measured per table, as a lag, never as a rate. */
export const catchUp: Phase = {
  id: 'catch-up',
  async observe() {
    return {done: false}
  },
  steps: [
    // Early, because it counts only after each server's next tick: at least one old interval before the deny. Mostly it is done already,
    // while the target copied.
    {
      act: (context) => patiently(context, () => prepareServers(context)),
      title: "shorten the source servers' config sync for the cutover",
    },
    {title: 'wait until the pending mutations are few', wait},
    // A small lag tells nothing of a target that takes nothing any more (product.md, lesson 11).
    {title: 'look whether the target is fit', wait: (context) => patiently(context, () => requireFitTarget(context))},
    {title: 'wait until shipping is seen to move', wait: waitUntilShippingMoves},
    {title: 'wait until the cutover can be short', wait: waitForCutover},
  ],
  summarize: ({state}) => `${plural(state.pendingMutations ?? 0, 'mutation')} pending`,
}

async function prepareServers(context: MigrationContext): Promise<void> {
  // Before rows are compared: what is shipped in batches afterwards would be compared in vain.
  if (!context.dryRun) await keepOrder(context)
  await lowerSyncInterval(context)
}

/** Both take their time, side by side; nothing is denied. */
async function waitForCutover(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  let isShort = false
  const short = waitForShortSync(context, report).then(() => {
    isShort = true
  })
  await Promise.all([short, waitUntilReady(context, (progress) => isShort && report(progress))])
}

async function wait(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {clock, request, signal, state} = context
  const {generation} = factsOf(context).source
  let settingsAtMs = clock.nowMs()
  let inARow = 0
  let best = Number.POSITIVE_INFINITY
  let rate: {atMs: number; pending: number} | undefined
  await waitUntil<ShippingView>({
    clock,
    describe: (view) =>
      `${plural(pendingMutations(view, generation), 'mutation')} pending; ${worstPartition(view) ?? ''}`,
    done(view) {
      const pending = pendingMutations(view, generation)
      state.pendingMutations = pending
      inARow = pending <= request.thresholdMutations && notShipping(view) === undefined ? inARow + 1 : 0
      return inARow >= READINGS
    },
    intervalMs: POLL_MS,
    limitMs: request.limits.catchUpMs,
    async observe() {
      await requireLog(context)
      if (clock.nowMs() - settingsAtMs >= SETTINGS_EVERY_MS) {
        settingsAtMs = clock.nowMs()
        await keepSettings(context)
      }

      return shippingOf(context, false)
    },
    onProgress(view) {
      const lagMutations = pendingMutations(view, generation)
      const nowMs = clock.nowMs()
      const eta =
        rate && rate.pending > lagMutations
          ? ((lagMutations - request.thresholdMutations) * (nowMs - rate.atMs)) / (rate.pending - lagMutations)
          : undefined
      rate ??= {atMs: nowMs, pending: lagMutations}
      const shipping = [...view.partitions.values()].filter(({duplicating}) => duplicating).length
      const worst = worstPartition(view)
      report({
        ...(eta === undefined ? {} : {etaMs: Math.max(0, eta)}),
        lagMutations,
        partitionCount: view.partitionCount,
        partitionsDone: shipping,
        text:
          notShipping(view) ??
          `${plural(lagMutations, 'mutation')} pending, threshold ${formatCount(request.thresholdMutations)}`,
        ...(worst === undefined ? {} : {worst}),
      })
    },
    onTrouble: (error) => report({text: `waiting: ${error.message}`}),
    signal,
    stage: `catching up of ${request.table}`,
    stall: {
      // Only a new low is movement: a lag that goes up and down does not come nearer.
      figure(view) {
        best = Math.min(best, pendingMutations(view, generation))
        return String(best)
      },
      limitMs: request.limits.stallMs,
      async onStall(view, stalledForMs) {
        if (view && pendingMutations(view, generation) <= request.thresholdMutations && notShipping(view) === undefined)
          return
        throw new MigratorError(
          'catch-up.stalled',
          `${request.table}: the lag did not fall for ${formatSeconds(stalledForMs)}; ${view ? `${plural(pendingMutations(view, generation), 'mutation')} pending, ${notShipping(view) ?? worstPartition(view)}` : 'nothing could be read'}. ${await explainTarget(context)}`,
          {
            next: 'Mend the target, or raise --threshold; the duplication is kept and the same command goes on from here.',
          },
        )
      },
    },
  })
}

/** @throws MigratorError when the duplication is not in DS_LOG any more, or may leave something out */
export async function requireLog(context: MigrationContext): Promise<void> {
  const entry = await findEntry(context)
  await refuseFailMode(context, entry)
  if (entry.status !== DuplicationStatus.DS_LOG) {
    throw new MigratorError(
      'duplicate.not_log',
      `duplication ${entry.dupid} of ${context.request.table} is in ${DuplicationStatus[entry.status]}, not DS_LOG: somebody changed it`,
      {next: 'Find out who did; running the same command again goes on from here.'},
    )
  }
}

/** What a restart, or a new meta leader, undoes. */
export async function keepSettings(context: MigrationContext): Promise<void> {
  await ensureSteady(context)
  if (context.state.fast) await lowerSyncInterval(context)
  await watchMeta(context)
  await keepOrder(context)
  await doubtServers(context)
}

/** One reading of our duplication. */
export async function shippingOf(
  context: MigrationContext,
  decrees: boolean | 'shipped',
  signal = context.signal,
): Promise<ShippingView> {
  const view = await readShipping({
    cluster: context.source,
    decrees,
    dupid: context.state.dupid,
    generation: factsOf(context).source.generation,
    signal,
    table: context.request.table,
  })
  await doubtSkipping(context, view)
  doubtMoved(context, view.primaries)
  return view
}
