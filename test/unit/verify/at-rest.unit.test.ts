import assert from 'node:assert/strict'
import {MigratorError} from '../../../src/lib/errors.js'
import {RestingComparison, type RestingOptions} from '../../../src/lib/migration/verify/at-rest.js'
import {RecentKeys} from '../../../src/lib/migration/verify/recent-keys.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryRows, nowSeconds, row} from './support/memory-rows.js'

const PARTITIONS = 3
const keyOf = (name: string) => row(name, '', '').key

function bed(rows = 30, replyMs = 1) {
  const clock = new VirtualClock()
  const options = {clock, replyMs}
  const [source, target] = [new MemoryRows(options), new MemoryRows(options)]
  for (let n = 0; n < rows; n++)
    for (const side of [source, target]) side.put(n % PARTITIONS, row(`key ${n}`, '', `value ${n}`))
  const compare = (more: Partial<RestingOptions> = {}) =>
    new RestingComparison({
      clock,
      counts: true,
      expiryToleranceSeconds: 0,
      partitionCount: PARTITIONS,
      recentKeys: [],
      rowsExpire: false,
      source,
      target,
      ...more,
    })
  return {clock, compare, source, target}
}

const running = () => new AbortController().signal

describe('RestingComparison', () => {
  it('counts every partition and reads the keys written lately', async () => {
    const {clock, compare} = bed()
    const comparison = compare({recentKeys: [{key: keyOf('key 4'), partition: 1}]})
    await clock.run(comparison.run(running()))
    assert.deepEqual(comparison.found, {
      counted: PARTITIONS,
      differences: [],
      expiring: [],
      keysRead: 1,
      rowsCompared: 0,
      unexplained: [],
    })
  })

  it('finds a changed value under a key written lately, and confirms it', async () => {
    const {clock, compare, source, target} = bed()
    target.put(1, row('key 4', '', 'an older one'))
    const comparison = compare({
      recentKeys: [
        {key: keyOf('key 4'), partition: 1},
        {key: keyOf('key 7'), partition: 1},
      ],
    })
    await clock.run(comparison.run(running()))
    const expected = [{key: keyOf('key 4'), kind: 'value', partition: 1}]
    assert.deepEqual(comparison.found.differences, expected)
    assert.deepEqual(await clock.run(comparison.confirm({source, target}, running())), expected)
    assert.equal(comparison.found.keysRead, 2)
  })

  it('lets go of what is equal at the second reading', async () => {
    const {clock, compare, source, target} = bed()
    target.remove(1, keyOf('key 4'))
    const comparison = compare({recentKeys: [{key: keyOf('key 4'), partition: 1}]})
    await clock.run(comparison.run(running()))
    assert.equal(comparison.found.differences.length, 1)
    target.put(1, row('key 4', '', 'value 4'))
    assert.deepEqual(await clock.run(comparison.confirm({source, target}, running())), [])
  })

  for (const side of ['source', 'target'] as const) {
    it(`finds the row that only the ${side} has by the partition's count`, async () => {
      const {compare, clock, ...sides} = bed()
      sides[side].put(2, row('one more', '', 'v'))
      const comparison = compare()
      await clock.run(comparison.run(running()))
      assert.deepEqual(
        comparison.found.differences.map(({key, partition}) => ({key, partition})),
        [{key: keyOf('one more'), partition: 2}],
      )
      assert.deepEqual([comparison.found.expiring, comparison.found.unexplained], [[], []])
      assert.equal(comparison.found.rowsCompared, 11)
      const [confirmed] = await clock.run(comparison.confirm(sides, running()))
      assert.equal(confirmed?.kind, side === 'source' ? 'missing-on-target' : 'missing-on-source')
    })
  }

  it('takes no row that expires about now for a difference', async () => {
    const {clock, compare, source} = bed()
    // As a target whose clock is ahead has left it out already.
    source.put(0, row('nearly gone', '', 'v', nowSeconds(clock) + 5))
    const comparison = compare()
    await clock.run(comparison.run(running()))
    assert.deepEqual(comparison.found.differences, [])
    assert.deepEqual(comparison.found.unexplained, [])
    assert.deepEqual(comparison.found.expiring, [{partition: 0, source: 11, target: 10}])
  })

  it('finds a missing row among rows that expire', async () => {
    const {clock, compare, source} = bed()
    source.put(0, row('nearly gone', '', 'v', nowSeconds(clock) + 5))
    source.put(0, row('missing', '', 'v', nowSeconds(clock) + 5000))
    const comparison = compare()
    await clock.run(comparison.run(running()))
    assert.deepEqual(
      comparison.found.differences.map(({key}) => key),
      [keyOf('missing')],
    )
  })

  it('tells counts that no row explains', async () => {
    const {clock, compare, target} = bed()
    target.countOffset = 1
    const comparison = compare()
    await clock.run(comparison.run(running()))
    assert.deepEqual(comparison.found.differences, [])
    assert.equal(comparison.found.unexplained.length, PARTITIONS)
    assert.deepEqual(comparison.found.unexplained[0], {partition: 0, source: 10, target: 11})
  })

  it('is not alarmed by counts where rows are known to expire, also when nobody could look at them', async () => {
    const {clock, compare, target} = bed()
    target.countOffset = -1
    target.interfere = async (asked) => {
      if (asked === 'scan') await new Promise<never>(() => {})
    }

    const over = new AbortController()
    clock.setTimer(500, () => over.abort(new MigratorError('over', 'time is over')))
    const comparison = compare({rowsExpire: true})
    await assert.rejects(clock.run(comparison.run(over.signal), 1000), {code: 'over'})
    assert.deepEqual(comparison.found.unexplained, [])
    assert.equal(comparison.found.expiring.length, PARTITIONS)
  })

  it('does not count where it is told not to', async () => {
    const {clock, compare, source} = bed()
    source.put(0, row('one more', '', 'v'))
    const comparison = compare({counts: false, recentKeys: [{key: keyOf('key 4'), partition: 1}]})
    await clock.run(comparison.run(running()))
    assert.equal(comparison.found.counted, 0)
    assert.equal(comparison.found.keysRead, 1)
    assert.deepEqual(comparison.found.differences, [])
  })

  for (const call of ['count', 'get', 'scan'] as const) {
    it(`ends with what was found when its time is over and a ${call} is not answered`, async () => {
      const {clock, compare, source, target} = bed()
      source.put(2, row('one more', '', 'v'))
      target.interfere = async (asked, partition) => {
        if (asked === call && partition === 2) await new Promise<never>(() => {})
      }

      const over = new AbortController()
      clock.setTimer(500, () => over.abort(new MigratorError('over', 'time is over')))
      const comparison = compare({recentKeys: [{key: keyOf('key 5'), partition: 2}]})
      await assert.rejects(clock.run(comparison.run(over.signal), 1000), {code: 'over'})
      assert.equal(clock.nowMs() <= 500, true)
      const {counted, keysRead, unexplained} = comparison.found
      assert.equal(counted, call === 'count' ? 2 : 3)
      assert.equal(keysRead, call === 'get' ? 0 : 1)
      // Its count differed, and nobody could look at its rows.
      assert.equal(unexplained.length, call === 'scan' ? 1 : 0)
    })
  }
})

describe('RecentKeys', () => {
  it('keeps the newest, each once', () => {
    const keys = new RecentKeys()
    for (let n = 0; n < 300; n++) keys.add(n % 2, keyOf(`${n}`))
    keys.add(0, keyOf('100'))
    const kept = keys.newestFirst()
    assert.equal(kept.length, 256)
    assert.deepEqual(kept[0], {key: keyOf('100'), partition: 0})
    assert.deepEqual(kept[1], {key: keyOf('299'), partition: 1})
    assert.deepEqual(kept.at(-1), {key: keyOf('44'), partition: 0})
    assert.equal(kept.filter(({key}) => key.equals(keyOf('100'))).length, 1)
  })
})
