import type {VerifyMode} from '../request.js'
import {digest, keyText} from './key-text.js'
import type {DifferenceKind, Row, RowCounts, SettledPartition, UnresolvedRow, VerifyReport} from './types.js'

const listedAtMost = 100

interface PartitionCounts extends RowCounts {
  /** Seen by the scans; absent until all was gone through. */
  seen?: {onSource: number; onTarget: number}
}

export interface TallyOptions {
  onSettled?(partition: SettledPartition): void
  showValues?: boolean
}

/** Adds up what is found. Every row that was `compared` gets exactly one verdict in the end. */
export class Tally {
  readonly countsSource: number[] = []
  readonly countsTarget: number[] = []
  /** Confirmed ones. */
  differenceCount = 0
  partitionsDone = 0
  rowsCompared = 0
  /** Rows of partitions that are done. */
  rowsDone = 0
  stopped: VerifyReport['stopped']
  private readonly byPartition = new Map<number, PartitionCounts>()
  private readonly differences: VerifyReport['differences'] = []
  private readonly unresolvedRows: UnresolvedRow[] = []

  constructor(private readonly options: TallyOptions = {}) {}

  compared(partition: number, rows: number): void {
    this.of(partition).rowsCompared += rows
    this.rowsCompared += rows
  }

  difference(kind: DifferenceKind, partition: number, key: Buffer, rows: {source?: Row; target?: Row}): void {
    const counts = this.of(partition)
    if (kind === 'missing-on-source') counts.missingOnSource++
    else if (kind === 'missing-on-target') counts.missingOnTarget++
    else counts.different++
    this.differenceCount++
    if (this.differences.length < listedAtMost) {
      const {showValues} = this.options
      this.differences.push({
        key: keyText(key),
        kind,
        partition,
        ...(rows.source && {source: digest(rows.source, showValues)}),
        ...(rows.target && {target: digest(rows.target, showValues)}),
      })
    }

    this.settle(partition)
  }

  /** All of the partition was gone through. */
  done(partition: number, seen: {onSource: number; onTarget: number}): void {
    const counts = this.of(partition)
    counts.seen = seen
    this.partitionsDone++
    this.rowsDone += counts.rowsCompared
    this.settle(partition)
  }

  equal(partition: number, rows: number): void {
    this.of(partition).equal += rows
    this.settle(partition)
  }

  expiring(partition: number): void {
    this.of(partition).expiring++
    this.settle(partition)
  }

  report(mode: VerifyMode): VerifyReport {
    const sums = sumCounts(this.byPartition.values())
    return {
      ...sums,
      confirmed: sums.unresolved === sums.hot && this.stopped === undefined,
      countsSource: this.countsSource,
      countsTarget: this.countsTarget,
      differences: this.differences,
      mode,
      partitions: this.partitionsDone,
      unresolvedRows: this.unresolvedRows,
      ...(this.stopped && {stopped: this.stopped}),
    }
  }

  unresolved(partition: number, key: Buffer, reason: UnresolvedRow['reason']): void {
    const counts = this.of(partition)
    counts.unresolved++
    if (reason === 'hot') counts.hot++
    if (this.unresolvedRows.length < listedAtMost) this.unresolvedRows.push({key: keyText(key), partition, reason})
    this.settle(partition)
  }

  private of(partition: number): PartitionCounts {
    let counts = this.byPartition.get(partition)
    if (!counts) this.byPartition.set(partition, (counts = noCounts()))
    return counts
  }

  private settle(partition: number): void {
    const {onSettled} = this.options
    if (!onSettled) return
    const all = this.of(partition)
    if (!all.seen || all.rowsCompared !== verdicts(all)) return
    const {seen, ...counts} = all
    onSettled({...counts, partition, rowsOnSource: seen.onSource, rowsOnTarget: seen.onTarget})
  }
}

export function noCounts(): RowCounts {
  return {
    different: 0,
    equal: 0,
    expiring: 0,
    hot: 0,
    missingOnSource: 0,
    missingOnTarget: 0,
    rowsCompared: 0,
    unresolved: 0,
  }
}

export function sumCounts(many: Iterable<RowCounts>): RowCounts {
  const sum = noCounts()
  for (const counts of many) for (const key of Object.keys(sum) as (keyof RowCounts)[]) sum[key] += counts[key]
  return sum
}

function verdicts(counts: RowCounts): number {
  const {different, equal, expiring, missingOnSource, missingOnTarget, unresolved} = counts
  return different + equal + expiring + missingOnSource + missingOnTarget + unresolved
}
