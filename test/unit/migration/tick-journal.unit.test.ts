import assert from 'node:assert/strict'

import type {Effect} from '../../../src/lib/migration/effects.js'
import {hintsOf, type JournalRecord} from '../../../src/lib/migration/journal.js'
import {isRecord} from '../../../src/lib/migration/journal-record.js'
import {SYNC_INTERVAL} from '../../../src/lib/migration/settings.js'
import {ticksFrom} from '../../../src/lib/migration/tick-phases.js'
import {VirtualClock} from '../../sandbox/index.js'
import {ServerFloor} from '../../sandbox/server-floor.js'
import {type Driver, Simulation, TABLE} from '../../simulation/simulation.js'

/* When servers hear of envs is learned while the target copies, and a run that goes on later must still know it. */

const SERVER = '10.0.0.1:34801'
const PHASE = {afterMs: 1000, byMs: 2000, startTime: '2026-01-01 00:00:00'}
const at = '2026-01-01T00:00:00.000Z'
const ticks: JournalRecord = {at, kind: 'ticks', run: 'r1', servers: {[SERVER]: PHASE}}

function setting(name: string, server = SERVER): JournalRecord {
  const effect: Effect = {before: '30000', kind: 'set-server-config', name, server, side: 'source', value: '1000'}
  return {at, effect, kind: 'before', run: 'r1'}
}

describe("servers' syncs in the journal", () => {
  it('are told to later runs, the last of each server', () => {
    const later = {...PHASE, byMs: 3000}
    const other = {...ticks, servers: {'10.0.0.2:34801': PHASE}}
    const records = [ticks, other, {...ticks, servers: {[SERVER]: later}}]
    assert.deepEqual(hintsOf(records).ticks, {'10.0.0.2:34801': PHASE, [SERVER]: later})
    assert.equal(hintsOf([]).ticks, undefined)
  })

  it('are worth nothing once the interval was changed, and only there', () => {
    assert.deepEqual(hintsOf([ticks, setting(SYNC_INTERVAL)]).ticks, {})
    assert.deepEqual(hintsOf([ticks, setting(SYNC_INTERVAL, '10.0.0.2:34801')]).ticks, ticks.servers)
    assert.deepEqual(hintsOf([ticks, setting('duplicate_log_batch_bytes')]).ticks, ticks.servers)
    assert.deepEqual(hintsOf([setting(SYNC_INTERVAL), ticks]).ticks, ticks.servers)
  })

  it('are no record where something is missing', () => {
    assert.equal(isRecord(ticks), true)
    for (const servers of [undefined, [], {[SERVER]: {}}, {[SERVER]: {...PHASE, byMs: 'soon'}}, {[SERVER]: null}])
      assert.equal(isRecord({...ticks, servers}), false, JSON.stringify(servers))
  })

  it('come back on the clock of the process that reads them', () => {
    const clock = new VirtualClock()
    const wallMs = clock.wallMs() - 60_000
    const phases = ticksFrom({[SERVER]: {...PHASE, afterMs: wallMs - 500, byMs: wallMs}}, clock)
    const {afterMs, byMs} = phases.get(SERVER)!
    assert.deepEqual([clock.nowMs() - byMs, byMs - afterMs], [60_000, 500])
  })
})

describe('a migration that goes on where an earlier run has seen the syncs', function () {
  this.timeout(120_000)
  let simulation: Simulation
  afterEach(() => simulation.stop())

  /** A first run that is killed while rows are compared. */
  async function firstRun(): Promise<void> {
    simulation = await Simulation.open({profile: '2.4', realTimers: true, partitionCount: 3, seed: 4})
    const driver = simulation.migrate(
      {
        onEvent(event, life) {
          if (event.type === 'phase-started' && event.phase === 'verify') life.kill()
        },
      },
      {maxWriteDenyMs: 400_000},
    )
    await simulation.until('the death of the first run', () => !driver.life.isAlive)
  }

  const journal = () => simulation.disk().text(`/journals/${TABLE}@${simulation.target.name}.jsonl`) ?? ''
  const saysWhen = ({events}: Driver<unknown>) =>
    events.some(
      ({type, ...event}) => type === 'progress' && JSON.stringify(event).includes('ask for envs at fixed times'),
    )

  async function secondRun(floor: ServerFloor) {
    const driver = simulation.migrate({}, {maxWriteDenyMs: 400_000})
    const result = await simulation.run(driver.result)
    floor.stop()
    assert.equal(result.outcome, 'migrated', result.error?.message)
    return {driver, spreadMs: floor.floor().spreadMs}
  }

  it('denies writes when they lie close together', async () => {
    await firstRun()
    const {servers} = JSON.parse(
      journal()
        .split('\n')
        .findLast((line) => line.includes('"kind":"ticks"'))!,
    ) as {
      servers: object
    }
    assert.ok(Object.keys(servers).length > 0)
    const {driver, spreadMs} = await secondRun(new ServerFloor(simulation.sandbox, TABLE, simulation.clock))
    assert.ok(saysWhen(driver))
    // Without the journal it would be 25.4 s here.
    assert.ok(spreadMs < 6000, `${spreadMs} ms`)
  })

  it('throws away what it knew of a server that was restarted since, and knows it anew after a deny', async () => {
    await firstRun()
    const address = simulation.source.primaryOf(TABLE, 0)!
    await simulation.run(simulation.source.killServer(address))
    await simulation.pass(30_000)
    await simulation.run(simulation.source.startServer(address))
    await simulation.pass(60_000)
    simulation.source.movePrimary(TABLE, 0, address)
    await simulation.pass(40_000)
    const {driver} = await secondRun(new ServerFloor(simulation.sandbox, TABLE, simulation.clock))
    assert.equal(saysWhen(driver), false)
    const last = journal()
      .split('\n')
      .findLast((line) => line.includes('"kind":"ticks"'))!
    assert.ok(last.includes(address), 'the deny showed when it syncs now')
  })
})
