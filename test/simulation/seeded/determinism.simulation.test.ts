import assert from 'node:assert/strict'

import {drawPlan} from './plan.js'
import {play} from './run.js'

describe('a simulated run', function () {
  this.timeout(60_000)

  it('is the same each time for the same seed: every message, effect and fault', async () => {
    // Runs of other seeds between them must leave no trace.
    for (const seed of [10, 12, 17]) {
      const [first, , second] = [await play(drawPlan(seed)), await play(drawPlan(seed + 1)), await play(drawPlan(seed))]
      assert.equal(second.hash, first.hash)
      assert.deepEqual(second.trace, first.trace)
    }
  })

  it('is another one for another seed', async () => {
    assert.notEqual((await play(drawPlan(21))).hash, (await play(drawPlan(22))).hash)
  })
})
