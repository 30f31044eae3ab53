import assert from 'node:assert/strict'

import {isMigratorError} from '../../../src/lib/errors.js'
import {sleep} from '../../../src/lib/clock.js'
import {Bound, tellExceeded} from '../../../src/lib/migration/bound.js'
import type {MigrationContext} from '../../../src/lib/migration/context.js'
import {VirtualClock} from '../../sandbox/index.js'
import {assertServes} from '../../simulation/judge.js'
import {Simulation, TABLE} from '../../simulation/simulation.js'

describe('what goes wrong is told with its reason', function () {
  this.timeout(90_000)
  let simulation: Simulation

  afterEach(() => simulation?.stop())

  it('a process that stood still while writes were denied, and the bound that was not kept', async () => {
    simulation = await Simulation.open({guard: false})
    let slept = false
    const driver = simulation.migrate({
      onEvent(event, life) {
        if (slept || event.type !== 'phase-started' || event.phase !== 'drain') return
        slept = true
        life.stop()
        simulation.clock.setTimer(150_000, () => life.resume())
      },
    })
    const result = await simulation.run(driver.result)
    const told = result.warnings.join('\n')
    assert.match(told, /stood still for 1[45]\d s/)
    assert.match(told, /longer than --max-write-deny 120s: this machine or this process stood still/)
    // Its lock was lost meanwhile.
    assert.equal(result.outcome, 'stopped')
  })

  it('timers that need more than the bound, before anything is denied', () => {
    const context = {
      clock: new VirtualClock(),
      dryRun: false,
      request: {maxWriteDenyMs: 60_000, table: TABLE},
      signal: new AbortController().signal,
      state: {facts: {source: {generation: '2.5'}}, timers: {configSyncMs: 30_000, groupCheckMs: 10_000}},
    } as unknown as MigrationContext
    // What Preflight counted on could not be shortened after all.
    assert.throws(
      () => new Bound(context).arm(),
      (error) => isMigratorError(error, 'cutover.no_fit') && /needs 94 s.*allowed are 60 s/.test(error.message),
    )
    context.state.timers = {configSyncMs: 1000, groupCheckMs: 10_000}
    const bound = new Bound(context)
    bound.arm()
    bound.dispose()
  })

  it('a machine that slept while writes were denied: the wall clock went on, and what is over by it ends at once', async () => {
    const virtual = new VirtualClock()
    let sleptMs = 0
    const clock = {
      nowMs: () => virtual.nowMs(),
      setTimer: (delayMs: number, callback: () => void) => virtual.setTimer(delayMs, callback),
      wallMs: () => virtual.wallMs() + sleptMs,
    }
    const warnings: string[] = []
    const setAtMs = clock.wallMs()
    const context = {
      clock,
      dryRun: false,
      emit: (event: {message: string}) => warnings.push(event.message),
      request: {maxWriteDenyMs: 120_000, table: TABLE},
      signal: new AbortController().signal,
      state: {
        facts: {source: {generation: '2.5'}},
        timers: {configSyncMs: 1000, groupCheckMs: 10_000},
        window: {lastRefusedAtMs: setAtMs + 900, provedAtMs: setAtMs + 1000, setAtMs},
      },
    } as unknown as MigrationContext
    const bound = new Bound(context)
    bound.arm()
    await virtual.run(sleep(virtual, 10_000))
    assert.equal(bound.signal.aborted, false)
    sleptMs = 90_000
    await virtual.run(sleep(virtual, 1500))
    assert.match(warnings.join(), /stood still for 90 s while writes to users were denied/)
    assert.equal(bound.signal.aborted, false, 'the bound is not over yet')
    sleptMs += 60_000
    await virtual.run(sleep(virtual, 1500))
    assert.ok(isMigratorError(bound.signal.reason, 'cutover.bound'))
    assert.match(bound.signal.reason.message, /120s: after 117 s .*; the last primary refused writes after 0\.9 s$/)
    context.state.window.liftedAtMs = setAtMs + 170_000
    tellExceeded(context)
    assert.match(
      warnings.at(-1)!,
      /denied for 170\.0 s, longer than --max-write-deny 120s: this machine .* stood still for 60 s/,
    )
    bound.dispose()
  })

  it('no meta leader for longer than the bound', async () => {
    simulation = await Simulation.open({guard: false, load: false})
    let away = false
    const driver = simulation.migrate(
      {
        onEvent(event) {
          if (away || event.type !== 'phase-started' || event.phase !== 'drain') return
          away = true
          const {source} = simulation
          for (const index of source.metaServers.keys()) void source.killMeta(index)
          simulation.clock.setTimer(170_000, () => {
            for (const index of source.metaServers.keys()) void source.startMeta(index)
          })
        },
      },
      {cutoverAttempts: 1},
    )
    const {error, outcome, warnings} = await simulation.run(driver.result)
    assert.deepEqual([outcome, error?.code], ['stopped', 'drain.limit'])
    assert.match(error!.message, /what became of duplication \d+ could not be read/)
    assert.match(
      warnings.join('\n'),
      /longer than --max-write-deny 120s: ALARM: users may still be write-denied; .*no meta/,
    )
    await assertServes(simulation, 'source')
  })

  it('a flag without which the last mutation never ships', async () => {
    simulation = await Simulation.open({})
    const driver = simulation.migrate(
      {
        onEvent(event) {
          if (event.type !== 'effect' || event.effect.kind !== 'deny' || event.state !== 'done') return
          for (const {address} of simulation.source.servers)
            simulation.source.setFlag(address, 'empty_write_disabled', 'true')
        },
      },
      {cutoverAttempts: 1},
    )
    const result = await simulation.run(driver.result)
    assert.deepEqual([result.outcome, result.error?.code], ['stopped', 'drain.limit'])
    assert.match(result.error!.message, /empty_write_disabled is true on .*never ships; set it to false/)
    await assertServes(simulation, 'source')
  })

  it('a setting of a server that is down comes back with its restart', async () => {
    simulation = await Simulation.open({load: false})
    const {address} = simulation.source.servers[2]!
    const driver = simulation.migrate({
      onEvent(event) {
        if (event.type === 'effect' && event.effect.kind === 'close-source' && event.state === 'done')
          void simulation.source.killServer(address)
      },
    })
    const {outcome, warnings} = await simulation.run(driver.result)
    assert.equal(outcome, 'migrated')
    assert.ok(
      warnings.some((text) => text.includes(`${address} is down: when it is started again`)),
      warnings.join('\n'),
    )
    assert.equal(simulation.source.table(TABLE).info.duplicating, false)
  })

  it('a rehearsed rollback leaves out what a duplication that is kept needs', async () => {
    simulation = await Simulation.open({})
    const {result, signal} = simulation.migrate({
      onEvent(event) {
        if (event.type === 'phase-started' && event.phase === 'verify') signal.abort(new Error('Ctrl-C'))
      },
    })
    assert.equal((await simulation.run(result)).outcome, 'stopped')
    const {effects, outcome} = await simulation.run(simulation.rollback({}, {}, true).result)
    assert.equal(outcome, 'dry-run')
    assert.deepEqual(
      effects.filter((sentence) => /remove duplication|duplicate_log_batch_bytes/.test(sentence)),
      [],
    )
  })
})
