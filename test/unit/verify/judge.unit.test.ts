import assert from 'node:assert/strict'

import {judgeRows, judgeWith} from '../../../src/lib/migration/verify/judge.js'
import {verdictOf} from '../../../src/lib/migration/verify/index.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryRows, nowSeconds, row} from './support/memory-rows.js'
import {verifyOn} from './support/run.js'

const HOUR = 3600

describe('a row that only one side has', () => {
  const clock = new VirtualClock()
  const now = nowSeconds(clock)

  it('is missing, unless it expires within a minute', () => {
    const judge = judgeWith(clock, 0)
    for (const side of ['source', 'target'] as const) {
      const missing = side === 'source' ? 'missing-on-target' : 'missing-on-source'
      assert.equal(judge.only(side, 0), missing)
      assert.equal(judge.only(side, now + 60), 'expiring')
      assert.equal(judge.only(side, now + 61), missing)
    }

    assert.equal(judgeRows(judge, undefined, undefined), 'equal')
  })

  it('lives longer on the target by as much as its default expiry came later there, and never shorter', () => {
    const judge = judgeWith(clock, 2 * HOUR)
    assert.equal(judge.only('target', now + 2 * HOUR), 'expiring')
    assert.equal(judge.only('target', now + 2 * HOUR + 1), 'missing-on-source')
    assert.equal(judge.only('source', now + 60), 'expiring')
    assert.equal(judge.only('source', now + 61), 'missing-on-target')
  })

  it('is not passed over on a table with a default expiry that is shorter than the duplication is old', async () => {
    const [source, target] = [new MemoryRows({clock}), new MemoryRows({clock})]
    for (let n = 0; n < 100; n++) source.put(0, row(`session ${n}`, '', 'v', nowSeconds(clock) + HOUR - 600))
    const report = await verifyOn(clock, {expiryToleranceSeconds: 2 * HOUR + 60, partitionCount: 1, source, target})
    assert.deepEqual([verdictOf(report), report.missingOnTarget], ['different', 100])
  })
})
