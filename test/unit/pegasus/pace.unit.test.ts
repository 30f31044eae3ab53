import assert from 'node:assert/strict'
import {Pace} from '../../../src/lib/pegasus/pace.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'

describe('pace', () => {
  it('keeps several readers together to the rows and bytes a second', async () => {
    for (const [limits, seconds] of [
      [{rowsPerSecond: 1000}, 20],
      [{bytesPerSecond: 50_000}, 40],
      [{bytesPerSecond: 50_000, rowsPerSecond: 1000}, 40],
    ] as const) {
      const clock = new VirtualClock()
      const pace = new Pace(clock, limits)
      const reader = async () => {
        for (let n = 0; n < 20; n++) {
          await pace.ready()
          pace.spend(250, 25_000)
        }
      }

      const startMs = clock.nowMs()
      await clock.run(Promise.all([reader(), reader(), reader(), reader()]))
      const took = (clock.nowMs() - startMs) / 1000
      assert.ok(took > seconds * 0.9 && took < seconds * 1.1, `${took} s for ${seconds}`)
    }
  })

  it('saves up no more than a second', async () => {
    const clock = new VirtualClock()
    const pace = new Pace(clock, {rowsPerSecond: 100})
    await clock.advance(60_000)
    const startMs = clock.nowMs()
    const read = async () => {
      for (let n = 0; n < 10; n++) {
        await pace.ready()
        pace.spend(100, 0)
      }
    }

    await clock.run(read())
    assert.ok(clock.nowMs() - startMs >= 8000)
  })

  it('ends with its caller, and asks for no more rows at once than a second has', async () => {
    const clock = new VirtualClock()
    const pace = new Pace(clock, {rowsPerSecond: 3})
    assert.equal(pace.mostRowsAtOnce, 3)
    assert.equal(new Pace(clock, {bytesPerSecond: 3}).mostRowsAtOnce, Infinity)
    pace.spend(1000, 0)
    const stop = new AbortController()
    clock.setTimer(500, () => stop.abort(new Error('enough')))
    await assert.rejects(clock.run(pace.ready(stop.signal)), /enough/)
    assert.ok(clock.nowMs() < 1000)
  })
})
