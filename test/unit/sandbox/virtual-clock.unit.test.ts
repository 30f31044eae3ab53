import assert from 'node:assert/strict'

import {sleep} from '../../../src/lib/clock.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'

describe('virtual clock', () => {
  it('fires timers in order of time, then of creation, each at its own time', async () => {
    const clock = new VirtualClock()
    const fired: string[] = []
    const note = (name: string) => () => fired.push(`${name} at ${clock.nowMs()}`)
    clock.setTimer(20, note('c'))
    clock.setTimer(10, note('a'))
    clock.setTimer(10, note('b'))
    clock.setTimer(5, note('never')).cancel()
    await clock.advance(15)
    assert.deepEqual(fired, ['a at 10', 'b at 10'])
    assert.equal(clock.nowMs(), 15)
    await clock.advance(5)
    assert.deepEqual(fired.slice(2), ['c at 20'])
  })

  it('lets what a timer set in motion come to rest before the next one', async () => {
    const clock = new VirtualClock()
    const seen: number[] = []
    const chain = async () => {
      await sleep(clock, 10)
      for (let i = 0; i < 100; i++) await Promise.resolve()
      seen.push(clock.nowMs())
      await sleep(clock, 1)
      seen.push(clock.nowMs())
    }

    void chain()
    clock.setTimer(10.5, () => seen.push(clock.nowMs()))
    await clock.advance(100)
    assert.deepEqual(seen, [10, 10.5, 11])
  })

  it('keeps many timers in order', async () => {
    const clock = new VirtualClock()
    const delays = Array.from({length: 500}, (_, i) => (i * 7919) % 1000)
    const fired: number[] = []
    for (const delay of delays) clock.setTimer(delay, () => fired.push(delay))
    await clock.advance(1000)
    assert.deepEqual(
      fired,
      [...delays].sort((a, b) => a - b),
    )
  })

  it('runs until a promise is settled, and says when it never will be', async () => {
    const clock = new VirtualClock()
    const value = sleep(clock, 3_600_000).then(() => 'an hour later')
    assert.equal(await clock.run(value), 'an hour later')
    assert.equal(clock.nowMs(), 3_600_000)
    await assert.rejects(
      clock.run(
        sleep(clock, 1).then(() => {
          throw new Error('its own')
        }),
      ),
      /its own/,
    )
    await assert.rejects(clock.run(new Promise(() => {})), /nothing left to happen/)
    clock.setTimer(1000, () => {})
    await assert.rejects(clock.run(new Promise(() => {}), 500), /still pending after 500 virtual ms/)
  })

  it('lets even the rest of a wait that rounding left over pass', async () => {
    const clock = new VirtualClock()
    await clock.advance(1e7)
    const untilMs = clock.nowMs() + 1e-9
    assert.ok(untilMs > clock.nowMs())
    const wait = async () => {
      for (let looks = 0; clock.nowMs() < untilMs; looks++) {
        assert.ok(looks < 3, 'time stands still')
        await sleep(clock, (untilMs - clock.nowMs()) / 2)
      }
    }

    await clock.run(wait())
    assert.ok(clock.nowMs() - untilMs < 1e-5)
  })

  it('moves wall time along', async () => {
    const clock = new VirtualClock(1_000_000)
    await clock.advance(2500)
    assert.equal(clock.wallMs(), 1_002_500)
  })
})
