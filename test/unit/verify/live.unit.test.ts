import assert from 'node:assert/strict'
import fc from 'fast-check'
import {type PartitionProgress, verdictOf} from '../../../src/lib/migration/verify/index.js'
import {keyText} from '../../../src/lib/migration/verify/key-text.js'
import {seededRandom} from '../../sandbox/random.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {LivePair} from './support/live-pair.js'
import {row} from './support/memory-rows.js'
import {addsUp, listed, verifyOn} from './support/run.js'

const keyOf = (hashKey: string) => row(hashKey, '', '').key

describe('comparison of a live table with a lagging copy', () => {
  it('finds exactly what is stale for good, whatever is written meanwhile', async () => {
    const scenario = fc.record({
      batchRows: fc.integer({max: 20, min: 1}),
      lagMs: fc.constantFrom(20, 400, 3000, 12_000),
      lastRests: fc.boolean(),
      partitionCount: fc.integer({max: 3, min: 1}),
      replyMs: fc.constantFrom(1, 40),
      seed: fc.nat(),
      snapshotBatches: fc.constantFrom(1, 3, 1000),
      staleKeys: fc.integer({max: 5, min: 0}),
      writeEveryMs: fc.constantFrom(10, 70, 900),
    })
    await fc.assert(
      fc.asyncProperty(scenario, async ({partitionCount, seed, staleKeys, writeEveryMs, ...shape}) => {
        const clock = new VirtualClock()
        const pair = new LivePair({...shape, clock, partitionCount})
        const random = seededRandom(seed)
        const below = (count: number) => Math.floor(random() * count)
        for (let n = 0; n < 120; n++) pair.settle(n % partitionCount, row(`quiet ${n}`, '', `${n}`))

        // Counters, keys that come and go with one and the same value, and new keys that are removed again later.
        let writes = 0
        const write = () => {
          const partition = below(partitionCount)
          const name = `${['counter', 'toggle', 'young'][below(3)]} ${below(12)}`
          const value = name.startsWith('toggle') ? 'on' : `${writes++}`
          pair.write(partition, keyOf(name), random() < 0.4 ? undefined : row(name, '', value))
        }

        pair.repeat(writeEveryMs, write)
        const expected: string[] = []
        await clock.advance(2000)
        for (let n = 0; n < staleKeys; n++) {
          const [partition, name] = [below(partitionCount), `stale ${n}`]
          const kind = (['value', 'missing-on-target', 'missing-on-source'] as const)[below(3)]!
          if (kind !== 'missing-on-target') pair.settle(partition, row(name, '', 'old'))
          const changed = kind === 'missing-on-source' ? undefined : row(name, '', 'new')
          pair.write(partition, keyOf(name), changed, true)
          expected.push(`${partition} ${keyText(keyOf(name))} ${kind}`)
        }

        await clock.advance(below(3000))
        const report = await verifyOn(clock, {
          partitionCount,
          progress: pair.progress,
          random,
          rereadLimitMs: 45_000,
          source: pair.source,
          target: pair.target,
        })
        assert.deepEqual(listed(report), expected.sort())
        assert.ok(addsUp(report))
        assert.equal(pair.source.openScans + pair.target.openScans, 0)
        // What stays open is hot: nothing that stood still was left without a verdict.
        assert.equal(report.unresolved, report.hot)
        for (const {key} of report.unresolvedRows) assert.match(key, /^"(counter|toggle|young)/)
      }),
      {numRuns: 150},
    )
  }).timeout(120_000)

  it('waits for the newest mutation of an idle partition, which rests until the next empty write', async () => {
    const clock = new VirtualClock()
    const pair = new LivePair({clock, lagMs: 100, lastRests: true, partitionCount: 1})
    pair.settle(0, row('k', '', 'old'))
    await clock.advance(500)
    pair.write(0, keyOf('k'), row('k', '', 'new'))
    await clock.advance(3000)
    assert.equal(pair.target.peek(0, keyOf('k'))?.value.toString(), 'old')
    const report = await verifyOn(clock, {...pair, partitionCount: 1})
    assert.deepEqual([report.equal, report.different, report.unresolved], [1, 0, 0])
    assert.ok(clock.nowMs() > 10_000)
  })

  it('does not call a row wrong while the duplication stands still', async () => {
    const clock = new VirtualClock()
    const pair = new LivePair({clock, lagMs: 100, lastRests: false, partitionCount: 1})
    pair.stalled = true
    pair.write(0, keyOf('k'), row('k', '', 'new'))
    const report = await verifyOn(clock, {...pair, partitionCount: 1})
    assert.deepEqual([report.different, report.missingOnTarget, report.unresolved, report.hot], [0, 0, 1, 0])
    assert.deepEqual(report.unresolvedRows, [{key: '"k" ""', partition: 0, reason: 'unproved'}])
    assert.equal(report.confirmed, false)
    assert.equal(verdictOf(report), 'unproved')
  })

  it('does not call a row wrong while nobody can tell how far the duplication is', async () => {
    const clock = new VirtualClock()
    const pair = new LivePair({clock, lagMs: 100, lastRests: false, partitionCount: 1})
    pair.write(0, keyOf('k'), row('k', '', 'new'), true)
    const report = await verifyOn(clock, {...pair, partitionCount: 1, progress: async () => [undefined]})
    assert.equal(verdictOf(report), 'unproved')
    assert.equal(verdictOf(await verifyOn(clock, {...pair, partitionCount: 1})), 'different')
  })

  it('bears a key that is removed and put again all the time, seen by turns on the two sides', async () => {
    for (let seed = 0; seed < 100; seed++) {
      const clock = new VirtualClock()
      // The copy is always exactly one write behind: whenever the source has the row, the target has not.
      const pair = new LivePair({clock, lagMs: 0, lastRests: true, partitionCount: 1})
      const random = seededRandom(seed)
      let on = false
      const toggle = () => {
        on = !on
        pair.write(0, keyOf('lock'), on ? row('lock', '', 'held') : undefined)
        clock.setTimer(300 + 500 * random(), toggle)
      }

      toggle()
      await clock.advance(5000)
      const report = await verifyOn(clock, {...pair, partitionCount: 1, random})
      assert.deepEqual(listed(report), [], `seed ${seed}`)
    }
  }).timeout(60_000)

  it('bears a new primary that ships older values again', async () => {
    const clock = new VirtualClock()
    const pair = new LivePair({clock, lagMs: 20, lastRests: false, partitionCount: 1})
    pair.settle(0, row('k', '', 'old'))
    pair.write(0, keyOf('k'), row('k', '', 'new'))
    await clock.advance(1000)
    let behindUntilMs = -1
    const progress = async (): Promise<PartitionProgress[]> => {
      const [now] = await pair.progress()
      return [clock.nowMs() < behindUntilMs ? {...now!, shippedDecree: 0} : now!]
    }

    // The target goes back to the old value in the round after the first one, and comes forward 20 s later.
    pair.target.put(0, row('k', '', 'old'))
    clock.setTimer(1000, () => {
      behindUntilMs = clock.nowMs() + 20_000
      clock.setTimer(20_000, () => pair.target.put(0, row('k', '', 'new')))
    })
    const report = await verifyOn(clock, {...pair, partitionCount: 1, progress})
    assert.deepEqual([report.equal, report.different], [1, 0])
  })

  it('counts a key that never rests as hot, and goes on', async () => {
    const clock = new VirtualClock()
    const pair = new LivePair({clock, lagMs: 5000, lastRests: false, partitionCount: 1})
    let version = 0
    pair.repeat(200, () => pair.write(0, keyOf('counter'), row('counter', '', `${version++}`)))
    await clock.advance(8000)
    const report = await verifyOn(clock, {...pair, partitionCount: 1})
    assert.deepEqual([report.unresolved, report.hot, report.confirmed], [1, 1, true])
    assert.equal(verdictOf(report), 'same')
  })

  it('finds a key wrong that was hot at first and then came to rest', async () => {
    const clock = new VirtualClock()
    const pair = new LivePair({clock, lagMs: 5000, lastRests: false, partitionCount: 1})
    let version = 0
    pair.repeat(200, () => {
      if (clock.nowMs() < 60_000) pair.write(0, keyOf('k'), row('k', '', `${version++}`), clock.nowMs() > 59_000)
    })
    await clock.advance(8000)
    const report = await verifyOn(clock, {...pair, partitionCount: 1})
    assert.deepEqual(listed(report), ['0 "k" "" value'])
  })

  it('compares keys that are known to have been overwritten lately', async () => {
    const clock = new VirtualClock()
    const pair = new LivePair({clock, lagMs: 20, lastRests: false, partitionCount: 2})
    for (let n = 0; n < 500; n++) pair.settle(1, row(`row ${n}`, '', ''))
    pair.write(1, keyOf('zz'), row('zz', '', 'new'), true)
    const recentKeys = [
      {key: keyOf('zz'), partition: 1},
      {key: keyOf('row 499'), partition: 1},
    ]
    const report = await verifyOn(clock, {...pair, mode: 'sample', partitionCount: 2, recentKeys, sampleRows: 4})
    assert.deepEqual(listed(report), ['1 "zz" "" missing-on-target'])
    assert.equal(report.rowsCompared, 3)
  })
})
