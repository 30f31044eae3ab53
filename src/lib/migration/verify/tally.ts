import type {VerifyMode} from '../request.js'
import {digest, keyText} from './key-text.js'
import type {DifferenceKind, Row, UnresolvedRow, VerifyReport} from './types.js'

const listedAtMost = 100

/** Adds up what is found. Every row that was `seen` gets exactly one verdict in the end. */
export class Tally {
  readonly countsSource: number[] = []
  readonly countsTarget: number[] = []
  partitionsDone = 0
  rowsCompared = 0
  stopped: VerifyReport['stopped']
  private readonly counts = {
    different: 0,
    equal: 0,
    expiring: 0,
    hot: 0,
    missingOnSource: 0,
    missingOnTarget: 0,
    unresolved: 0,
  }
  private readonly differences: VerifyReport['differences'] = []
  private readonly unresolvedRows: UnresolvedRow[] = []

  /** Confirmed ones. */
  get differenceCount(): number {
    return this.counts.different + this.counts.missingOnSource + this.counts.missingOnTarget
  }

  difference(kind: DifferenceKind, partition: number, key: Buffer, rows: {source?: Row; target?: Row}): void {
    if (kind === 'missing-on-source') this.counts.missingOnSource++
    else if (kind === 'missing-on-target') this.counts.missingOnTarget++
    else this.counts.different++
    if (this.differences.length >= listedAtMost) return
    this.differences.push({
      key: keyText(key),
      kind,
      partition,
      ...(rows.source && {source: digest(rows.source)}),
      ...(rows.target && {target: digest(rows.target)}),
    })
  }

  equal(): void {
    this.counts.equal++
  }

  expiring(): void {
    this.counts.expiring++
  }

  report(mode: VerifyMode): VerifyReport {
    const {hot, unresolved} = this.counts
    return {
      ...this.counts,
      confirmed: unresolved === hot && this.stopped === undefined,
      countsSource: this.countsSource,
      countsTarget: this.countsTarget,
      differences: this.differences,
      mode,
      partitions: this.partitionsDone,
      rowsCompared: this.rowsCompared,
      unresolvedRows: this.unresolvedRows,
      ...(this.stopped && {stopped: this.stopped}),
    }
  }

  unresolved(partition: number, key: Buffer, reason: UnresolvedRow['reason']): void {
    this.counts.unresolved++
    if (reason === 'hot') this.counts.hot++
    if (this.unresolvedRows.length < listedAtMost) this.unresolvedRows.push({key: keyText(key), partition, reason})
  }
}
