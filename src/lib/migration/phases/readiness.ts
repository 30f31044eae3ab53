import type {MigrationContext} from '../context.js'
import {factsOf} from '../context.js'
import type {Progress} from '../events.js'
import {predictDrainMs} from '../preflight/prediction.js'
import {notShipping, restingGap, type ShippingView} from '../proof/shipping.js'
import {targetTrouble} from '../target-health.js'
import {timersOf} from '../timers.js'
import {waitUntil} from '../wait.js'
import {shippingOf} from './catch-up.js'

/** Between two samples; each takes some 2 s, because it costs two questions a server. */
const REST_MS = 500
/** Samples in a row that must fit: one may be luck. */
const SAMPLES = 5
/** So long a look counts. */
const READY_MS = 30_000

/** What a cutover that begins now would have to ship first. */
export interface Backlog {
  /** The partition that takes longest, and why the cutover would not fit for it; undefined: it fits. */
  obstacle?: string
  /** Until everything that is committed now is shipped, at the rate of each partition; ms. */
  shipMs: number
}

interface Seen {
  first: {atMs: number; shippedDecree: number}
  /** Up to which decree there was something to ship when it was looked at last. */
  last: {atMs: number; committedDecree: number}
}

/** Measures at which rate each partition ships, over the samples taken so far. */
export class ShipRates {
  /** By partition: one that does not report for a moment is known again from its next sample on. */
  private readonly seen = new Map<number, Seen>()

  /** @param rest mutations per partition that rest unshipped */
  constructor(private readonly rest: number) {}

  /** @returns the longest time that a partition's backlog takes, and which one that is */
  sample(view: ShippingView, atMs: number): {partitionIndex: number; server: string; shipMs: number} | undefined {
    let worst: ReturnType<ShipRates['sample']>
    for (const {lagMutations, partitionIndex, server, shippedDecree} of view.partitions.values()) {
      const backlog = Math.max(0, lagMutations - this.rest)
      const known = this.knownOf(partitionIndex, shippedDecree)
      const shipMs = backlog === 0 ? 0 : timeFor(backlog, {atMs, shippedDecree}, known)
      const last = {atMs, committedDecree: shippedDecree + backlog}
      this.seen.set(partitionIndex, {first: known?.first ?? {atMs, shippedDecree}, last})
      if (!worst || shipMs > worst.shipMs) worst = {partitionIndex, server, shipMs}
    }

    return worst
  }

  /** A new primary ships again from the confirmed decree: what was seen of the one before says nothing. */
  private knownOf(partitionIndex: number, shippedDecree: number): Seen | undefined {
    const known = this.seen.get(partitionIndex)
    return known && shippedDecree >= known.first.shippedDecree ? known : undefined
  }
}

function timeFor(backlog: number, now: {atMs: number; shippedDecree: number}, known: Seen | undefined): number {
  if (!known) return Number.POSITIVE_INFINITY
  const {first, last} = known
  const perMs = (now.shippedDecree - first.shippedDecree) / (now.atMs - first.atMs)
  const atRateMs = perMs > 0 ? backlog / perMs : Number.POSITIVE_INFINITY
  // All that was there at the last look is shipped: what is there now has just come, however seldom something comes.
  return now.shippedDecree >= last.committedDecree ? Math.min(atRateMs, now.atMs - last.atMs) : atRateMs
}

/**
 * Waits until a cutover that began now would fit into its bound: what every partition has to ship, at the rate that was measured,
 * beside what the servers' own timers take; five samples in a row. Nothing is denied meanwhile.
 */
export async function waitUntilReady(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {clock, request, signal, state} = context
  if (state.readyAtMs !== undefined && clock.nowMs() - state.readyAtMs < READY_MS) return
  const rates = new ShipRates(restingGap(factsOf(context).source.generation))
  let inARow = 0
  await waitUntil<Backlog>({
    clock,
    describe: ({obstacle}) => obstacle ?? `it would fit, ${inARow} of ${SAMPLES} times in a row`,
    done({obstacle}) {
      inARow = obstacle === undefined ? inARow + 1 : 0
      return inARow >= SAMPLES
    },
    intervalMs: REST_MS,
    limitMs: request.limits.catchUpMs,
    observe: () => look(context, rates),
    onProgress: ({obstacle}) =>
      report({text: obstacle ?? `the cutover would fit into --max-write-deny (seen ${inARow} of ${SAMPLES} times)`}),
    onTrouble: (error) => report({text: `waiting: ${error.message}`}),
    signal,
    stage: `readiness of ${request.table} for the cutover`,
  })
  state.readyAtMs = clock.nowMs()
}

async function look(context: MigrationContext, rates: ShipRates): Promise<Backlog> {
  const {clock, request, state} = context
  const [view, trouble] = await Promise.all([shippingOf(context, 'shipped'), targetTrouble(context)])
  const worst = rates.sample(view, clock.nowMs())
  const shipMs = worst?.shipMs ?? 0
  const wrong = trouble ?? notShipping(view)
  if (wrong !== undefined) return {obstacle: wrong, shipMs}
  const {generation} = factsOf(context).source
  const window = predictDrainMs(generation, timersOf(state), 0)
  const withBacklog = predictDrainMs(generation, timersOf(state), shipMs)
  // What the servers' timers alone take was judged by Preflight.
  if (withBacklog.sumMs <= Math.max(window.sumMs, request.maxWriteDenyMs)) return {shipMs}
  const takes = Number.isFinite(shipMs) ? `takes ${Math.round(shipMs / 1000)} s to ship` : 'ships nothing'
  return {
    obstacle: `what partition ${worst!.partitionIndex} on ${worst!.server} has to ship ${takes}: the cutover would not fit into --max-write-deny`,
    shipMs,
  }
}
