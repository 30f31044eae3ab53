import assert from 'node:assert/strict'

import {type PairProbes, Silence, SilenceRounds} from '../../../src/lib/migration/proof/silence.js'
import type {ReadProbe, WriteProbe} from '../../../src/lib/pegasus/probe.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'

/* Pair by pair: every probe is answered by hand. */

const primary = {ballot: 3, partitionIndex: 0, server: 's:1'}

interface Open<T> {
  reject(error: Error): void
  resolve(probe: T): void
}

class Hands implements PairProbes {
  readonly reads: Open<ReadProbe>[] = []
  readonly writes: Open<WriteProbe>[] = []

  read(): Promise<ReadProbe> {
    return new Promise((resolve, reject) => {
      this.reads.push({reject, resolve})
    })
  }

  write(): Promise<WriteProbe> {
    return new Promise((resolve, reject) => {
      this.writes.push({reject, resolve})
    })
  }
}

const served: ReadProbe = {detail: '', verdict: 'ok'}
const unserved: ReadProbe = {detail: '', verdict: 'silent'}
const accepted: WriteProbe = {detail: 'd', verdict: 'not-denied'}

describe('silence, pair by pair', () => {
  let clock: VirtualClock
  let hands: Hands
  let silence: Silence

  beforeEach(() => {
    clock = new VirtualClock()
    hands = new Hands()
    silence = new Silence(primary, clock, hands)
  })

  /** Sends a pair at each of these moments. */
  async function sendAt(...moments: number[]): Promise<void> {
    for (const ms of moments) {
      await clock.advance(ms - clock.nowMs())
      silence.send()
    }
  }

  const advanceTo = (ms: number) => clock.advance(ms - clock.nowMs())
  const settle = () => clock.advance(0)

  it('is none before anything was sent', async () => {
    await clock.advance(500)
    assert.deepEqual([silence.answer, silence.silentMs, silence.silentSinceMs], ['no answer yet', 0, undefined])
    await sendAt(700)
    await advanceTo(1000)
    assert.deepEqual([silence.silentMs, silence.silentSinceMs], [300, 700])
  })

  it('holds from the very millisecond on at which it has lasted and a late pair was served', async () => {
    silence = new Silence(primary, clock, hands, 0)
    await sendAt(2600)
    hands.reads[0]!.resolve(served)
    await advanceTo(2999)
    assert.equal(silence.holds(), false)
    assert.equal(silence.silentMs, 2999)
    await advanceTo(3000)
    assert.equal(silence.holds(), true)
  })

  it('counts a pair once it has been under way for 400 ms, the first one too, and for 1.8 s', async () => {
    await sendAt(100)
    hands.reads[0]!.resolve(served)
    await advanceTo(499)
    assert.equal(silence.holds(300), false)
    assert.equal(silence.answer, 'leaves writes unanswered, and reads: ok')
    await advanceTo(500)
    assert.equal(silence.holds(300), true)
    await advanceTo(1900)
    assert.equal(silence.holds(300), true)
    await advanceTo(1901)
    assert.equal(silence.holds(300), false)
    assert.equal(silence.answer, 'leaves writes unanswered, and reads: none was sent')
  })

  it('says how reads went that do not count', async () => {
    await sendAt(0, 10, 20, 30)
    hands.reads[0]!.resolve(unserved)
    hands.reads[1]!.reject(new Error('boom'))
    hands.reads[2]!.resolve(unserved)
    await advanceTo(1000)
    assert.equal(silence.holds(500), false)
    assert.equal(silence.answer, 'leaves writes unanswered, and reads: silent, boom, no answer')
  })

  it('begins anew with the next pair after a write that was answered', async () => {
    await sendAt(0, 500)
    hands.reads[0]!.resolve(served)
    hands.reads[1]!.resolve(unserved)
    hands.writes[0]!.resolve(accepted)
    await settle()
    assert.deepEqual([silence.answer, silence.silentSinceMs], ['answered writes: not-denied (d)', 500])
    await advanceTo(1000)
    // The read that was served belongs to the write that was answered.
    assert.equal(silence.holds(500), false)
  })

  it('takes an answer that is an error for an answer, and silence itself for none', async () => {
    await sendAt(0)
    hands.writes[0]!.resolve({detail: '', verdict: 'silent'})
    await settle()
    assert.equal(silence.silentSinceMs, 0)
    await sendAt(100, 200)
    hands.writes[1]!.reject(new Error('reset'))
    await settle()
    assert.deepEqual([silence.answer, silence.silentSinceMs], ['reset', 200])
  })

  it('is over where no later pair is under way; an older answer does not bring it back', async () => {
    await sendAt(0, 1000)
    hands.writes[1]!.resolve(accepted)
    await settle()
    assert.deepEqual([silence.silentSinceMs, silence.silentMs], [undefined, 0])
    hands.writes[0]!.resolve(accepted)
    await settle()
    assert.equal(silence.silentSinceMs, undefined)
    await sendAt(2000)
    assert.equal(silence.silentSinceMs, 2000)
  })

  it('is not lengthened by an answer to an older write', async () => {
    await sendAt(0, 1000, 2000)
    hands.writes[1]!.resolve(accepted)
    await settle()
    assert.equal(silence.silentSinceMs, 2000)
    hands.writes[0]!.resolve(accepted)
    await settle()
    assert.equal(silence.silentSinceMs, 2000)
  })

  it('remembers pairs for 6 s', async () => {
    await sendAt(0, 1000, 7000)
    hands.writes[0]!.resolve(accepted)
    await settle()
    assert.equal(silence.silentSinceMs, 1000)
    silence = new Silence(primary, clock, hands)
    await sendAt(10_000, 11_000, 17_001)
    hands.writes[3]!.resolve(accepted)
    await settle()
    assert.equal(silence.silentSinceMs, 17_001)
  })
})

describe('rounds of silence', () => {
  it('send a pair a second to each that is watched, until it is dropped or all is stopped', async () => {
    const clock = new VirtualClock()
    const [a, b] = [new Hands(), new Hands()]
    const [first, second] = [new Silence(primary, clock, a), new Silence({...primary, partitionIndex: 1}, clock, b, 0)]
    const rounds = new SilenceRounds(clock)
    rounds.watch([first])
    await clock.advance(500)
    rounds.watch([second])
    await clock.advance(2500)
    assert.deepEqual([a.writes.length, b.writes.length], [4, 3])
    assert.deepEqual(rounds.broken, [first, second])
    for (const {resolve} of b.reads) resolve(served)
    await clock.advance(0)
    assert.deepEqual(rounds.broken, [first])
    rounds.drop(first)
    assert.deepEqual(rounds.broken, [])
    await clock.advance(1000)
    assert.deepEqual([a.writes.length, b.writes.length], [4, 4])
    rounds.stop()
    await clock.advance(5000)
    assert.deepEqual([a.writes.length, b.writes.length], [4, 4])
  })
})
