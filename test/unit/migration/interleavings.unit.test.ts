import assert from 'node:assert/strict'

import {sleep} from '../../../src/lib/clock.js'
import {MigratorError} from '../../../src/lib/errors.js'
import {formatNodeData} from '../../../src/lib/metaproxy/node-data.js'
import type {MigrationContext} from '../../../src/lib/migration/context.js'
import type {Effect, Effects} from '../../../src/lib/migration/effects.js'
import {waitForShortSync} from '../../../src/lib/migration/fast-cutover.js'
import {GuardChannel} from '../../../src/lib/migration/guard/channel.js'
import {startGuard} from '../../../src/lib/migration/guard/handle.js'
import type {MigrationEvent} from '../../../src/lib/migration/index.js'
import type {RollbackEvent} from '../../../src/lib/migration/rollback/index.js'
import {type SimulatedCluster, VirtualClock} from '../../sandbox/index.js'
import {type Driver, NODE, Simulation, type SimulationOptions, TABLE} from '../../simulation/simulation.js'
import {Tap} from '../../simulation/tap.js'

const DENY_ENV = 'replica.deny_client_request'
const refusal = () => new MigratorError('meta.error', 'refused', {facts: {err: 'ERR_INVALID_PARAMETERS'}})

describe('interleavings of a migration', function () {
  this.timeout(60_000)
  let simulation: Simulation

  afterEach(() => simulation?.stop())

  async function open(options: SimulationOptions = {}): Promise<void> {
    simulation = await Simulation.open(options)
  }

  const primary = (cluster: SimulatedCluster) => cluster.primaryOf(TABLE, 0)!

  async function restartServer(): Promise<void> {
    const server = primary(simulation.source)
    await simulation.run(simulation.source.killServer(server))
    await simulation.pass(20_000)
    await simulation.run(simulation.source.startServer(server))
  }

  const denyOf = () => simulation.source.table(TABLE).info.envs.get(DENY_ENV)
  const warned = ({events}: Driver<unknown>, code: string) =>
    events.some((event) => event.type === 'warning' && event.code === code)
  const isEffect = (event: MigrationEvent | RollbackEvent, kind: Effect['kind'], state: string) =>
    event.type === 'effect' && event.effect.kind === kind && event.state === state

  /** Wraps one kind of effect. */
  const instead =
    (
      kind: Effect['kind'],
      strike: (live: Effects, effect: Effect, signal: AbortSignal) => ReturnType<Effects['perform']>,
    ) =>
    (live: Effects): Effects => ({
      perform: (effect, signal) => (effect.kind === kind ? strike(live, effect, signal) : live.perform(effect, signal)),
    })

  it('lifts a deny that takes place only after it was taken back', async () => {
    await open({guard: false})
    const driver = simulation.migrate({
      // The meta's ZooKeeper is slow: Ctrl-C, the deletion finds nothing, and then the env is set.
      wrapEffects: instead('deny', () => {
        driver.signal.abort(new MigratorError('ui.signal', 'stopped by SIGINT'))
        const {envs} = simulation.source.table(TABLE).info
        simulation.clock.setTimer(3000, () => envs.set(DENY_ENV, 'reconfig*write'))
        return Promise.reject(new MigratorError('rpc.aborted', 'aborted'))
      }),
    })
    const result = await simulation.run(driver.result)
    assert.equal(result.outcome, 'stopped')
    await simulation.pass(20_000)
    assert.equal(denyOf(), undefined)
  })

  it('takes the commit away from an earlier run before it lifts what that run denied', async () => {
    await open({guard: false})
    const tap = new Tap(simulation, (_, {kind}) => (kind === 'deny' ? 'kill-after' : undefined))
    const {life} = simulation.migrate({wrapEffects: (live, owner) => tap.wrap(live, owner)})
    await simulation.until('the death of the first run', () => !life.isAlive)
    const again = simulation.migrate()
    assert.equal((await simulation.run(again.result)).outcome, 'migrated')
    const kinds = again.events.flatMap((event) =>
      event.type === 'effect' && event.state === 'done' ? [event.effect.kind] : [],
    )
    assert.ok(kinds.includes('lift-deny'))
    assert.ok(kinds.indexOf('take-commit-away') < kinds.indexOf('lift-deny'), kinds.join(' '))
    assert.equal(kinds[0], 'take-commit-away')
  })

  it('ends with a result when the disk is full while settings are put back', async () => {
    await open({guard: false})
    const driver = simulation.migrate({
      onEvent(event) {
        if (isEffect(event, 'pause-duplication', 'begin')) simulation.disk().full = () => true
      },
    })
    const result = await simulation.run(driver.result)
    assert.equal(result.outcome, 'stopped')
    assert.equal(denyOf(), undefined)
    assert.ok(warned(driver, 'stop.left'))
    simulation.disk().full = undefined
    assert.equal((await simulation.run(simulation.migrate().result)).outcome, 'migrated')
  })

  it('has a guard that lifts the deny of a dead run on a full disk', async () => {
    await open()
    const driver = simulation.migrate({
      onEvent(event, life) {
        if (!isEffect(event, 'pause-duplication', 'done')) return
        simulation.disk().full = () => true
        life.kill()
      },
    })
    await simulation.until('the death of the run', () => !driver.life.isAlive)
    await simulation.until('the lift', () => denyOf() === undefined, 60_000)
  })

  it('compares all rows when primaries moved while nobody watched', async () => {
    await open({guard: false})
    const tap = new Tap(simulation, (_, {kind}) => (kind === 'add-duplication' ? 'kill-after' : undefined))
    const {life} = simulation.migrate({wrapEffects: (live, owner) => tap.wrap(live, owner)})
    await simulation.until('the death of the first run', () => !life.isAlive)
    await restartServer()
    await simulation.pass(60_000)
    const again = simulation.migrate()
    const result = await simulation.run(again.result)
    assert.ok(warned(again, 'duplicate.moved_unseen'))
    assert.equal(result.outcome, 'migrated')
    // The application writes and deletes between the count and the comparison.
    const {rowsCompared, rowsCountedSource} = result.verification!
    assert.ok(Math.abs(rowsCompared - rowsCountedSource) <= 3, `${rowsCompared} of ${rowsCountedSource}`)
  })

  it('goes forward when a partition of the target has no primary just after the switch', async () => {
    await open()
    const driver = simulation.migrate({
      onEvent(event) {
        if (!isEffect(event, 'switch-node', 'done')) return
        const membership = simulation.target.table(TABLE).memberships[0]!
        const {primary: server} = membership
        membership.primary = undefined
        simulation.clock.setTimer(3000, () => Object.assign(membership, {primary: server}))
      },
    })
    assert.equal((await simulation.run(driver.result)).outcome, 'migrated')
  })

  it('does not go on from an earlier run that was asked for another target or another node', async () => {
    await open({guard: false})
    const first = simulation.migrate({
      onEvent(event, life) {
        if (event.type === 'phase-finished' && event.phase === 'duplicate') life.kill()
      },
    })
    await simulation.until('the death of the first run', () => !first.life.isAlive)
    for (const other of [{targetCluster: 'onebox3'}, {metaproxy: {hosts: 'elsewhere:2181', root: '/other'}}]) {
      const result = await simulation.run(simulation.migrate({}, other).result)
      assert.equal(result.outcome, 'refused')
      assert.equal(result.error?.code, 'plan.differs', result.error?.message)
    }

    const {result} = simulation.migrate({}, {thresholdMutations: 99})
    assert.equal((await simulation.run(result)).outcome, 'migrated')
  })

  it('goes forward from another machine, without the journal, when a run died just after the switch', async () => {
    await open({guard: false})
    const tap = new Tap(simulation, (_, {kind}) => (kind === 'switch-node' ? 'kill-after' : undefined))
    const {life} = simulation.migrate({wrapEffects: (live, owner) => tap.wrap(live, owner)})
    await simulation.until('the death of the first run', () => !life.isAlive)
    const result = await simulation.run(simulation.migrate({machine: simulation.machine('there')}).result)
    assert.equal(result.outcome, 'migrated', result.error?.message)
    assert.equal(denyOf(), 'reconfig*all')
    assert.equal(simulation.source.table(TABLE).info.duplicating, false)
  })

  it('stops when the node was switched by hand while the duplication still ships', async () => {
    await open({guard: false})
    const first = simulation.migrate({
      onEvent(event, life) {
        if (event.type === 'phase-finished' && event.phase === 'catch-up') life.kill()
      },
    })
    await simulation.until('the death of the first run', () => !first.life.isAlive)
    const {metas, name} = simulation.target
    simulation.zookeeper.put(NODE, formatNodeData(name, metas))
    const result = await simulation.run(simulation.migrate().result)
    assert.equal(result.outcome, 'refused')
    assert.equal(result.error?.code, 'position.switched_undrained')
    assert.equal(denyOf(), undefined, 'nothing was denied or closed')
    assert.equal(simulation.source.table(TABLE).info.duplicating, true)
  })

  it('says so when it refuses to run on a table that an earlier run left denied', async () => {
    await open({guard: false})
    const tap = new Tap(simulation, (_, {kind}) => (kind === 'deny' ? 'kill-after' : undefined))
    const {life} = simulation.migrate({wrapEffects: (live, owner) => tap.wrap(live, owner)})
    await simulation.until('the death of the first run', () => !life.isAlive)
    const server = primary(simulation.source)
    await simulation.run(simulation.source.killServer(server))
    await simulation.pass(30_000)
    const again = simulation.migrate()
    assert.equal((await simulation.run(again.result)).outcome, 'refused')
    assert.ok(warned(again, 'deny.left'))
  })

  it('leaves a guard that lifts what the run itself could not', async () => {
    await open()
    const driver = simulation.migrate({
      onEvent(event) {
        if (isEffect(event, 'pause-duplication', 'done')) driver.signal.abort(new Error('Ctrl-C'))
      },
      wrapEffects: instead('lift-deny', () => Promise.reject(refusal())),
    })
    assert.equal((await simulation.run(driver.result)).outcome, 'write-denied')
    await simulation.until('the lift by the guard', () => denyOf() === undefined, 60_000)
  })
})

