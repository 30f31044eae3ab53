import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {clockTime} from '../../../src/lib/migration/cutover-window.js'
import {releaseHeld} from '../../../src/lib/migration/hold-desk.js'
import {defaultLimits, type MigrationEvent, type MigrationRequest} from '../../../src/lib/migration/index.js'
import type {RollbackEvent} from '../../../src/lib/migration/rollback/index.js'
import {tableLines} from '../../../src/lib/ui/status.js'
import {assertServes, envOf} from '../../simulation/judge.js'
import {type DriveOptions, Simulation, type SimulationOptions} from '../../simulation/simulation.js'

const DIRECTORY = '/journals'
const FILE = '/tmp/hold-users'
const MINUTE_MS = 60_000

const isHold = (event: MigrationEvent | RollbackEvent) =>
  event.type === 'progress' && 'phase' in event && event.phase === 'deny' && event.step === 'stay caught up until told'

describe('a migration that is held before its cutover', function () {
  this.timeout(60_000)
  let simulation: Simulation

  afterEach(() => simulation?.stop())

  /** Runs until it is held. */
  async function held(
    request: Partial<MigrationRequest>,
    {options = {}, ...drive}: DriveOptions & {options?: SimulationOptions} = {},
  ) {
    simulation = await Simulation.open(options)
    const driver = simulation.migrate(drive, request)
    let ended = false
    const end = () => {
      ended = true
    }

    driver.result.then(end, end)
    await simulation.until('the hold', () => ended || driver.events.some((event) => isHold(event)))
    return {driver, hasEnded: () => ended}
  }

  const other = () => simulation.here.begin()
  const files = () => simulation.disk().of(other())
  const release = (table = 'users') => {
    const life = other()
    return simulation.run(
      releaseHeld(table, {directory: DIRECTORY, files: simulation.disk().of(life), processes: life.processes}),
    )
  }

  const held2 = {hold: {}}
  const heldByFile = {hold: {file: FILE}}

  it('stays caught up, writes allowed, and tells the lag and how to go on', async () => {
    const {driver, hasEnded} = await held(heldByFile)
    await simulation.pass(MINUTE_MS)
    assert.equal(hasEnded(), false)
    assert.equal(envOf(simulation.source), undefined)
    const shown = driver.events.filter((event) => isHold(event))
    // Now and then it looks at settings too, and no server is asked more than once a second.
    assert.ok(shown.length > 40, `${shown.length} looks`)
    const last = shown.at(-1)!
    assert.ok('progress' in last && 'lagMutations' in last.progress)
    assert.match(
      last.progress.text,
      /^held, writes are allowed; \d+ mutations? pending\. To cut over: remove \/tmp\/hold-users, or pegasus table:migrate-release -t users$/,
    )
    const status = await simulation.run(simulation.status())
    assert.deepEqual(status.hold?.release, ['pegasus table:migrate-release -t users', `rm ${FILE}`])
    assert.deepEqual(status.next, {
      command: ['pegasus', 'table:migrate-release', '-t', 'users'],
      sentence: `It waits until it is told to cut over, or: rm ${FILE}.`,
    })
    assert.match(
      tableLines(status, simulation.clock.wallMs(), 200).join('\n'),
      /Held {10}since [\d:]+ UTC \(1 min [^)]*\), writes are allowed; cuts over after: pegasus table:migrate-release -t users, or: rm /,
    )
    await simulation.run(files().remove(FILE))
    const {outcome} = await simulation.run(driver.result)
    assert.equal(outcome, 'migrated')
    await assertServes(simulation, 'target')
  })

  it('cuts over within a second or two of table:migrate-release, and leaves no trace of the hold', async () => {
    const {driver} = await held(held2)
    const [released] = await release()
    assert.equal(released?.targetCluster, simulation.target.name)
    const atMs = simulation.clock.wallMs()
    const result = await simulation.run(driver.result)
    assert.equal(result.outcome, 'migrated')
    assert.ok(result.writeDeny.setAtMs! - atMs <= 2500, `${result.writeDeny.setAtMs! - atMs} ms`)
    assert.deepEqual(
      simulation.disk().paths.filter((path) => /\.(hold|window)$/.test(path)),
      [],
    )
  })

  it('is not released by the release of another table, nor of one that is not held', async () => {
    const {driver} = await held(held2)
    for (const table of ['user', 'users2'])
      await assert.rejects(
        release(table),
        (error: MigratorError) => error.code === 'release.none' && error.exitCode === 3,
      )
    await release()
    assert.equal((await simulation.run(driver.result)).outcome, 'migrated')
    await assert.rejects(release(), {code: 'release.none'})
  })

  it('cannot be released when its process is gone, and holds again when it is run again', async () => {
    const {driver} = await held(held2)
    driver.life.kill()
    assert.equal((await simulation.run(simulation.status())).hold, undefined)
    await assert.rejects(release(), (error: MigratorError) =>
      /the one that was \(process \d+\) is gone/.test(error.message),
    )
    const again = simulation.migrate({}, held2)
    await simulation.until('the second hold', () => again.events.some((event) => isHold(event)))
    await release()
    assert.equal((await simulation.run(again.result)).outcome, 'migrated')
  })

  it('stops on Ctrl-C, nothing denied', async () => {
    const {driver} = await held(held2)
    driver.signal.abort(new MigratorError('ui.signal', 'stopped by SIGINT'))
    const result = await simulation.run(driver.result)
    assert.equal(result.outcome, 'stopped')
    assert.equal(result.writeDeny.setAtMs, undefined)
    await assertServes(simulation, 'source')
  })

  it('stops at its limit, writes allowed', async () => {
    const {driver} = await held({...held2, limits: {...defaultLimits, holdMs: MINUTE_MS}})
    const result = await simulation.run(driver.result)
    assert.equal(result.outcome, 'stopped')
    assert.equal(result.error?.code, 'hold.limit')
    assert.match(result.error.message, /held for 1 min/)
    assert.equal(result.earlierWindows.length, 0)
  })

  it('needs no second word when a cutover is tried again', async () => {
    let strikes = 1
    const {driver} = await held(held2, {
      wrapEffects: (live) => ({
        perform(effect, signal) {
          if (effect.kind === 'pause-duplication' && strikes-- > 0)
            throw new MigratorError('rpc.timeout', 'the meta did not answer')
          return live.perform(effect, signal)
        },
      }),
    })
    await release()
    const result = await simulation.run(driver.result)
    assert.equal(result.outcome, 'migrated', result.error?.message)
    assert.equal(result.earlierWindows.length, 1)
  })

  it('refuses a hold file that cannot be made, before anything is changed', async () => {
    simulation = await Simulation.open({load: false})
    simulation.disk().full = (path) => path === FILE
    const {error, outcome} = await simulation.run(simulation.migrate({}, heldByFile).result)
    assert.deepEqual([outcome, error?.code], ['refused', 'hold.file'])
    assert.equal(simulation.source.table('users').info.duplicating, false)
  })

  it('waits for the cutover window, with the old config sync until shortly before', async () => {
    simulation = await Simulation.open({load: {writesPerSecond: 1}})
    const opensAtMs = Math.ceil(simulation.clock.wallMs() / MINUTE_MS) * MINUTE_MS + 19 * MINUTE_MS
    const open = new Date(opensAtMs)
    const fromMinute = open.getHours() * 60 + open.getMinutes()
    const cutoverWindow = {fromMinute, toMinute: (fromMinute + 30) % 1440}
    const driver = simulation.migrate({}, {cutoverWindow})
    await simulation.until('the wait', () => driver.events.some((event) => isHold(event)))
    const syncs = () => simulation.source.servers.map(({config}) => config.number('config_sync_interval_ms'))
    await simulation.pass(MINUTE_MS)
    assert.deepEqual(new Set(syncs()), new Set([6000]))
    const {progress} = driver.events.findLast((event) => isHold(event)) as Extract<MigrationEvent, {type: 'progress'}>
    assert.match(
      progress.text,
      new RegExp(`^waiting until the cutover window opens at ${clockTime(opensAtMs)} local time, writes are allowed;`),
    )
    const status = await simulation.run(simulation.status())
    assert.deepEqual([status.hold?.release, status.hold?.opening?.opensAtMs], [[], opensAtMs])
    assert.match(
      tableLines(status, simulation.clock.wallMs(), 200).join('\n'),
      new RegExp(`Held .*; not before its cutover window opens at ${clockTime(opensAtMs)} local time`),
    )
    assert.ok(Math.abs(progress.etaMs! - (opensAtMs - simulation.clock.wallMs())) <= 2000)
    const result = await simulation.run(driver.result)
    assert.equal(result.outcome, 'migrated', result.error?.message)
    const lateMs = result.writeDeny.setAtMs! - opensAtMs
    assert.ok(lateMs >= 0 && lateMs < 15_000, `${lateMs} ms after the window opened`)
    assert.equal(result.settingsPutBack.length > 0, true)
    await assertServes(simulation, 'target')
  })

  it('begins nothing that may not end within the window: it waits for the next day', async () => {
    simulation = await Simulation.open({load: false})
    const now = new Date(simulation.clock.wallMs())
    const minute = now.getHours() * 60 + now.getMinutes()
    // The window is open, and closes in the minute after the next: less than the bound of 120 s.
    const cutoverWindow = {fromMinute: (minute + 1430) % 1440, toMinute: (minute + 1) % 1440}
    const driver = simulation.migrate({}, {cutoverWindow, limits: {...defaultLimits, holdMs: 3 * MINUTE_MS}})
    const result = await simulation.run(driver.result)
    assert.equal(result.error?.code, 'hold.limit')
    assert.equal(result.writeDeny.setAtMs, undefined)
  })
})
