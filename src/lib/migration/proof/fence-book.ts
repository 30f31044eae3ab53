import type {Clock} from '../../clock.js'
import {plural} from '../../plural.js'
import type {DeniedAt} from '../context.js'
import type {Generation} from '../preflight/check.js'
import {allowedEmptyWrites, type Fence, grownFences} from './fence.js'
import {listed, type PartitionShipping} from './shipping.js'

/**
 * So long after a primary began to refuse, in-flight prepares and the write queue have come to rest (protocol.md §4.3, step 2).
 * A mutation whose log write hangs on a slow disk is not in the fence of 2.4/2.5, and if it comes later, alone, nothing tells it
 * from an empty write. Up to a group check costs nothing: the empty write that lets the last mutation go takes one to two.
 * A little less than one: an empty write that comes just before the fence is read would have to be waited for like a client's.
 */
const LONG_SETTLE_MS = 10_000
const SETTLE_EARLIER_MS = 1000
const SHORT_SETTLE_MS = 3000
/** The fences of master count what is being logged. */
const MASTER_SETTLE_MS = 1000

export interface FenceBookOptions {
  clock: Clock
  /** Where the deny was proved, and since when. */
  denied: ReadonlyMap<number, DeniedAt>
  generation: Generation
  groupCheckMs: number
}

/** What is known of every partition while it is drained: its fence, whether that is final, and what the target has acknowledged. */
export class FenceBook {
  readonly fences = new Map<number, Fence>()
  /** When each fence was first read after its partition's writes had come to rest. */
  private readonly finalAtMs = new Map<number, number>()
  /** When each partition was first seen to have shipped its fence. */
  private readonly reachedMs = new Map<number, number>()
  private readonly shippedDecrees = new Map<number, number>()

  constructor(private readonly options: FenceBookOptions) {}

  /** Partitions that are not through: no fence, not final, or not shipped up to it. */
  get behind(): number[] {
    return [...this.options.denied.keys()].filter((index) => !this.isThrough(index))
  }

  get partitionCount(): number {
    return this.options.denied.size
  }

  /** When the last of the partitions was first seen to have shipped; `Clock.nowMs`. */
  get shippedSeenMs(): number {
    return Math.max(...this.reachedMs.values())
  }

  /** Until when at the latest the last empty write comes; undefined where none is waited for. */
  get latestMs(): number | undefined {
    const {denied, generation, groupCheckMs} = this.options
    const waiting = this.behind.map((index) => denied.get(index)!.sinceMs)
    return generation === 'master' || waiting.length === 0 ? undefined : Math.max(...waiting) + 2 * groupCheckMs
  }

  /** Mutations that are still to be shipped, over all partitions; undefined until every one of them was read. */
  get lagMutations(): number | undefined {
    let lag = 0
    for (const index of this.options.denied.keys()) {
      const [fence, shipped] = [this.fences.get(index), this.shippedDecrees.get(index)]
      if (!fence || shipped === undefined) return undefined
      lag += Math.max(0, fence.decree - shipped)
    }

    return lag
  }

  /** The partition with most to go, for a person. */
  get worst(): string | undefined {
    let worst: {fence: Fence; missing: number} | undefined
    for (const fence of this.fences.values()) {
      const missing = fence.decree - (this.shippedDecrees.get(fence.partitionIndex) ?? -1)
      if (missing > 0 && (!worst || missing > worst.missing)) worst = {fence, missing}
    }

    return (
      worst &&
      `partition ${worst.fence.partitionIndex} on ${worst.fence.server}: ${plural(worst.missing, 'mutation')} to go`
    )
  }

