import assert from 'node:assert/strict'
import {getEventListeners} from 'node:events'
import {setImmediate as settled} from 'node:timers/promises'

import {allowListeners, unlessAborted} from '../../../src/lib/rpc/signals.js'

const never = new Promise<never>(() => {})
const why = new Error('why')

describe('a promise beside a signal', () => {
  it('is the promise itself where there is no signal', async () => {
    assert.equal(unlessAborted(never, undefined), never)
    assert.equal(await unlessAborted(Promise.resolve(1), undefined), 1)
  })

  it('ends as the promise does, and listens no longer', async () => {
    const {signal} = new AbortController()
    assert.equal(await unlessAborted(Promise.resolve(1), signal), 1)
    await assert.rejects(unlessAborted(Promise.reject(why), signal), why)
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })

  it('ends with the signal’s reason as soon as it is aborted', async () => {
    const abort = new AbortController()
    const promise = unlessAborted(never, abort.signal)
    assert.equal(getEventListeners(abort.signal, 'abort').length, 1)
    abort.abort(why)
    await assert.rejects(promise, why)
    assert.equal(getEventListeners(abort.signal, 'abort').length, 0)
  })

  it('ends at once when the signal was aborted before', async () => {
    await assert.rejects(unlessAborted(never, AbortSignal.abort(why)), why)
  })

  it('may be one of many, without a warning of a leak', async () => {
    const warnings: Error[] = []
    const hear = (warning: Error) => warnings.push(warning)
    process.on('warning', hear)
    try {
      const {signal} = new AbortController()
      allowListeners(signal)
      const many = Array.from({length: 20}, () => unlessAborted(Promise.resolve(1), signal))
      assert.equal(getEventListeners(signal, 'abort').length, 20)
      await Promise.all(many)
      await settled()
      assert.deepEqual(warnings, [])
      allowListeners(undefined)
    } finally {
      process.off('warning', hear)
    }
  })
})
