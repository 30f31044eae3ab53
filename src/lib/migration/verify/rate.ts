import type {Clock} from '../../clock.js'
import type {VerifyMode} from '../request.js'
import type {VerifyProgress} from './types.js'

/** A rate is of the last so many ms. */
const windowMs = 10_000

export interface Pace {
  etaMs?: number
  rowsPerSecond: number
}

/** How fast rows are compared, and how long it will still take. */
export class RateMeter {
  private readonly startMs: number
  private seen: {atMs: number; rows: number}[]

  /** @param sampleRows all rows that mode `sample` will compare */
  constructor(
    private readonly clock: Clock,
    private readonly mode: VerifyMode,
    private readonly sampleRows: number,
  ) {
    this.startMs = clock.nowMs()
    this.seen = [{atMs: this.startMs, rows: 0}]
  }

  /** @param partitionCount those of this run */
  see(progress: VerifyProgress, partitionCount: number): Pace {
    const atMs = this.clock.nowMs()
    this.seen.push({atMs, rows: progress.rowsCompared})
    while (this.seen.length > 2 && this.seen[1]!.atMs < atMs - windowMs) this.seen.shift()
    const first = this.seen[0]!
    const seconds = (atMs - first.atMs) / 1000
    const rowsPerSecond = seconds > 0 ? Math.round((progress.rowsCompared - first.rows) / seconds) : 0
    const etaMs = this.eta(progress, partitionCount, rowsPerSecond)
    return etaMs === undefined ? {rowsPerSecond} : {etaMs, rowsPerSecond}
  }

  private eta(
    {partitionsDone, rowsCompared, rowsDone}: VerifyProgress,
    partitionCount: number,
    rowsPerSecond: number,
  ): number | undefined {
    if (partitionsDone === partitionCount) return 0
    if (this.mode === 'count') {
      const perPartitionMs = (this.clock.nowMs() - this.startMs) / partitionsDone
      return partitionsDone > 0 ? Math.round((partitionCount - partitionsDone) * perPartitionMs) : undefined
    }

    // Keys are spread evenly by their hash: partitions that are done tell how large the others are.
    const allRows =
      this.mode === 'sample' ? this.sampleRows : partitionsDone > 0 ? (rowsDone / partitionsDone) * partitionCount : 0
    if (allRows === 0 || rowsPerSecond === 0) return undefined
    return Math.round((Math.max(0, allRows - rowsCompared) / rowsPerSecond) * 1000)
  }
}
