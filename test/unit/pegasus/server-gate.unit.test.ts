import assert from 'node:assert/strict'

import {sleep} from '../../../src/lib/clock.js'
import {isMigratorError} from '../../../src/lib/errors.js'
import {type Manner, ServerGate} from '../../../src/lib/pegasus/server-gate.js'
import {VirtualClock} from '../../sandbox/index.js'

const [HERE, THERE] = ['10.0.0.1:34801', '10.0.0.2:34801']
const TAKES_MS = 200

describe('the gate of questions to servers', () => {
  let clock: VirtualClock
  let gate: ServerGate
  /** When each question began, by server. */
  let begun: Record<string, number[]>
  let atOnce: number
  let mostAtOnce: number

  function open(manner: Manner, calmMs?: number): void {
    clock = new VirtualClock()
    gate = new ServerGate(clock, calmMs)
    gate.manner = manner
    begun = {[HERE]: [], [THERE]: []}
    atOnce = 0
    mostAtOnce = 0
  }

  const ask = (address: string, signal?: AbortSignal) =>
    gate.pass(address, signal, async () => {
      begun[address]!.push(clock.nowMs() - startMs)
      if (address === HERE) mostAtOnce = Math.max(mostAtOnce, ++atOnce)
      await sleep(clock, TAKES_MS)
      if (address === HERE) atOnce--
      return address
    })
  let startMs: number
  beforeEach(() => {
    startMs = new VirtualClock().nowMs()
  })

  it('holds nobody back where nothing is asked of it', async () => {
    open('freely')
    await clock.run(Promise.all([ask(HERE), ask(HERE), ask(HERE)]))
    assert.deepEqual(begun[HERE], [0, 0, 0])
    assert.equal(mostAtOnce, 3)
  })

  it('lets one question at a time through, and no server waits for another', async () => {
    open('singly')
    await clock.run(Promise.all([ask(HERE), ask(HERE), ask(THERE), ask(HERE)]))
    assert.deepEqual(begun[HERE], [0, TAKES_MS, 2 * TAKES_MS])
    assert.deepEqual(begun[THERE], [0])
    assert.equal(mostAtOnce, 1)
  })

  it('rests for as long as it is told, where all timers are shorter', async () => {
    open('calmly', 250)
    await clock.run(Promise.all([ask(HERE), ask(HERE), ask(HERE)]))
    assert.deepEqual(begun[HERE], [0, 250, 500])
  })

  it('lets one a second through where nobody waits, and a slow answer costs no more than it takes', async () => {
    open('calmly')
    const slow = gate.pass(HERE, undefined, () => sleep(clock, 2500))
    await clock.run(Promise.all([slow, ask(HERE), ask(HERE), ask(THERE), ask(HERE)]))
    assert.deepEqual(begun[HERE], [2500, 3500, 4500])
    assert.deepEqual(begun[THERE], [0])
  })

  it('counts the last second of whoever asked before, whatever the manner was then', async () => {
    open('singly')
    await clock.run(ask(HERE))
    gate.manner = 'calmly'
    await clock.run(ask(HERE))
    gate.manner = 'singly'
    await clock.run(ask(HERE))
    assert.deepEqual(begun[HERE], [0, 1000, 1000 + TAKES_MS])
  })

  it('gives up whoever waits and is aborted, at once, and the others go on in their order', async () => {
    open('calmly')
    const leaving = new AbortController()
    const first = ask(HERE)
    const second = ask(HERE, leaving.signal).catch((error: unknown) => ({atMs: clock.nowMs() - startMs, error}))
    const third = ask(HERE)
    clock.setTimer(300, () => leaving.abort(new Error('enough')))
    await clock.run(Promise.all([first, third]))
    const left = (await second) as {atMs: number; error: unknown}
    assert.equal(left.atMs, 300)
    assert.ok(isMigratorError(left.error, 'rpc.aborted'))
    assert.match((left.error as Error).message, /enough/)
    assert.deepEqual(begun[HERE], [0, 1000])
  })

  it('asks nothing for whoever was aborted before it came', async () => {
    open('singly')
    await assert.rejects(ask(HERE, AbortSignal.abort(new Error('too late'))), (error) =>
      isMigratorError(error, 'rpc.aborted'),
    )
    assert.deepEqual(begun[HERE], [])
  })

  it('goes on after a question that failed', async () => {
    open('singly')
    const failing = gate.pass(HERE, undefined, async () => {
      throw new Error('no answer')
    })
    await assert.rejects(failing, /no answer/)
    assert.equal(await clock.run(ask(HERE)), HERE)
  })
})
