import assert from 'node:assert/strict'
import {setMaxListeners} from 'node:events'
import {sleep} from '../../../src/lib/clock.js'
import {MigratorError} from '../../../src/lib/errors.js'
import {judgeWith} from '../../../src/lib/migration/verify/judge.js'
import {SuspectPool, type SuspectOptions} from '../../../src/lib/migration/verify/suspects.js'
import {Tally} from '../../../src/lib/migration/verify/tally.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryRows, nowSeconds, row} from './support/memory-rows.js'

const MOST = 10_000
const keyOf = (name: string) => row(name, '', '').key
const all = (decree: number) => async () => [{committedDecree: decree, shippedDecree: decree}]
const behind = async () => [{committedDecree: 9, shippedDecree: 8}]

/** Rounds are a second apart. */
function bed(more: Partial<SuspectOptions> = {}) {
  const clock = new VirtualClock()
  const [source, target] = [new MemoryRows({clock}), new MemoryRows({clock})]
  const tally = new Tally()
  const {signal} = new AbortController()
  setMaxListeners(0, signal)
  const pool = new SuspectPool({
    clock,
    judge: judgeWith(clock, 0),
    onRound() {},
    parallel: 16,
    progress: all(9),
    random: () => 0,
    rereadLimitMs: 30_000,
    signal,
    source,
    tally,
    target,
    ...more,
  })
  const suspect = (name: string) => pool.add(0, keyOf(name))
  return {clock, pool, source, suspect, tally, target}
}