  /** What is waited for. @param toWallMs what makes a wall clock time of a `Clock.nowMs`; 0: none is told */
  explain(toWallMs: number): string {
    const {clock, generation, groupCheckMs} = this.options
    const {behind, latestMs} = this
    if (behind.length === 0) return 'everything accepted is on the target'
    const unshipped = behind.filter((index) => !this.hasShipped(index))
    if (unshipped.length === 0) {
      return `everything seen is on the target; writes under way on ${listed('partition', behind)} come to rest`
    }

    if (generation === 'master')
      return plural(
        unshipped.length,
        'partition is shipping its last mutations',
        'partitions are shipping their last mutations',
      )
    const until =
      latestMs === undefined || toWallMs === 0 || latestMs < clock.nowMs()
        ? ''
        : `, until ${timeOfDay(latestMs + toWallMs)} at the latest`
    return `${plural(unshipped.length, 'partition waits', 'partitions wait')} for the empty write that lets the last mutation go (group check each ${groupCheckMs / 1000} s${until})`
  }

  isThrough(index: number): boolean {
    return this.finalAtMs.has(index) && this.hasShipped(index)
  }

  /** Whether a fence that is read now would be the first after its partition came to rest. */
  wantsFence(index: number): boolean {
    return (
      !this.fences.has(index) || (!this.finalAtMs.has(index) && this.restsSince(index) <= this.options.clock.nowMs())
    )
  }

  /**
   * Takes fences down, and raises those that grew by more than empty writes can explain.
   * @param readAtMs from before they were read
   * @returns whether any was raised
   */
  note(now: Iterable<Fence>, readAtMs: number): boolean {
    const fences = new Map([...now].map((fence) => [fence.partitionIndex, fence]))
    const grown = grownFences(this.fences, fences, (partition) => this.allowance(partition, readAtMs))
    for (const {ballot, decree, partitionIndex, server} of grown) {
      this.fences.set(partitionIndex, {ballot, decree, partitionIndex, server})
      // What may grow by empty writes alone is counted from this reading.
      this.finalAtMs.delete(partitionIndex)
      if (!this.hasShipped(partitionIndex)) this.reachedMs.delete(partitionIndex)
    }

    for (const index of fences.keys()) {
      if (!this.finalAtMs.has(index) && this.restsSince(index) <= readAtMs) this.finalAtMs.set(index, readAtMs)
    }

    return grown.length > 0
  }

  /** Takes down what the target has acknowledged; each reading is a lower bound. */
  shipped({partitionIndex, shippedDecree}: Pick<PartitionShipping, 'partitionIndex' | 'shippedDecree'>): void {
    this.shippedDecrees.set(partitionIndex, Math.max(shippedDecree, this.shippedDecrees.get(partitionIndex) ?? -1))
    if (this.hasShipped(partitionIndex) && !this.reachedMs.has(partitionIndex)) {
      this.reachedMs.set(partitionIndex, this.options.clock.nowMs())
    }
  }

  private hasShipped(index: number): boolean {
    const fence = this.fences.get(index)
    return fence !== undefined && (this.shippedDecrees.get(index) ?? -1) >= fence.decree
  }

  /** When a partition's writes that were under way at the deny have come to rest. */
  private restsSince(partition: number): number {
    const {denied, generation, groupCheckMs} = this.options
    const settleMs =
      generation === 'master'
        ? MASTER_SETTLE_MS
        : Math.max(SHORT_SETTLE_MS, Math.min(LONG_SETTLE_MS, groupCheckMs - SETTLE_EARLIER_MS))
    return (denied.get(partition)?.sinceMs ?? 0) + settleMs
  }

  /**
   * Growth that is no client's mutation. Until a fence was read after the writes had come to rest, none (an empty write
   * among them only costs time); afterwards what a group check writes. On master nothing rests unshipped, so that nothing need be allowed.
   */
  private allowance(partition: number, nowMs: number): number {
    const finalAtMs = this.finalAtMs.get(partition)
    if (finalAtMs === undefined || this.options.generation === 'master') return 0
    return allowedEmptyWrites(nowMs - finalAtMs, this.options.groupCheckMs)
  }
}

function timeOfDay(wallMs: number): string {
  const date = new Date(wallMs)
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':')
}
