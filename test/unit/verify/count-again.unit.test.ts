import assert from 'node:assert/strict'
import {countPartitions} from '../../../src/lib/migration/verify/count.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'

interface Bed {
  /** Rows of a partition. */
  count(side: 'source' | 'target', partition: number): number
  partitions?: number[]
  rereadLimitMs?: number
  stopping?: () => boolean
}

/** What was counted when, and the partitions whose counts never agreed. */
async function counted({count, partitions = [0, 1, 2], rereadLimitMs = 40_000, stopping = () => false}: Bed) {
  const clock = new VirtualClock()
  const told: string[] = []
  const side = (name: 'source' | 'target') => ({count: async (partition: number) => count(name, partition)}) as never
  const differing = await clock.run(
    countPartitions({
      clock,
      onCounted: (partition, source, target) =>
        told.push(`${clock.nowMs() / 1000} s: ${partition} has ${source}, ${target}`),
      parallel: 2,
      partitions,
      rereadLimitMs,
      signal: new AbortController().signal,
      source: side('source'),
      stopping,
      target: side('target'),
    }),
  )
  return {differing, seconds: clock.nowMs() / 1000, told}
}

describe('countPartitions', () => {
  it('counts each once where both sides agree', async () => {
    const {differing, seconds, told} = await counted({count: (_, partition) => partition})
    assert.deepEqual(told, ['0 s: 0 has 0, 0', '0 s: 1 has 1, 1', '0 s: 2 has 2, 2'])
    assert.deepEqual([differing, seconds], [[], 0])
  })

  it('counts again, five times in all, what differs, over the time that a mutation may need', async () => {
    const {differing, told} = await counted({count: (side, partition) => (partition > 0 && side === 'target' ? 8 : 9)})
    assert.deepEqual(
      told.filter((text) => text.includes(': 2')),
      [0, 10, 20, 30, 40].map((seconds) => `${seconds} s: 2 has 9, 8`),
    )
    assert.deepEqual([differing, told.length], [[1, 2], 11])
  })

  it('ends as soon as all agree', async () => {
    let times = 0
    const {differing, seconds} = await counted({
      count: (side) => (side === 'target' && ++times <= 2 ? 8 : 9),
      partitions: [7],
    })
    assert.deepEqual([differing, seconds], [[], 20])
  })

  it('leaves a second between two counts at least', async () => {
    const {seconds} = await counted({count: (side) => side.length + Number(side === 'target'), rereadLimitMs: 100})
    assert.equal(seconds, 4)
  })

  it('names partitions in order, whichever was counted first', async () => {
    const {differing} = await counted({count: (side) => (side === 'target' ? 8 : 9), partitions: [11, 2, 10, 1]})
    assert.deepEqual(differing, [1, 2, 10, 11])
  })

  it('counts nothing more when it is to end', async () => {
    let asked = 0
    const {differing, told} = await counted({count: (side) => (side === 'target' ? 8 : 9), stopping: () => ++asked > 2})
    assert.equal(told.length, 2)
    assert.deepEqual(differing, [])
  })
})
