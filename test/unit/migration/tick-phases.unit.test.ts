import assert from 'node:assert/strict'

import {bestMoment} from '../../../src/lib/migration/tick-phases.js'

const at = (...ticks: number[]) => ticks.map((ms) => ({afterMs: ms - 500, byMs: ms}))

/** How far apart servers hear of a deny that is set at a time, by their exact ticks. */
function spreadOf(ticks: readonly number[], intervalMs: number, setMs: number): number {
  const heard = ticks.map((tick) => (((tick - setMs) % intervalMs) + intervalMs) % intervalMs)
  return Math.max(...heard) - Math.min(...heard)
}

describe('the moment to deny', () => {
  it('is right before the syncs that follow the largest gap', () => {
    const moment = bestMoment(at(1000, 4000, 9000), 30_000, 100_000)!
    assert.equal(moment.atMs, 119_000)
    assert.equal(moment.spreadMs, 8500)
    assert.equal(spreadOf([1000, 4000, 9000], 30_000, moment.atMs), 8000)
  })

  it('is the same when the circle is cut elsewhere', () => {
    const moment = bestMoment(at(29_000, 31_000, 33_000), 30_000, 40_000)!
    assert.equal(spreadOf([29_000, 31_000, 33_000], 30_000, moment.atMs), 4000)
    assert.ok(moment.atMs >= 40_000 && moment.atMs < 70_000)
  })

  it('is at least as good as any other', () => {
    for (let shift = 0; shift < 30; shift++) {
      const ticks = [0, 7000, 11_000, 26_000].map((tick) => tick + shift * 1000)
      const {atMs, spreadMs} = bestMoment(at(...ticks), 30_000, 1_000_000)!
      const best = Math.min(...Array.from({length: 300}, (_, step) => spreadOf(ticks, 30_000, step * 100)))
      assert.equal(spreadOf(ticks, 30_000, atMs), best)
      assert.ok(spreadMs >= best && spreadMs <= best + 500)
    }
  })

  it('of one server is before its sync', () => {
    const moment = bestMoment(at(5000), 30_000, 0)!
    assert.equal(moment.atMs, 3000)
    assert.equal(moment.spreadMs, 500)
  })

  it('is none where the syncs leave no gap', () => {
    const everywhere = Array.from({length: 15}, (_, index) => index * 2000)
    assert.equal(bestMoment(at(...everywhere), 30_000, 0), undefined)
  })
})

describe('a gap between syncs', () => {
  it('is worth it from 3 s on', () => {
    const interval = 10_000
    const moment = (gapMs: number) => bestMoment([{afterMs: gapMs, byMs: interval}], interval, 0)
    assert.deepEqual(moment(3000), {atMs: 1500, spreadMs: 7000})
    assert.equal(moment(2999), undefined)
  })

  it('is none without a server', () => {
    assert.equal(bestMoment([], 30_000, 0), undefined)
  })

  it('begins at the latest of the syncs before it', () => {
    // The first one may have come as late as 9 s, after the second one.
    const phases = [
      {afterMs: 1000, byMs: 9000},
      {afterMs: 2000, byMs: 3000},
    ]
    assert.deepEqual(bestMoment(phases, 20_000, 0), {atMs: 19_500, spreadMs: 8000})
  })

  it('is the first of several that are as long', () => {
    const phases = [
      {afterMs: 15_000, byMs: 16_000},
      {afterMs: 5000, byMs: 6000},
    ]
    assert.deepEqual(bestMoment(phases, 20_000, 0), {atMs: 3500, spreadMs: 11_000})
  })

  it('counts by syncs of long ago', () => {
    assert.deepEqual(bestMoment([{afterMs: -1000, byMs: -500}], 30_000, 100_000), {atMs: 117_500, spreadMs: 500})
  })
})
