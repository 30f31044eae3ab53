import assert from 'node:assert/strict'
import {verdictOf} from '../../../src/lib/migration/verify/index.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {LivePair} from './support/live-pair.js'
import {MemoryRows, row} from './support/memory-rows.js'
import {listed, verifyOn} from './support/run.js'

describe('comparison of counts', () => {
  function tables(clock: VirtualClock): {source: MemoryRows; target: MemoryRows} {
    const sides = {source: new MemoryRows({clock}), target: new MemoryRows({clock})}
    for (let n = 0; n < 90; n++) for (const side of Object.values(sides)) side.put(n % 3, row(`${n}`, '', 'v'))
    return sides
  }

  it('reads no row when they are equal', async () => {
    const clock = new VirtualClock()
    const sides = tables(clock)
    const report = await verifyOn(clock, {...sides, mode: 'count', partitionCount: 3})
    assert.deepEqual(
      [report.countsSource, report.countsTarget],
      [
        [30, 30, 30],
        [30, 30, 30],
      ],
    )
    assert.deepEqual([report.rowsCompared, report.partitions, sides.source.batches], [0, 3, 0])
    assert.equal(verdictOf(report), 'same')
  })

  it('finds the rows of a partition whose counts never agree', async () => {
    const clock = new VirtualClock()
    const sides = tables(clock)
    sides.target.remove(1, row('31', '', '').key)
    const report = await verifyOn(clock, {...sides, mode: 'count', partitionCount: 3})
    assert.deepEqual(listed(report), ['1 "31" "" missing-on-target'])
    assert.deepEqual([report.countsTarget, report.rowsCompared, report.partitions], [[30, 29, 30], 30, 3])
  })

  it('calls nothing wrong because of counts alone', async () => {
    const clock = new VirtualClock()
    const sides = tables(clock)
    sides.target.countOffset = 1
    const report = await verifyOn(clock, {...sides, mode: 'count', partitionCount: 3})
    assert.deepEqual([report.rowsCompared, report.equal], [90, 90])
    assert.equal(verdictOf(report), 'same')
  })

  it('counts again when the difference was a write under way', async () => {
    const clock = new VirtualClock()
    const pair = new LivePair({clock, lagMs: 100, lastRests: true, partitionCount: 2})
    pair.write(0, row('young', '', '').key, row('young', '', 'v'))
    const report = await verifyOn(clock, {...pair, mode: 'count', partitionCount: 2})
    assert.deepEqual(
      [report.countsSource, report.countsTarget],
      [
        [1, 0],
        [1, 0],
      ],
    )
    assert.equal(report.rowsCompared, 0)
  })

  it('misses a changed value, which is why it is not the default', async () => {
    const clock = new VirtualClock()
    const sides = tables(clock)
    sides.target.put(1, row('31', '', 'w'))
    assert.equal(verdictOf(await verifyOn(clock, {...sides, mode: 'count', partitionCount: 3})), 'same')
  })
})