describe('the driver side of a guard', () => {
  it('beats no more once it has left, and a dismissal is the last thing it writes', async () => {
    const clock = new VirtualClock()
    const files = new Map<string, string>()
    const slowly = async <T>(work: () => T): Promise<T> => {
      await sleep(clock, 50)
      return work()
    }

    const channel = new GuardChannel('/journals', TABLE, 'there', {
      createExclusively: async () => true,
      list: async () => [],
      async makeDirectory() {},
      openForAppend: () => Promise.reject(new Error('not used')),
      read: async (path) => files.get(path),
      remove: async (path) => void files.delete(path),
      replace: (path, text) => slowly(() => void files.set(path, text)),
    })
    let lives = false
    const begin = () =>
      startGuard(
        channel,
        clock,
        () => {},
        () => channel.tell({pid: 1, sinceMs: 0, state: 'watching', text: ''}),
        {lives: () => lives},
      )
    const left = await clock.run(begin(), 60_000)
    await clock.advance(2500)
    left.leave()
    await clock.advance(100)
    const last = await channel.readBeat()
    await clock.advance(10_000)
    assert.deepEqual(await channel.readBeat(), last)

    for (const beforeMs of [1000, 1020, 1049]) {
      const handle = await clock.run(begin(), 60_000)
      await clock.advance(beforeMs)
      // A guard that lives clears up itself.
      lives = true
      await clock.run(handle.dismiss(), 60_000)
      lives = false
      await clock.advance(1000)
      assert.equal((await channel.readBeat())?.stage, 'dismissed')
    }
  })
})

describe('the short config sync', () => {
  it('is not believed once more when it could not be seen to count', async () => {
    const clock = new VirtualClock()
    const gone = () => Promise.reject(new MigratorError('rpc.connect', 'nobody there'))
    const state = {
      fast: {metaMs: 1, servers: new Map([['s1', {loweredAtMs: 0, oldMs: 30_000, startTime: ''}]])},
      timers: {configSyncMs: 1000, groupCheckMs: 10_000},
    }
    const context = {
      clock,
      emit() {},
      request: {table: TABLE},
      signal: new AbortController().signal,
      source: {configuration: gone},
      state,
    } as unknown as MigrationContext
    await clock.run(
      waitForShortSync(context, () => {}),
      600_000,
    )
    assert.equal(state.timers.configSyncMs, 30_000)
  })
})
