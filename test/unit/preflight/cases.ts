import assert from 'node:assert/strict'

import type {PreflightFacts, Severity} from '../../../src/lib/migration/preflight/check.js'
import {judge} from './healthy-facts.js'

/** One finding that a check must make of facts that were changed. */
export interface Case {
  change(facts: PreflightFacts): void
  id: string
  says: RegExp
  severity: Severity
  when: string
}

/** One test per case: the severity, the evidence, and that there is a remedy exactly where there is something to mend. */
export function testCases(cases: Case[]): void {
  for (const {change, id, says, severity, when} of cases) {
    it(`${id}: ${severity} when ${when}`, async () => {
      const result = await judge(id, change)
      assert.equal(result.severity, severity, result.evidence)
      assert.match(result.evidence, says)
      assert.equal(result.remedy !== '', !['ok', 'skipped'].includes(severity), `remedy: ${result.remedy}`)
    })
  }
}
