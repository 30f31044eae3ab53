import assert from 'node:assert/strict'

import {isMigratorError} from '../../../src/lib/errors.js'
import {Bound} from '../../../src/lib/migration/bound.js'
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
