import assert from 'node:assert/strict'

import {FenceBook, type FenceBookOptions} from '../../../src/lib/migration/proof/fence-book.js'
import type {Fence} from '../../../src/lib/migration/proof/fence.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'

/* When a partition is drained, figure by figure. */

const fence = (partitionIndex: number, decree: number, ballot = 3): Fence => ({
  ballot,
  decree,
  partitionIndex,
  server: `s${partitionIndex}:1`,
})
const shipped = (partitionIndex: number, shippedDecree: number) => ({partitionIndex, shippedDecree})

function bookOf(
  clock: VirtualClock,
  o: Partial<Pick<FenceBookOptions, 'generation' | 'groupCheckMs'>> & {since?: number[]} = {},
) {
  const {generation = '2.5', groupCheckMs = 10_000, since = [0, 0]} = o
  const denied = new Map(
    since.map((sinceMs, partitionIndex) => [partitionIndex, {...fence(partitionIndex, 0), sinceMs}]),
  )
  return new FenceBook({clock, denied: denied as never, generation, groupCheckMs})
}

describe('the book of fences', () => {
  let clock: VirtualClock
  beforeEach(() => {
    clock = new VirtualClock()
  })

  it('takes a partition for through once its fence is final and shipped, not before', async () => {
    const book = bookOf(clock)
    assert.equal(book.partitionCount, 2)
    assert.deepEqual(book.behind, [0, 1])
    assert.equal(book.note([fence(0, 10), fence(1, 5)], 8999), true)
    book.shipped(shipped(0, 10))
    book.shipped(shipped(1, 4))
    assert.deepEqual([book.behind, book.isThrough(0)], [[0, 1], false])
    assert.equal(book.note([fence(0, 10), fence(1, 5)], 9000), false)
    assert.deepEqual([book.behind, book.isThrough(0), book.isThrough(1)], [[1], true, false])
    book.shipped(shipped(1, 5))
    assert.deepEqual(book.behind, [])
    assert.equal(book.explain(0), 'everything accepted is on the target')
  })

  /** The first moment of a reading that makes a fence final. */
  function finalAtMs(generation: FenceBookOptions['generation'], groupCheckMs: number, sinceMs = 0): number {
    for (let readAtMs = sinceMs; ; readAtMs += 500) {
      const book = bookOf(clock, {generation, groupCheckMs, since: [sinceMs]})
      book.note([fence(0, 10)], readAtMs)
      book.shipped(shipped(0, 10))
      if (book.isThrough(0)) return readAtMs
    }
  }

  it('lets writes come to rest: 3 to 10 s by the group check, 1 s on master, from when each was denied', () => {
    assert.deepEqual(
      [2000, 4000, 6000, 10_000, 11_000, 100_000].map((groupCheckMs) => finalAtMs('2.5', groupCheckMs)),
      [3000, 3000, 5000, 9000, 10_000, 10_000],
    )
    assert.equal(finalAtMs('master', 10_000), 1000)
    assert.equal(finalAtMs('2.5', 10_000, 4000), 13_000)
  })

  it('wants a fence where there is none, and once more when writes have come to rest', async () => {
    const book = bookOf(clock)
    assert.equal(book.wantsFence(0), true)
    book.note([fence(0, 10)], 0)
    assert.equal(book.wantsFence(0), false)
    await clock.advance(8999)
    assert.equal(book.wantsFence(0), false)
    await clock.advance(1)
    assert.equal(book.wantsFence(0), true)
    book.note([fence(0, 10)], 9000)
    assert.equal(book.wantsFence(0), false)
  })

  it('raises a fence that grew before it was final by anything, afterwards by more than empty writes', () => {
    const book = bookOf(clock)
    const decree = () => book.fences.get(0)!.decree
    book.note([fence(0, 10)], 1000)
    assert.equal(book.note([fence(0, 11)], 2000), true)
    assert.equal(decree(), 11)
    assert.equal(book.note([fence(0, 11)], 9000), false)
    // One for the group check under way, one for each that passed.
    assert.equal(book.note([fence(0, 12)], 9500), false)
    assert.equal(book.note([fence(0, 13)], 19_000), false)
    assert.equal(decree(), 11)
    book.shipped(shipped(0, 11))
    assert.equal(book.isThrough(0), true)
    assert.equal(book.note([fence(0, 14, 4)], 19_000), true)
    assert.deepEqual(book.fences.get(0), fence(0, 14, 4))
    // Final at this very reading, and no longer shipped.
    assert.deepEqual([book.isThrough(0), book.behind], [false, [0, 1]])
    book.shipped(shipped(0, 14))
    assert.equal(book.isThrough(0), true)
  })

  it('allows no growth on master', () => {
    const book = bookOf(clock, {generation: 'master'})
    book.note([fence(0, 10)], 1000)
    assert.equal(book.note([fence(0, 11)], 60_000), true)
  })

  it('never lowers what is shipped, and keeps when it was first seen to reach the fence', async () => {
    const book = bookOf(clock, {since: [0]})
    book.note([fence(0, 10)], 9000)
    await clock.advance(100)
    book.shipped(shipped(0, 10))
    await clock.advance(100)
    book.shipped(shipped(0, 3))
    assert.deepEqual([book.behind, book.shippedSeenMs], [[], 100])
    // A fence that grew past it has to be reached anew.
    book.note([fence(0, 20)], 9000)
    await clock.advance(100)
    book.shipped(shipped(0, 20))
    assert.equal(book.shippedSeenMs, 300)
  })

  it('keeps that moment when the fence grew to what is shipped already', async () => {
    const book = bookOf(clock, {since: [0]})
    book.note([fence(0, 10)], 9000)
    book.shipped(shipped(0, 30))
    await clock.advance(500)
    book.note([fence(0, 20)], 9000)
    book.shipped(shipped(0, 30))
    assert.equal(book.shippedSeenMs, 0)
  })

  it('is not reached by what was shipped without a fence', () => {
    const book = bookOf(clock, {since: [0]})
    book.shipped(shipped(0, 10))
    assert.equal(book.shippedSeenMs, Number.NEGATIVE_INFINITY)
  })

  it('names the partition with most to go', () => {
    const book = bookOf(clock, {since: [0, 0, 0]})
    assert.equal(book.worst, undefined)
    book.note([fence(0, 10), fence(1, 20), fence(2, 15)], 0)
    book.shipped(shipped(0, 10))
    book.shipped(shipped(1, 12))
    book.shipped(shipped(2, 14))
    assert.equal(book.worst, 'partition 1 on s1:1: 8 mutations to go')
    assert.equal(book.lagMutations, 9)
    book.shipped(shipped(1, 20))
    assert.equal(book.worst, 'partition 2 on s2:1: 1 mutation to go')
    book.shipped(shipped(2, 15))
    assert.equal(book.worst, undefined)
    const silent = bookOf(clock, {since: [0]})
    silent.note([fence(0, 0)], 0)
    assert.equal(silent.worst, 'partition 0 on s0:1: 1 mutation to go')
    assert.equal(silent.lagMutations, undefined, 'not read yet')
  })

  it('says until when the last empty write comes', async () => {
    const book = bookOf(clock, {since: [2000, 5000]})
    const timeOf = (wallMs: number) => new Date(wallMs).toTimeString().slice(0, 8)
    const toWallMs = Date.UTC(2026, 10, 22, 3, 4, 5)
    book.note([fence(0, 10), fence(1, 10)], 0)
    assert.equal(book.latestMs, 25_000)
    const waits = (count: number, until: string) =>
      `${count === 1 ? '1 partition waits' : `${count} partitions wait`} for the empty write that lets the last mutation go (group check each 10 s${until})`
    assert.equal(book.explain(toWallMs), waits(2, `, until ${timeOf(toWallMs + 25_000)} at the latest`))
    assert.equal(book.explain(0), waits(2, ''))
    book.shipped(shipped(1, 10))
    book.note([fence(0, 10), fence(1, 10)], 14_000)
    assert.equal(book.latestMs, 22_000)
    await clock.advance(22_000)
    assert.equal(book.explain(toWallMs), waits(1, `, until ${timeOf(toWallMs + 22_000)} at the latest`))
    await clock.advance(1)
    assert.equal(book.explain(toWallMs), waits(1, ''))
    book.shipped(shipped(0, 10))
    assert.equal(book.latestMs, undefined)
  })

  it('says what else is waited for', () => {
    const book = bookOf(clock)
    book.note([fence(0, 10), fence(1, 10)], 0)
    book.shipped(shipped(0, 10))
    book.shipped(shipped(1, 10))
    assert.equal(book.explain(0), 'everything seen is on the target; writes under way on partitions 0, 1 come to rest')
    const master = bookOf(clock, {generation: 'master'})
    assert.equal(master.explain(1), '2 partitions are shipping their last mutations')
    assert.equal(master.latestMs, undefined)
  })
})
