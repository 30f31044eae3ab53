import assert from 'node:assert/strict'
import {describeDifference, RestingComparison} from '../../../src/lib/migration/verify/at-rest.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryRows, nowSeconds, row} from './support/memory-rows.js'

const keyOf = (name: string) => row(name, '', '').key

function bed(recent: [partition: number, name: string][] = []) {
  const clock = new VirtualClock()
  const [source, target] = [new MemoryRows({batchRows: 100, clock}), new MemoryRows({batchRows: 100, clock})]
  const comparison = new RestingComparison({
    clock,
    counts: true,
    expiryToleranceSeconds: 0,
    partitionCount: 2,
    recentKeys: recent.map(([partition, name]) => ({key: keyOf(name), partition})),
    rowsExpire: false,
    source,
    target,
  })
  const run = async () => {
    await clock.run(comparison.run(new AbortController().signal))
    const {differences} = comparison.found
    return differences.map(({key, kind, partition}) => `${partition} ${key.subarray(2)} ${kind}`)
  }

  return {clock, comparison, run, source, target}
}

describe('what a comparison at rest finds', () => {
  it('takes no key written lately for different that expires about now', async () => {
    const {clock, comparison, run, source} = bed([[0, 'k']])
    source.put(0, row('k', '', 'v', nowSeconds(clock) + 5))
    assert.deepEqual(await run(), [])
    assert.equal(comparison.found.keysRead, 1)
  })

  it('knows a row once, and the same key of another partition apart', async () => {
    const {run, source} = bed([
      [0, 'k'],
      [1, 'k'],
    ])
    for (const name of ['k', 'l']) for (const partition of [0, 1]) source.put(partition, row(name, '', 'v'))
    const found = await run()
    assert.deepEqual(found.map((text) => text.slice(0, 3)).sort(), ['0 k', '0 l', '1 k', '1 l'])
  })

  it('does not explain the counts of one partition by the row of another', async () => {
    const {comparison, run, source, target} = bed()
    source.put(0, row('k', '', 'v'))
    const count = target.count.bind(target)
    target.count = async (partition) => (partition === 1 ? 7 : count(partition))
    assert.equal((await run()).length, 1)
    assert.deepEqual(comparison.found.unexplained, [{partition: 1, source: 0, target: 7}])
    assert.equal(comparison.found.counted, 2)
  })

  it('keeps a hundred rows, and looks no further', async () => {
    const {comparison, run, source} = bed()
    for (let n = 0; n < 2000; n++) source.put(0, row(`${n}`, '', 'v'))
    assert.equal((await run()).length, 100)
    assert.ok(comparison.found.rowsCompared < 1100, String(comparison.found.rowsCompared))
    assert.deepEqual(comparison.found.unexplained, [])
  })

  it('describes a row', () => {
    const text = describeDifference({key: keyOf('k'), kind: 'missing-on-target', partition: 3})
    assert.equal(text, '"k" "" of partition 3 (missing-on-target)')
  })

  it('takes no other value for what explains a count', async () => {
    const {clock, comparison, source, target} = bed([[0, 'changed']])
    for (const side of [source, target]) side.put(0, row('changed', '', side === source ? 'new' : 'old'))
    source.put(0, row('lost', '', 'v'))
    target.interfere = async (asked) => {
      if (asked === 'scan') await new Promise<never>(() => {})
    }

    const over = new AbortController()
    clock.setTimer(500, () => over.abort(new Error('time is over')))
    await assert.rejects(clock.run(comparison.run(over.signal), 1000), /time is over/)
    assert.deepEqual(comparison.found.unexplained, [{partition: 0, source: 2, target: 1}])
  })
})
