import type {VerifyReport} from './types.js'

/**
 * - `same`: everything that was compared is the same on both sides, hot rows aside
 * - `different`: the target holds wrong rows, and shipping will not mend them
 * - `unproved`: no difference is proved, but rows were left open because the target had not caught up, or time was over
 * - `unverified`: nothing was compared
 */
export type Verdict = 'different' | 'same' | 'unproved' | 'unverified'

export function verdictOf(report: VerifyReport): Verdict {
  if (report.mode === 'none') return 'unverified'
  if (report.different + report.missingOnSource + report.missingOnTarget > 0) return 'different'
  return report.confirmed ? 'same' : 'unproved'
}
