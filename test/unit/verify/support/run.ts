import {type VerifyOptions, type VerifyReport, verifyTable} from '../../../../src/lib/migration/verify/index.js'
import {seededRandom} from '../../../sandbox/random.js'
import type {VirtualClock} from '../../../sandbox/virtual-clock.js'

export type SomeOptions = Partial<VerifyOptions> & Pick<VerifyOptions, 'partitionCount' | 'source' | 'target'>

/** Everything shipped at any time. */
export const allShipped = (partitionCount: number) => async () =>
  Array.from({length: partitionCount}, () => ({committedDecree: 7, shippedDecree: 7}))

/** Runs `verifyTable` on virtual time, in mode full with a limit of 40 s unless told otherwise. */
export function verifyOn(clock: VirtualClock, options: SomeOptions): Promise<VerifyReport> {
  return clock.run(
    verifyTable({
      clock,
      emit() {},
      mode: 'full',
      parallel: 4,
      progress: allShipped(options.partitionCount),
      random: seededRandom(1),
      rereadLimitMs: 40_000,
      sampleRows: 1000,
      signal: new AbortController().signal,
      ...options,
    }),
    3_600_000,
  )
}

/** Every key that was listed, in an order of its own. */
export function listed(report: VerifyReport): string[] {
  return report.differences.map(({key, kind, partition}) => `${partition} ${key} ${kind}`).sort()
}

/** Whether every row that was compared got exactly one verdict. */
export function addsUp(r: VerifyReport): boolean {
  const verdicts = r.equal + r.missingOnSource + r.missingOnTarget + r.different + r.expiring + r.unresolved
  return verdicts === r.rowsCompared
}
