import assert from 'node:assert/strict'
import {setImmediate} from 'node:timers/promises'
import {type Comparison, compareRange, rowId} from '../../../src/lib/migration/verify/compare.js'
import {judgeWith} from '../../../src/lib/migration/verify/judge.js'
import {Tally} from '../../../src/lib/migration/verify/tally.js'
import {RowBatch} from '../../../src/lib/pegasus/row-batch.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryRows, nowSeconds, row} from './support/memory-rows.js'

const keyOf = (name: string) => row(name, '', '').key
const nameOf = (key: Buffer | undefined) => key?.subarray(2).toString()

function bed(more: Partial<Comparison> = {}) {
  const clock = new VirtualClock()
  const [source, target] = [4, 9].map((batchRows) => new MemoryRows({batchRows, clock})) as [MemoryRows, MemoryRows]
  const suspects: string[] = []
  const tally = new Tally()
  const comparison: Comparison = {
    apart: new Set(),
    judge: judgeWith(clock, 0),
    onError: (error) => assert.fail(String(error)),
    onProgress() {},
    pool: {add: (partition, key) => void suspects.push(`${partition} ${nameOf(key)}`)},
    signal: new AbortController().signal,
    source,
    stopping: () => false,
    tally,
    target,
    ...more,
  }
  const both = (names: string) => {
    for (const name of names) for (const side of [source, target]) side.put(0, row(name, '', 'v'))
  }

  return {both, clock, comparison, source, suspects, tally, target}
}

/** So many rows with names of four digits on both sides. */
function many({source, target}: ReturnType<typeof bed>, count: number): void {
  for (let n = 0; n < count; n++)
    for (const side of [source, target]) side.put(0, row(String(n).padStart(4, '0'), '', 'v'))
}

describe('compareRange', () => {
  it('leaves out what is compared by itself, whether it is the same or not', async () => {
    const apart = new Set(['b', 'c', 'x', 'nowhere'].map((name) => rowId(0, keyOf(name))))
    apart.add(rowId(1, keyOf('d')))
    const {both, comparison, source, suspects, tally, target} = bed({apart})
    both('abcdef')
    source.put(0, row('x', '', 'new'))
    target.put(0, row('y', '', 'too much'))
    const {rows, stopped} = await compareRange(comparison, 0, {})
    assert.deepEqual({rows, stopped, suspects}, {rows: 8, stopped: false, suspects: ['0 y']})
    const {equal, rowsCompared} = tally.report('full')
    assert.deepEqual({equal, rowsCompared}, {equal: 4, rowsCompared: 5})
  })

  it('tells every key in order, the last one, and what each side gave', async () => {
    const {both, comparison, source, target} = bed()
    both('abcdefghik')
    source.put(0, row('g', '', 'w'))
    target.put(0, row('j', '', 'v'))
    source.put(0, row('z', '', 'v'))
    const keys: string[] = []
    const found = await compareRange(comparison, 0, {}, Infinity, (key) => keys.push(nameOf(key)!))
    assert.equal(keys.join(''), 'abcdefghijkz')
    assert.deepEqual(
      {...found, lastKey: nameOf(found.lastKey)},
      {lastKey: 'z', rows: 12, rowsOnSource: 11, rowsOnTarget: 11, stopped: false},
    )
  })

  it('ends after as many keys as are wanted', async () => {
    const {both, comparison, tally} = bed()
    both('abcdefgh')
    for (const [wanted, last] of [
      [1, 'a'],
      [3, 'c'],
      [6, 'f'],
      [8, 'h'],
    ] as const) {
      const {lastKey, rows, stopped} = await compareRange(comparison, 0, {}, wanted)
      assert.deepEqual([rows, nameOf(lastKey), stopped], [wanted, last, false])
    }

    assert.equal(tally.report('full').equal, 18)
  })

  it('knows no last key where there are no rows', async () => {
    const {comparison} = bed()
    const {lastKey, stopped} = await compareRange(comparison, 0, {})
    assert.deepEqual([lastKey, stopped], [undefined, false])
  })

  it('tells how far it is, and asks whether to end, each thousand rows', async () => {
    let told = 0
    const one = bed({onProgress: () => told++, stopping: () => told === 3})
    many(one, 2300)
    const {rows, stopped} = await compareRange(one.comparison, 0, {})
    assert.equal(stopped, true)
    assert.equal(told, 3)
    assert.ok(rows >= 2048 && rows < 2200, String(rows))
    assert.equal(one.source.openScans + one.target.openScans, 0)
  })

  it('asks before the first row', async () => {
    const {both, comparison, tally} = bed({stopping: () => true})
    both('abc')
    const {rows, stopped} = await compareRange(comparison, 0, {})
    assert.deepEqual([rows, stopped, tally.rowsCompared], [0, true, 0])
  })

  it('judges a row of both by its values and by the expiry of each side', async () => {
    const judged: unknown[] = []
    const {comparison, source, suspects, tally, target} = bed({
      judge: {
        both(...asked) {
          judged.push(asked)
          return 'equal'
        },
        only(...asked) {
          judged.push(asked)
          return 'expiring'
        },
      },
    })
    for (const side of [source, target]) side.put(0, row('a', '', 'v', side === source ? 1e9 : 1e9 + 1))
    source.put(0, row('b', '', 'v', 1e9 + 2))
    target.put(0, row('c', '', 'v', 1e9 + 3))
    for (const side of [source, target]) side.put(0, row('d', '', side === source ? 'v' : 'w'))
    await compareRange(comparison, 0, {})
    assert.deepEqual(judged, [
      [true, 1e9, 1e9 + 1],
      ['source', 1e9 + 2],
      ['target', 1e9 + 3],
      [false, 0, 0],
    ])
    const {equal, expiring, rowsCompared} = tally.report('full')
    assert.deepEqual({equal, expiring, rowsCompared}, {equal: 2, expiring: 2, rowsCompared: 4})
    assert.deepEqual(suspects, [])
  })

  it('tells of rows that expire, of those that are the same and of those that differ', async () => {
    let told = 0
    const {both, clock, comparison, source, target} = bed({onExpiry: () => told++})
    const later = nowSeconds(clock) + 5000
    both('abcd')
    source.put(0, row('b', '', 'w'))
    await compareRange(comparison, 0, {})
    assert.equal(told, 0)
    for (const side of [source, target]) side.put(0, row('d', '', 'v', later))
    await compareRange(comparison, 0, {})
    assert.equal(told, 1)
    source.put(0, row('x', '', 'v', later))
    await compareRange(comparison, 0, {})
    assert.equal(told, 3)
  })

  it('waits for the pool before it goes on', async () => {
    const {comparison, source} = bed()
    let waiting = 0
    comparison.pool = {
      async add() {
        assert.equal(++waiting, 1)
        await setImmediate()
        waiting--
      },
    }
    for (const name of 'abc') source.put(0, row(name, '', 'v'))
    await compareRange(comparison, 0, {})
    assert.equal(waiting, 0)
  })

  for (const side of ['source', 'target'] as const) {
    it(`says that it is the ${side}'s scan that is not in order`, async () => {
      const {comparison} = bed()
      comparison[side].scan = async function* () {
        yield RowBatch.of([row('b', '', '1'), row('a', '', '2')])
      }

      const message = new RegExp(`^the ${side}'s scan gave key "a" "" after "b" ""`)
      await assert.rejects(compareRange(comparison, 0, {}), {code: 'verify.unordered', message})
    })
  }
})
