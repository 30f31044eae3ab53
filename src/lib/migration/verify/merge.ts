import {MigratorError} from '../../errors.js'
import {RowBatch} from '../../pegasus/row-batch.js'
import {keyText} from './key-text.js'
import {untilAborted} from './waiting.js'

/** Steps through one side's scan, holding one batch. Nothing is taken out of a batch but what is looked at. */
export class RowCursor {
  /** Valid after `load`; undefined behind the last row. */
  batch: RowBatch | undefined
  /** The row at the cursor, in `batch`. */
  index = 0
  rowsSeen = 0
  private ended = false
  private readonly iterator: AsyncIterator<RowBatch>

  constructor(
    batches: AsyncIterable<RowBatch>,
    private readonly name: string,
    private readonly signal: AbortSignal,
  ) {
    this.iterator = batches[Symbol.asyncIterator]()
  }

  /** Rows of the batch from the cursor on; 0 behind the last row of all. */
  get left(): number {
    return this.batch ? this.batch.length - this.index : 0
  }

  /**
   * Steps over rows of the batch. @returns undefined when the next row is at hand, else a promise
   * @param known how many of them are known to be in order
   * @throws MigratorError verify.unordered when their keys do not grow, up to and with the next one at hand
   */
  advance(count: number, known = 1): Promise<void> | undefined {
    const {batch, index} = this
    const next = index + count
    const isAtHand = next < batch!.length
    if (!batch!.ascends(index + known - 1, isAtHand ? next + 1 : next)) throw this.unordered()
    this.rowsSeen += count
    this.index = next
    return isAtHand ? undefined : this.load()
  }

  /** Closes the scan; after an abort without waiting for it, because a server may never answer. */
  async close(): Promise<void> {
    if (this.ended) return
    this.ended = true
    const closed = Promise.resolve(this.iterator.return?.())
    if (this.signal.aborted)
      closed.catch(() => {}) // The abort's reason is what the caller hears.
    else await closed
  }

  /** Fetches until there is a row or the end; batches may be empty (expired rows are left out by the server). */
  async load(): Promise<void> {
    const last = this.batch
    this.batch = undefined
    this.index = 0
    while (!this.batch && !this.ended) {
      const next = await untilAborted(this.iterator.next(), this.signal)
      if (next.done) this.ended = true
      else if (next.value.length > 0) this.batch = next.value
    }

    if (last && this.batch && RowBatch.compareKeys(last, last.length - 1, this.batch, 0) >= 0)
      throw this.unordered(last)
  }

  private unordered(before?: RowBatch): MigratorError {
    const [index, batch] = [this.index, this.batch!]
    const keys = before ? [before.key(before.length - 1), batch.key(0)] : this.firstUnordered(batch, index)
    return new MigratorError(
      'verify.unordered',
      `the ${this.name}'s scan gave key ${keyText(keys[1]!)} after ${keyText(keys[0]!)}: rows cannot be compared`,
    )
  }

  private firstUnordered(batch: RowBatch, index: number): Buffer[] {
    while (batch.ascends(index, index + 2)) index++
    return [batch.key(index), batch.key(index + 1)]
  }
}

/** Sees every key of either side once, in order. */
export interface Visitor {
  /** So many rows, from there on, are the same on both sides, byte by byte. */
  same(batch: RowBatch, index: number, count: number): void
  /** One key that only one side has, or whose rows are not the same bytes; absent: no row there. A promise is waited for. */
  row(source: RowCursor | undefined, target: RowCursor | undefined): Promise<void> | void
  /** How many rows it will take at most before it is asked again; 0 ends the merge. */
  wants(): number
}

/** Rows compared in one piece are doubled while they are the same, and divided by this when they are not. */
const shrinking = 8
const mostAtOnce = 1024

/** Merges two scans of the same range. The cursors stay open: whoever opened them closes them. */
export async function mergeRows(source: RowCursor, target: RowCursor, visitor: Visitor): Promise<void> {
  await Promise.all([source.load(), target.load()])
  let atOnce = mostAtOnce
  while (source.batch || target.batch) {
    const wanted = visitor.wants()
    if (wanted <= 0) return
    let count = Math.min(atOnce, wanted, source.left, target.left)
    while (count > 1 && !isSame(source, target, count)) {
      atOnce = Math.max(1, Math.floor(count / shrinking))
      count = atOnce
    }

    if (count > 1 || (count === 1 && isSame(source, target, 1))) {
      visitor.same(source.batch!, source.index, count)
      if (count === atOnce) atOnce = Math.min(2 * atOnce, mostAtOnce)
      // The same bytes: what holds for the source's keys holds for the target's.
      const steps = together(source.advance(count), () => target.advance(count, count))
      // Waiting only where there is something to wait for keeps a batch free of turns of the event loop.
      if (steps) await steps
      continue
    }

    const order = orderOf(source, target)
    const [sourceHas, targetHas] = [order <= 0, order >= 0]
    const visited = visitor.row(sourceHas ? source : undefined, targetHas ? target : undefined)
    if (visited) await visited
    const steps = together(sourceHas ? source.advance(1) : undefined, () => (targetHas ? target.advance(1) : undefined))
    if (steps) await steps
  }
}

/** @returns what is to be waited for, if anything */
function together(
  first: Promise<unknown> | undefined,
  second: () => Promise<unknown> | undefined,
): Promise<unknown> | undefined {
  try {
    const other = second()
    return first || other ? Promise.all([first, other]) : undefined
  } catch (error) {
    // This one is told; the first one's would be heard by nobody, and end the process.
    first?.catch(() => {})
    throw error
  }
}

function isSame(source: RowCursor, target: RowCursor, count: number): boolean {
  return RowBatch.areSame(source.batch!, source.index, target.batch!, target.index, count)
}

function orderOf(source: RowCursor, target: RowCursor): number {
  if (!source.batch) return 1
  return target.batch ? RowBatch.compareKeys(source.batch, source.index, target.batch, target.index) : -1
}
