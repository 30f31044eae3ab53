import {formatSeconds} from '../../durations.js'
import {MigratorError} from '../../errors.js'
import {factsOf, type MigrationContext} from '../context.js'
import type {Progress} from '../events.js'
import {type Fence, readFences} from '../proof/fence.js'
import {listed, restingGap, type ShippingView} from '../proof/shipping.js'
import {explainTarget} from '../target-health.js'
import {patiently, waitUntil} from '../wait.js'
import {shippingOf} from './catch-up.js'

const POLL_MS = 1000

/**
 * Waits until all that is committed now was shipped, but for the mutation per partition that rests. A small lag is also
 * what a table with few writes shows while nothing is shipped at all: then writes would be denied in vain.
 * @throws MigratorError `catch-up.stalled` naming the partitions that do not move
 */
export async function waitUntilShippingMoves(
  context: MigrationContext,
  report: (progress: Progress) => void,
): Promise<void> {
  const {clock, request, signal, source} = context
  const marks = await patiently(context, () => readFences(source, request.table, signal))
  const rest = restingGap(factsOf(context).source.generation)
  const shipped = new Shipped()
  const behind = (view: ShippingView) => partitionsBehind(view, marks, rest)
  await waitUntil<ShippingView>({
    clock,
    describe: (view) => `what was committed before is still to ship: ${listed('partition', behind(view))}`,
    done: (view) => behind(view).length === 0,
    intervalMs: POLL_MS,
    limitMs: request.limits.catchUpMs,
    observe: () => shippingOf(context, 'shipped'),
    onProgress: (view) =>
      report({
        partitionCount: marks.size,
        partitionsDone: marks.size - behind(view).length,
        text: 'everything that was committed before is being shipped',
      }),
    onTrouble: (error) => report({text: `waiting: ${error.message}`}),
    signal,
    stage: `shipping of ${request.table}`,
    stall: {
      figure: (view) => String(shipped.sum(view)),
      limitMs: request.limits.stallMs,
      async onStall(view, stalledForMs) {
        const which = view ? `nothing ships from ${listed('partition', behind(view))}` : 'nothing could be read'
        throw new MigratorError(
          'catch-up.stalled',
          `${request.table}: ${which} for ${formatSeconds(stalledForMs)}. ${await explainTarget(context)}`,
          {next: 'Mend the target; the duplication is kept and the same command goes on from here.'},
        )
      },
    },
  })
}

function partitionsBehind(view: ShippingView, marks: ReadonlyMap<number, Fence>, rest: number): number[] {
  return [...marks.values()]
    .filter(({decree, partitionIndex}) => (view.partitions.get(partitionIndex)?.shippedDecree ?? -1) < decree - rest)
    .map(({partitionIndex}) => partitionIndex)
    .sort((a, b) => a - b)
}

/** Sums up what partitions have surely shipped: each reading is a lower bound, so that one may be below another. */
class Shipped {
  private readonly most = new Map<number, number>()

  sum({partitions}: ShippingView): number {
    for (const [index, {shippedDecree}] of partitions) {
      this.most.set(index, Math.max(shippedDecree, this.most.get(index) ?? 0))
    }

    return [...this.most.values()].reduce((sum, decree) => sum + decree, 0)
  }
}
