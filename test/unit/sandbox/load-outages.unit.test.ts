import assert from 'node:assert/strict'

import {OutageWatch} from '../../sandbox/load-outages.js'

describe('outage watch', () => {
  it('lasts from the first failure to the success of the last partition', () => {
    const watch = new OutageWatch(0)
    watch.succeeded(0, 100)
    watch.succeeded(1, 110)
    watch.failed(0, 200)
    watch.failed(1, 190)
    watch.failed(0, 300)
    watch.succeeded(0, 400)
    assert.equal(watch.outages[0]!.endMs, undefined)
    watch.succeeded(1, 500)
    watch.succeeded(1, 510)
    assert.deepEqual(watch.outages, [{endMs: 500, failedWrites: 3, partitions: [0, 1], startMs: 190}])
    assert.deepEqual(
      [...watch.gaps(600)],
      [
        [0, 300],
        [1, 390],
      ],
    )
    watch.failed(0, 700)
    assert.equal(watch.outages.length, 2)
    assert.equal(watch.gaps(1000).get(0), 600)
  })
})
