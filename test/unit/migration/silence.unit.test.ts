import assert from 'node:assert/strict'

import {sleep} from '../../../src/lib/clock.js'
import type {ReadProbe, WriteProbe} from '../../../src/lib/pegasus/probe.js'
import {Silence, SilenceRounds} from '../../../src/lib/migration/proof/silence.js'
import {VirtualClock} from '../../sandbox/index.js'

const primary = {ballot: 3, partitionIndex: 0, server: '127.0.0.1:34801'}
const WRITE_TIMEOUT_MS = 3000

/** A primary that answers writes until it is denied, and reads while it lives. */
class Primary {
  answersReads = true
  answersWrites = true
  writeTakesMs = 1

  constructor(private readonly clock: VirtualClock) {}

  async read(): Promise<ReadProbe> {
    await sleep(this.clock, this.answersReads ? 1 : WRITE_TIMEOUT_MS)
    return this.answersReads ? {detail: 'error 1', verdict: 'ok'} : {detail: 'timeout', verdict: 'silent'}
  }

  async write(): Promise<WriteProbe> {
    const answers = this.answersWrites
    await sleep(this.clock, answers ? this.writeTakesMs : WRITE_TIMEOUT_MS)
    return answers ? {detail: 'ERR_OPERATION_DISABLED', verdict: 'not-denied'} : {detail: 'timeout', verdict: 'silent'}
  }
}

describe('silence as an answer to writes', () => {
  let clock: VirtualClock
  let server: Primary
  let silence: Silence

  beforeEach(() => {
    clock = new VirtualClock()
    server = new Primary(clock)
    silence = new Silence(primary, clock, server)
  })

  async function probe(ms: number, everyMs = 250): Promise<void> {
    for (let passed = 0; passed < ms; passed += everyMs) {
      silence.send()
      await clock.advance(everyMs)
    }
  }

  it('counts once it has lasted, from the first write that was left unanswered', async () => {
    await probe(1000)
    assert.equal(silence.silentSinceMs, undefined)
    server.answersWrites = false
    const fromMs = clock.nowMs()
    await probe(2750)
    assert.equal(silence.holds(), false)
    await probe(500)
    assert.equal(silence.holds(), true)
    assert.equal(silence.silentSinceMs, fromMs)
  })

  it('is none while a single write is answered, however late', async () => {
    server.writeTakesMs = 2500
    await probe(2000)
    server.answersWrites = false
    await probe(2250)
    assert.equal(silence.silentSinceMs, 2000, 'the last write that is answered was sent before')
    assert.equal(silence.holds(), false)
    await probe(1000)
    assert.equal(silence.holds(), true)
  })

  it('is that of a server in trouble when reads are not served either', async () => {
    Object.assign(server, {answersReads: false, answersWrites: false})
    await probe(6000)
    assert.equal(silence.holds(), false)
    assert.match(silence.answer, /leaves writes unanswered, and reads/)
  })

  it('does not count after a pause of this process, whatever the clock says', async () => {
    server.answersWrites = false
    await probe(1000)
    await clock.advance(60_000)
    assert.equal(silence.holds(), false)
    await probe(1000)
    assert.equal(silence.holds(), true)
  })

  it('that was proved before is broken by one answer, and has to last again', async () => {
    server.answersWrites = false
    await probe(4000)
    const rounds = new SilenceRounds(clock)
    rounds.watch([silence])
    await clock.advance(5000)
    assert.equal(rounds.broken.length, 0)
    server.answersWrites = true
    await clock.advance(1500)
    assert.equal(rounds.broken.length, 1)
    server.answersWrites = false
    await clock.advance(3000)
    assert.equal(rounds.broken.length, 1)
    await clock.advance(2000)
    assert.equal(rounds.broken.length, 0)
    rounds.stop()
  })
})
