import {RowBatch} from '../../pegasus/row-batch.js'
import type {Judge, Judgement} from './judge.js'
import {mergeRows, RowCursor} from './merge.js'
import type {SuspectPool} from './suspects.js'
import type {Tally} from './tally.js'
import type {KeyRange, RowSource} from './types.js'

export interface Comparison {
  /** Rows (`rowId`) that are compared by themselves, and left out here. */
  apart: ReadonlySet<string>
  judge: Judge
  /** Ends everything that is under way. */
  onError(error: unknown): void
  /** Hears of rows with an expiry: not of each, but of the first of every piece that is the same, and of every other row. */
  onExpiry?(): void
  /** Called now and then, between rows. */
  onProgress(): void
  pool: Pick<SuspectPool, 'add'>
  signal: AbortSignal
  source: RowSource
  /** Whether to end before the next row. */
  stopping(): boolean
  tally: Tally
  target: RowSource
}

export interface Compared {
  /** Behind this key nothing was compared, unless the end was reached. */
  lastKey: Buffer | undefined
  rows: number
  rowsOnSource: number
  rowsOnTarget: number
  stopped: boolean
}

const rowsBetweenProgress = 1024

export function rowId(partition: number, key: Buffer): string {
  return `${partition} ${key.toString('latin1')}`
}

/** Compares both sides of a partition over one range of keys, at most `maxRows` keys. Differences become suspects. */
export async function compareRange(
  c: Comparison,
  partition: number,
  range: KeyRange,
  maxRows = Infinity,
  onKey?: (key: Buffer) => void,
): Promise<Compared> {
  const source = new RowCursor(c.source.scan(partition, range), 'source', c.signal)
  const target = new RowCursor(c.target.scan(partition, range), 'target', c.signal)
  let lastKey: Buffer | undefined
  let [rows, progressAt, stopped] = [0, 0, false]
  const isApart = (key: Buffer) => c.apart.has(rowId(partition, key))
  try {
    await mergeRows(source, target, {
      row(sourceRow, targetRow) {
        const seen = (sourceRow ?? targetRow)!
        lastKey = seen.batch!.key(seen.index)
        rows++
        onKey?.(lastKey)
        if (c.apart.size > 0 && isApart(lastKey)) return
        if (seen.batch!.expireTsSeconds(seen.index) !== 0) c.onExpiry?.()
        c.tally.compared(partition, 1)
        const judgement = judgeAt(c.judge, sourceRow, targetRow)
        if (judgement === 'equal') c.tally.equal(partition, 1)
        else if (judgement === 'expiring') c.tally.expiring(partition)
        else return c.pool.add(partition, lastKey)
      },
      same(batch, index, count) {
        lastKey = batch.key(index + count - 1)
        rows += count
        for (let n = 0; c.onExpiry && n < count; n++) if (batch.expireTsSeconds(index + n) !== 0) c.onExpiry()
        if (onKey) for (let n = 0; n < count; n++) onKey(batch.key(index + n))
        let left = count
        if (c.apart.size > 0) for (let n = 0; n < count; n++) if (isApart(batch.key(index + n))) left--
        c.tally.compared(partition, left)
        c.tally.equal(partition, left)
      },
      wants() {
        if (rows >= maxRows) return 0
        if (rows >= progressAt) {
          progressAt = rows + rowsBetweenProgress
          c.onProgress()
          stopped = c.stopping()
        }

        return stopped ? 0 : maxRows - rows
      },
    })
  } finally {
    await Promise.all([source.close(), target.close()])
  }

  return {lastKey, rows, rowsOnSource: source.rowsSeen, rowsOnTarget: target.rowsSeen, stopped}
}

function judgeAt(judge: Judge, source: RowCursor | undefined, target: RowCursor | undefined): Judgement {
  const [a, b] = [source?.batch, target?.batch]
  if (a && b) {
    const [i, j] = [source!.index, target!.index]
    return judge.both(RowBatch.haveEqualValues(a, i, b, j), a.expireTsSeconds(i), b.expireTsSeconds(j))
  }

  return a
    ? judge.only('source', a.expireTsSeconds(source!.index))
    : judge.only('target', b!.expireTsSeconds(target!.index))
}
