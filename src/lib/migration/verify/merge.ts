import {MigratorError} from '../../errors.js'
import {keyText} from './key-text.js'
import type {Row} from './types.js'
import {untilAborted} from './waiting.js'

/**
 * Steps through one side's scan row by row, holding one batch. The only place that looks inside a batch: a decoder
 * without an object per row would replace this class and `visit`'s arguments.
 */
export class RowCursor {
  /** The row at the cursor; undefined behind the last one. Valid after `load`. */
  row: Row | undefined
  rowsSeen = 0
  private batch: Row[] = []
  private ended = false
  private index = 0
  private readonly iterator: AsyncIterator<Row[]>
  private lastKey: Buffer | undefined

  constructor(
    batches: AsyncIterable<Row[]>,
    private readonly name: string,
    private readonly signal: AbortSignal,
  ) {
    this.iterator = batches[Symbol.asyncIterator]()
  }

  /** Steps to the next row. @returns undefined when it was at hand, else a promise */
  advance(): Promise<void> | undefined {
    this.index++
    if (this.index < this.batch.length) {
      this.take()
      return undefined
    }

    return this.load()
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
    this.row = undefined
    this.index = 0
    this.batch = []
    while (this.batch.length === 0 && !this.ended) {
      const next = await untilAborted(this.iterator.next(), this.signal)
      if (next.done) this.ended = true
      else this.batch = next.value
    }

    if (this.batch.length > 0) this.take()
  }

  private take(): void {
    const row = this.batch[this.index]!
    if (this.lastKey && Buffer.compare(this.lastKey, row.key) >= 0) {
      throw new MigratorError(
        'verify.unordered',
        `the ${this.name}'s scan gave key ${keyText(row.key)} after ${keyText(this.lastKey)}: rows cannot be compared`,
      )
    }

    this.lastKey = row.key
    this.row = row
    this.rowsSeen++
  }
}

/** Sees every key of either side once, in order. `'stop'` ends the merge; a promise is waited for. */
export type Visit = (source: Row | undefined, target: Row | undefined) => Promise<void> | 'stop' | void

/** Merges two scans of the same range. The cursors stay open: whoever opened them closes them. */
export async function mergeRows(source: RowCursor, target: RowCursor, visit: Visit): Promise<void> {
  await Promise.all([source.load(), target.load()])
  while (source.row || target.row) {
    const order = source.row && target.row ? Buffer.compare(source.row.key, target.row.key) : source.row ? -1 : 1
    const visited = visit(order <= 0 ? source.row : undefined, order >= 0 ? target.row : undefined)
    if (visited === 'stop') return
    // Waiting only where there is something to wait for keeps a batch free of turns of the event loop.
    if (visited) await visited
    const sourceStep = order <= 0 ? source.advance() : undefined
    const targetStep = order >= 0 ? target.advance() : undefined
    if (sourceStep || targetStep) await Promise.all([sourceStep, targetStep])
  }
}
