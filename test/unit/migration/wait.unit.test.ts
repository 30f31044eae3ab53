import assert from 'node:assert/strict'

import type {Clock} from '../../../src/lib/clock.js'
import {isMigratorError, MigratorError} from '../../../src/lib/errors.js'
import {mayPass, waitUntil} from '../../../src/lib/migration/wait.js'

/** A clock that jumps to the next timer as soon as everything else is idle. */
function jumpingClock(): Clock {
  let now = 0
  return {
    nowMs: () => now,
    setTimer(delayMs, callback) {
      let cancelled = false
      setImmediate(() => {
        if (cancelled) return
        now += delayMs
        callback()
      })
      return {
        cancel() {
          cancelled = true
        },
      }
    },
    wallMs: () => now,
  }
}

describe('waitUntil', () => {
  const base = (clock: Clock) => ({
    clock,
    describe: (seen: number) => `${seen} of 3`,
    done: (seen: number) => seen === 3,
    intervalMs: 100,
    limitMs: 1000,
    signal: new AbortController().signal,
    stage: 'test',
  })

  it('looks until it is done', async () => {
    const clock = jumpingClock()
    let looks = 0
    assert.equal(await waitUntil({...base(clock), observe: async () => ++looks}), 3)
    assert.equal(clock.nowMs(), 200)
  })

  it('says at its limit what was last seen and what failed last', async () => {
    const clock = jumpingClock()
    let looks = 0
    const trouble = new MigratorError('rpc.timeout', 'no answer from 10.0.0.1:34801')
    const observe = async () => {
      if (++looks > 1) throw trouble
      return 2
    }

    await assert.rejects(waitUntil({...base(clock), observe}), (error: MigratorError) => {
      assert.equal(error.code, 'wait.limit')
      assert.match(error.message, /test: not there after 1 s; last seen: 2 of 3; .*no answer from 10\.0\.0\.1:34801/)
      assert.equal(error.cause, trouble)
      return true
    })
    assert.equal(clock.nowMs(), 1000)
  })

  it('ends at once with an error that waiting does not mend', async () => {
    const clock = jumpingClock()
    const gone = new MigratorError('meta.error', 'no such table', {facts: {err: 'ERR_APP_NOT_EXIST'}})
    const observe = async () => {
      throw gone
    }

    await assert.rejects(waitUntil({...base(clock), observe}), (error) => error === gone)
    assert.equal(clock.nowMs(), 0)
  })

  it('ends with the reason of its signal, also while it sleeps', async () => {
    const clock = jumpingClock()
    const controller = new AbortController()
    const reason = new Error('stop')
    const observe = async () => {
      setImmediate(() => controller.abort(reason))
      return 1
    }

    await assert.rejects(waitUntil({...base(clock), observe, signal: controller.signal}), (error) => error === reason)
  })

  it('asks the stall rule only when its figure has stood still for the limit', async () => {
    const clock = jumpingClock()
    let looks = 0
    const stalls: number[] = []
    const stall = {
      figure: String,
      limitMs: 300,
      async onStall(_: number | undefined, stalledForMs: number) {
        stalls.push(stalledForMs)
        if (stalls.length === 2) throw new MigratorError('x.stalled', 'stands still')
      },
    }
    // Moves three times, then stands.
    const observe = async () => Math.min(++looks / 10, 0.4)
    await assert.rejects(waitUntil({...base(clock), limitMs: 10_000, observe, stall}), (error) =>
      isMigratorError(error, 'x.stalled'),
    )
    assert.deepEqual(stalls, [300, 300])
  })
})

describe('mayPass', () => {
  it('bears servers in trouble, not our own abort nor a table that is gone', () => {
    assert.equal(mayPass(new MigratorError('rpc.connection_lost', '')), true)
    assert.equal(mayPass(new MigratorError('observe.primary_moving', '')), true)
    assert.equal(mayPass(new MigratorError('meta.error', '', {facts: {err: 'ERR_BUSY'}})), true)
    assert.equal(mayPass(new MigratorError('meta.error', '', {facts: {err: 'ERR_OBJECT_NOT_FOUND'}})), false)
    assert.equal(mayPass(new MigratorError('rpc.aborted', '')), false)
    assert.equal(mayPass(new Error('a bug')), false)
  })
})
