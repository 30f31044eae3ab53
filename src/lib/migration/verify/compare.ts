import type {Judge} from './judge.js'
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
  /** Called now and then, between rows. */
  onProgress(): void
  pool: SuspectPool
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

const rowsBetweenProgress = 256

export function rowId(partition: number, key: Buffer): string {
  return `${partition} ${key.toString('latin1')}`
}

/** Compares both sides of a partition over one range of keys, at most `maxRows` keys. Differences become suspects. */
export async function compareRange(
  c: Comparison,
  partition: number,
  range: KeyRange,
  maxRows = Infinity,
  onKey: (key: Buffer) => void = () => {},
): Promise<Compared> {
  const source = new RowCursor(c.source.scan(partition, range), 'source', c.signal)
  const target = new RowCursor(c.target.scan(partition, range), 'target', c.signal)
  const compared: Compared = {lastKey: undefined, rows: 0, rowsOnSource: 0, rowsOnTarget: 0, stopped: false}
  try {
    await mergeRows(source, target, (sourceRow, targetRow) => {
      if (compared.rows >= maxRows) return 'stop'
      if (compared.rows % rowsBetweenProgress === 0) {
        c.onProgress()
        compared.stopped = c.stopping()
        if (compared.stopped) return 'stop'
      }

      compared.lastKey = (sourceRow ?? targetRow)!.key
      compared.rows++
      onKey(compared.lastKey)
      if (sourceRow) compared.rowsOnSource++
      if (targetRow) compared.rowsOnTarget++
      if (c.apart.size > 0 && c.apart.has(rowId(partition, compared.lastKey))) return
      c.tally.rowsCompared++
      const judgement = c.judge(sourceRow, targetRow)
      if (judgement === 'equal') c.tally.equal()
      else if (judgement === 'expiring') c.tally.expiring()
      else return c.pool.add(partition, compared.lastKey)
    })
  } finally {
    await Promise.all([source.close(), target.close()])
  }

  return compared
}
