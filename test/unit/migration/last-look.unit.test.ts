import assert from 'node:assert/strict'

import {freshState, type MigrationContext} from '../../../src/lib/migration/context.js'
import type {MigrationEvent, MigrationRequest} from '../../../src/lib/migration/index.js'
import {whileLooking} from '../../../src/lib/migration/phases/last-look.js'
import type {RollbackEvent} from '../../../src/lib/migration/rollback/index.js'
import {VirtualClock} from '../../sandbox/index.js'
import {ScanContexts} from '../../sandbox/replica/scanner.js'
import {assertServes} from '../../simulation/judge.js'
import {Simulation, type SimulationOptions, TABLE} from '../../simulation/simulation.js'

/** Everything accepted is on the target; that is proved once more before the pause is sent and the look begins. */
const isDrained = (event: MigrationEvent | RollbackEvent) =>
  event.type === 'progress' &&
  'phase' in event &&
  event.phase === 'drain' &&
  event.progress.partitionCount !== undefined &&
  event.progress.partitionsDone === event.progress.partitionCount

describe('the last look, within the write-deny window', function () {
  this.timeout(60_000)
  let simulation: Simulation
  let restore: (() => void) | undefined

  afterEach(async () => {
    restore?.()
    restore = undefined
    await simulation?.stop()
  })

  /** A migration; `plant` is called when everything is drained, and nothing is switched yet. */
  async function run(options: SimulationOptions, plant = () => {}, request: Partial<MigrationRequest> = {}) {
    simulation = await Simulation.open(options)
    let planted = false
    const driver = simulation.migrate(
      {
        onEvent(event) {
          if (event.type === 'phase-started' && event.phase === 'drain') planted = false
          if (planted || !isDrained(event)) return
          planted = true
          plant()
        },
      },
      request,
    )
    const result = await simulation.run(driver.result)
    return {driver, result}
  }

  const copy = (partition = 0) => simulation.target.table(TABLE).partitions[partition]!.rows

  for (const profile of ['2.5', 'master'] as const) {
    it(`counts all partitions and reads what was written last (${profile})`, async () => {
      const {result} = await run({load: {writesPerSecond: 50}, profile})
      assert.equal(result.outcome, 'migrated')
      assert.ok(result.lastLook)
      const {counted, countsDiffer, keysRead, leftOut, partitions, tookMs} = result.lastLook
      assert.deepEqual(
        {counted, countsDiffer, leftOut, partitions},
        {counted: 2, countsDiffer: 0, leftOut: undefined, partitions: 2},
      )
      if (profile === '2.5') assert.ok(keysRead > 0, 'rows that lagged when they were compared are read again')
      assert.ok(tookMs <= 500, `${tookMs} ms`)
      await assertServes(simulation, 'target')
    })
  }

  it('stops before the switch when a row is missing on the target, and takes the deny back', async () => {
    const {driver, result} = await run({}, () => {
      const rows = copy(1)
      rows.remove(rows.snapshot().find(({key}) => key.includes('old'))!.key)
    })
    assert.equal(result.outcome, 'stopped')
    assert.equal(result.error?.code, 'verify.different')
    assert.match(result.error.message, /"old\d+" "" of partition 1 \(missing-on-target\)/)
    assert.match(result.next!, /Writes are allowed again on the source/)
    assert.ok(!driver.events.some((event) => event.type === 'effect' && event.effect.kind === 'switch-node'))
    await assertServes(simulation, 'source')
  })

  it('finds an old value of a key that lagged when it was compared', async () => {
    const {result} = await run({load: {writesPerSecond: 50}}, () => {
      for (const partition of [0, 1]) {
        for (const {key} of copy(partition).snapshot()) {
          if (!key.includes('old')) copy(partition).put(key, Buffer.from('older'), 0)
        }
      }
    })
    assert.equal(result.error?.code, 'verify.different')
    assert.match(result.error.message, /\(value\)/)
    await assertServes(simulation, 'source')
  })

  it('is not alarmed by rows that expire on one side first', async () => {
    const {result} = await run({}, () => {
      const expireTs = Math.floor(simulation.clock.wallMs() / 1000) - 1_451_606_400 + 20
      simulation.source.table(TABLE).partitions[0]!.rows.put(Buffer.from('\0\u0001x'), Buffer.from('v'), expireTs)
    })
    assert.equal(result.outcome, 'migrated')
    assert.equal(result.lastLook?.countsDiffer, 1)
  })

  it('has rows compared in full, writes allowed, when counts differ and no row tells why; then goes on', async () => {
    const {open} = ScanContexts.prototype
    let looks = 0
    // Only the target's counts are wrong: each side is asked once a partition.
    const {driver, result} = await run({load: false}, () => {
      looks++
      const targets = new Set(simulation.target.table(TABLE).partitions.map(({rows}) => rows))
      ScanContexts.prototype.open = function (store, request, counts) {
        const reply = open.call(this, store, request, counts)
        const isWrong = reply.kvCount !== undefined && [...targets].includes(store)
        return isWrong ? {...reply, kvCount: reply.kvCount! + 3} : reply
      }

      restore = () => {
        ScanContexts.prototype.open = open
      }
    })
    assert.equal(result.outcome, 'migrated')
    assert.equal(looks, 2)
    assert.equal(result.earlierWindows.length, 1)
    assert.ok(result.earlierWindows[0]!.liftedAtMs! > 0)
    const verified = driver.events.filter((event) => event.type === 'phase-finished' && event.phase === 'verify')
    assert.equal(verified.length, 2)
    assert.ok(
      result.warnings.some((warning) => /rows were compared since and are the same/.test(warning)),
      result.warnings.join('\n'),
    )
    await assertServes(simulation, 'target')
  })

  it('is left out with --verify none', async () => {
    const {result} = await run({}, () => copy().remove(copy().snapshot()[0]!.key), {verify: 'none'})
    assert.equal(result.outcome, 'migrated')
    assert.equal(result.lastLook, undefined)
  })

  it('ends in time when the target answers no reads, and says what it left out', async () => {
    const {result} = await run({}, () => simulation.target.ignoreCalls('RPC_RRDB_RRDB_GET_SCANNER', {count: 1000}))
    assert.equal(result.outcome, 'migrated', result.error?.message)
    assert.match(result.lastLook!.leftOut!, /^time was over: 0 of 2 partitions counted/)
    assert.ok(result.lastLook!.tookMs <= 510, `${result.lastLook!.tookMs} ms`)
  })

  it('is left out when the bound leaves no time for it', async () => {
    const clock = new VirtualClock()
    const state = freshState()
    state.window.setAtMs = clock.wallMs() - 80_000
    state.timers = {configSyncMs: 30_000, groupCheckMs: 10_000}
    let worked = false
    const context = {clock, dryRun: false, emit() {}, request: {maxWriteDenyMs: 120_000, verify: 'full'}, state}
    await whileLooking({...context, signal: new AbortController().signal} as unknown as MigrationContext, async () => {
      worked = true
    })
    assert.ok(worked)
    assert.equal(state.lastLook?.leftOut, 'no time was left within --max-write-deny')
  })
})