describe('SuspectPool', () => {
  for (const [random, tookMs] of [
    [0, 2000],
    [1, 3000],
  ] as const) {
    it(`takes ${tookMs} ms for a difference in a quiet partition when chance says ${random}`, async () => {
      const {clock, pool, source, suspect, tally} = bed({random: () => random})
      source.put(0, row('k', '', 'v'))
      void suspect('k')
      pool.close()
      await clock.run(pool.run())
      assert.deepEqual([tally.differenceCount, clock.nowMs()], [1, tookMs])
      assert.equal(tally.report('full').differences[0]?.source?.bytes, 1)
    })
  }

  it('counts what expires by now as such', async () => {
    const {clock, pool, source, suspect, tally} = bed()
    source.put(0, row('k', '', 'v', nowSeconds(clock) + 30))
    void suspect('k')
    pool.close()
    await clock.run(pool.run())
    assert.deepEqual([tally.report('full').expiring, tally.differenceCount], [1, 0])
  })

  it('waits at its time limit for the scans, and reads what was set aside once more for as long', async () => {
    const {clock, pool, source, suspect, tally} = bed({progress: behind})
    source.put(0, row('k', '', 'v'))
    void suspect('k')
    const running = pool.run()
    await clock.advance(600_000)
    assert.equal(pool.size, 1)
    assert.equal(source.gets, 31)
    pool.close()
    await clock.run(running)
    assert.equal(clock.nowMs(), 630_000)
    assert.equal(pool.size, 0)
    assert.deepEqual(tally.report('full').unresolvedRows, [{key: '"k" ""', partition: 0, reason: 'unproved'}])
  })

  it('has the whole time limit again when it reads once more', async () => {
    const {clock, pool, source, suspect} = bed({progress: behind})
    source.put(0, row('k', '', 'v'))
    void suspect('k')
    pool.close()
    await clock.run(pool.run())
    assert.equal(clock.nowMs(), 60_000)
  })

  it('calls a row hot that changes all the time, also when it is read once more', async () => {
    const {clock, pool, source, suspect, tally} = bed({
      async progress() {
        source.put(0, row('k', '', String(clock.nowMs())))
        return all(9)()
      },
    })
    void suspect('k')
    pool.close()
    await clock.run(pool.run())
    assert.equal(clock.nowMs(), 60_000)
    assert.deepEqual(tally.report('full').unresolvedRows, [{key: '"k" ""', partition: 0, reason: 'hot'}])
  })

  it('gives a verdict at the time limit to a row that has begun to settle', async () => {
    const {clock, pool, source, suspect, tally} = bed({
      progress: () => (clock.nowMs() < 30_000 ? behind() : all(9)()),
    })
    source.put(0, row('k', '', 'v'))
    void suspect('k')
    pool.close()
    await clock.run(pool.run())
    assert.deepEqual([tally.differenceCount, clock.nowMs()], [1, 31_000])
  })

  it('makes whoever brings too many wait, until one of them has its verdict', async () => {
    const {clock, pool, source, suspect, target} = bed({progress: behind})
    for (let n = 0; n < MOST; n++) source.put(0, row(`${n}`, '', 'v'))
    for (let n = 1; n < MOST; n++) assert.equal(suspect(`${n}`), undefined)
    let waits = true
    const room = (suspect('0') as Promise<void>).then(() => {
      waits = false
    })
    await clock.advance(0)
    assert.equal(waits, true)
    const running = pool.run()
    await clock.advance(0)
    assert.equal(waits, true)
    target.put(0, row('7', '', 'v'))
    await clock.advance(1000)
    assert.equal(waits, false)
    pool.abandon()
    await clock.run(Promise.all([room, running]))
  })

  it('lets go whoever waits for room when it is closed', async () => {
    const {clock, pool, suspect} = bed()
    for (let n = 1; n < MOST; n++) void suspect(`${n}`)
    const room = suspect('0')
    assert.ok(room)
    pool.close()
    await clock.run(room)
  })

  it('keeps a bounded number for the end, and leaves all open when it is abandoned', async () => {
    const {clock, pool, source, suspect, tally} = bed({
      async progress() {
        // The first round lasts as long as a suspect may wait.
        await sleep(clock, 30_000)
        return behind()
      },
    })
    for (let n = 0; n <= MOST; n++) {
      source.put(0, row(`${n}`, '', 'v'))
      void suspect(`${n}`)
    }

    const running = pool.run()
    await clock.advance(30_000)
    assert.equal(tally.report('full').unresolved, 1)
    assert.equal(pool.size, MOST)
    void suspect('one more')
    pool.abandon()
    await clock.run(running)
    assert.equal(tally.report('full').unresolved, MOST + 2)
    assert.equal(tally.report('full').hot, 0)
    assert.equal(tally.report('full').unresolvedRows.at(-1)?.reason, 'unproved')
    assert.equal(pool.size, 0)
  })

  it('ends after the round under way when it is abandoned', async () => {
    const {clock, pool, source, suspect, tally} = bed({progress: behind})
    source.put(0, row('k', '', 'v'))
    void suspect('k')
    const running = pool.run()
    await clock.advance(2500)
    pool.abandon()
    await clock.run(running)
    assert.equal(clock.nowMs(), 3000)
    assert.equal(tally.report('full').unresolved, 1)
  })

  it('bears it for 90 s without a break that nobody tells the progress', async () => {
    const failure = new MigratorError('observe.no_primary', 'a server died')
    const {clock, pool, suspect, source} = bed({
      async progress() {
        if (clock.nowMs() === 45_000) return behind()
        throw failure
      },
      rereadLimitMs: 500_000,
    })
    await clock.advance(5000)
    source.put(0, row('k', '', 'v'))
    void suspect('k')
    await assert.rejects(clock.run(pool.run()), failure)
    assert.equal(clock.nowMs(), 46_000 + 90_000)
  })

  it('has no end for ever where nobody tells how far a partition is', async () => {
    const {clock, pool, source, suspect, tally} = bed({progress: async () => told()})
    let decree = 0
    const told = () => {
      decree += 10
      return [clock.nowMs() < 5000 ? {committedDecree: decree, shippedDecree: decree} : undefined]
    }

    source.put(0, row('k', '', 'v'))
    void suspect('k')
    pool.close()
    await clock.run(pool.run(), 600_000)
    const {different, unresolved} = tally.report('full')
    assert.deepEqual([different, unresolved], [0, 1])
  })

  it('believes no window from before a row was set aside', async () => {
    let decrees = {committedDecree: 100, shippedDecree: 40}
    const {clock, pool, source, suspect, tally, target} = bed({progress: async () => [decrees]})
    source.put(0, row('lock', '', 'held'))
    void suspect('lock')
    const running = pool.run()
    await clock.advance(40_000)
    // Left, and taken again at decree 995, of which the target has the leaving.
    decrees = {committedDecree: 1000, shippedDecree: 990}
    clock.setTimer(40_000, () => {
      target.put(0, row('lock', '', 'held'))
      decrees = {committedDecree: 1000, shippedDecree: 1000}
    })
    pool.close()
    await clock.run(running)
    assert.equal(tally.differenceCount, 0)
  })
})
