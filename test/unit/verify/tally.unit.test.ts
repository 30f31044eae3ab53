import assert from 'node:assert/strict'
import {noCounts, sumCounts, Tally} from '../../../src/lib/migration/verify/tally.js'
import type {SettledPartition} from '../../../src/lib/migration/verify/index.js'
import {row} from './support/memory-rows.js'

const one = row('k', '', 'v')

describe('Tally', () => {
  it('tells a partition when all was gone through and each row has its verdict', () => {
    const settled: SettledPartition[] = []
    const tally = new Tally({onSettled: (partition) => settled.push(partition)})
    tally.compared(3, 18)
    tally.equal(3, 5)
    tally.expiring(3)
    tally.expiring(3)
    tally.difference('value', 3, one.key, {source: one, target: one})
    tally.difference('expiry', 3, one.key, {source: one, target: one})
    tally.difference('missing-on-source', 3, one.key, {target: one})
    for (let n = 0; n < 3; n++) tally.difference('missing-on-target', 3, one.key, {source: one})
    tally.unresolved(3, one.key, 'hot')
    tally.unresolved(3, one.key, 'unproved')
    tally.unresolved(3, one.key, 'unproved')
    tally.done(3, {onSource: 16, onTarget: 14})
    assert.deepEqual(settled, [])
    tally.equal(3, 1)
    assert.deepEqual(settled, [])
    tally.equal(3, 1)
    assert.deepEqual(settled, [
      {
        different: 2,
        equal: 7,
        expiring: 2,
        hot: 1,
        missingOnSource: 1,
        missingOnTarget: 3,
        partition: 3,
        rowsCompared: 18,
        rowsOnSource: 16,
        rowsOnTarget: 14,
        unresolved: 3,
      },
    ])
  })

  it('tells no partition before its end', () => {
    const settled: number[] = []
    const tally = new Tally({onSettled: ({partition}) => settled.push(partition)})
    tally.compared(0, 2)
    tally.equal(0, 2)
    tally.done(1, {onSource: 0, onTarget: 0})
    assert.deepEqual(settled, [1])
    tally.done(0, {onSource: 2, onTarget: 2})
    assert.deepEqual(settled, [1, 0])
    assert.deepEqual([tally.partitionsDone, tally.rowsCompared, tally.rowsDone], [2, 2, 2])
  })

  it('lists the first hundred of each kind, and counts all', () => {
    const tally = new Tally()
    for (let n = 0; n < 101; n++) {
      const {key} = row(`${n}`, '', '')
      tally.unresolved(0, key, 'unproved')
      tally.difference('missing-on-target', 0, key, {source: one})
    }

    const report = tally.report('full')
    assert.deepEqual([report.unresolved, report.unresolvedRows.length], [101, 100])
    assert.deepEqual([report.missingOnTarget, report.differences.length], [101, 100])
    assert.equal(report.unresolvedRows.at(-1)?.key, '"99" ""')
    assert.equal(report.differences.at(-1)?.key, '"99" ""')
  })

  it('counts nothing before anything was told', () => {
    const {countsSource, countsTarget, confirmed, unresolved} = new Tally().report('full')
    assert.deepEqual(
      {confirmed, countsSource, countsTarget, unresolved},
      {
        confirmed: true,
        countsSource: [],
        countsTarget: [],
        unresolved: 0,
      },
    )
  })

  it('confirms nothing while a row is open that is not hot, or when it was cut short', () => {
    const tally = new Tally()
    tally.unresolved(0, one.key, 'hot')
    assert.equal(tally.report('full').confirmed, true)
    assert.ok(!('stopped' in tally.report('full')))
    tally.stopped = 'time'
    assert.deepEqual([tally.report('full').confirmed, tally.report('full').stopped], [false, 'time'])
    tally.stopped = undefined
    tally.unresolved(0, one.key, 'unproved')
    assert.equal(tally.report('full').confirmed, false)
  })

  it('tells of a difference what each side has, and nothing of a side that has nothing', () => {
    const tally = new Tally()
    tally.difference('missing-on-target', 2, one.key, {source: one})
    tally.difference('missing-on-source', 2, one.key, {target: one})
    const digest = {bytes: 1, expireTsSeconds: 0, hash: '4c94485e0c21ae6c'}
    assert.deepEqual(tally.report('full').differences, [
      {key: '"k" ""', kind: 'missing-on-target', partition: 2, source: digest},
      {key: '"k" ""', kind: 'missing-on-source', partition: 2, target: digest},
    ])
  })

  it('adds up partitions', () => {
    const counts = {...noCounts(), equal: 3, rowsCompared: 4, unresolved: 1}
    assert.deepEqual(sumCounts([counts, counts]), {...noCounts(), equal: 6, rowsCompared: 8, unresolved: 2})
  })
})
