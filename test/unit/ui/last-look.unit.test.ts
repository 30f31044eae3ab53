import assert from 'node:assert/strict'
import type {LastLook, MigrationResult} from '../../../src/lib/migration/result.js'
import {lastLookLine} from '../../../src/lib/ui/last-look.js'

const line = (lastLook?: LastLook) => lastLookLine({lastLook} as MigrationResult)
const look: LastLook = {counted: 8, countsDiffer: 0, keysRead: 12, partitions: 8, rowsCompared: 0, tookMs: 40}

describe('lastLookLine', () => {
  it('says what was looked at', () => {
    assert.equal(
      line(look),
      'Last look, while writes were denied (40 ms): 8 of 8 partitions counted on both sides, 12 rows written lately are the same.',
    )
  })

  it('says what was left out, and counts that differ', () => {
    const text = line({...look, countsDiffer: 1, keysRead: 0, leftOut: 'time was over', rowsCompared: 900})
    assert.match(text!, /1 of them differ, as rows that expire, 900 rows compared for it; left out: time was over\.$/)
  })

  it('says so when nothing could be compared', () => {
    const text = line({...look, counted: 0, keysRead: 0, leftOut: '2.4 cannot count rows'})
    assert.match(text!, /nothing was compared; left out: 2\.4 cannot count rows\.$/)
  })

  it('is silent when there was no look', () => assert.equal(line(), undefined))
})
