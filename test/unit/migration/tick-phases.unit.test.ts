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
