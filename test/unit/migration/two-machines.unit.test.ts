import assert from 'node:assert/strict'

import type {RollbackRequest} from '../../../src/lib/migration/rollback/index.js'
import {assertServes, envOf} from '../../simulation/judge.js'
import {type DriveOptions, ROOT, Simulation, type SimulationOptions, TABLE} from '../../simulation/simulation.js'
import {Tap} from '../../simulation/tap.js'

describe('two machines that work on one table', function () {
  this.timeout(60_000)
  let simulation: Simulation

  afterEach(() => simulation?.stop())

  async function open(options: SimulationOptions = {}): Promise<void> {
    simulation = await Simulation.open(options)
  }

  /** The machine that has no journal of the migration: everything is told by flags. */
  function rollbackElsewhere(more: Partial<RollbackRequest> = {}, onEvent?: DriveOptions['onEvent']) {
    return simulation.rollback(
      {machine: simulation.machine('there'), ...(onEvent ? {onEvent} : {})},
      {
        adopt: true,
        targetCluster: simulation.target.name,
        targetMetas: simulation.target.metas,
        zooKeeperHosts: 'zookeeper:2181',
        zooKeeperRoot: ROOT,
        ...more,
      },
    )
  }

  /** What the guards of this machine told, in order. */
  const guardStates = () =>
    (simulation.disk().text(`/journals/${TABLE}@${simulation.target.name}.jsonl`) ?? '')
      .split('\n')
      .filter((line) => line.includes('"kind":"guard"'))
      .map((line) => (JSON.parse(line) as {state: string}).state)

  /** A migration that something happens to right after one of its effects. */
  function struck(kind: string, strike: (life: {kill(): void; stop(): void}) => void) {
    const tap = new Tap(simulation)
    let done = false
    const driver = simulation.migrate({
      onEvent(event, life) {
        if (done || event.type !== 'effect' || event.effect.kind !== kind || event.state !== 'done') return
        done = true
        strike(life)
      },
      wrapEffects: (live, owner) => tap.wrap(live, owner),
    })
    return {driver, when: () => simulation.until(`the end of ${kind}`, () => done)}
  }

  it("leaves the write-deny of another machine's rollback alone, long after it took its own driver's back", async () => {
    await open({guard: true})
    const {when} = struck('pause-duplication', (life) => life.stop())
    await when()
    await simulation.until('the first lift', () => guardStates().includes('lifted'))
    const result = await simulation.run(rollbackElsewhere({briefDeny: true}).result)
    assert.deepEqual([result.outcome, result.error], ['rolled-back', undefined])
    assert.deepEqual(
      guardStates().filter((state) => state === 'acting'),
      ['acting'],
      'the guard acted on a deny that is not its driver’s',
    )
    await assertServes(simulation, 'source')
  })

  describe('one of which denies writes', () => {
    const deniesThere = (events: readonly {type: string}[]) =>
      events.flatMap((event) =>
        'code' in event && event.code === 'deny.there' && 'message' in event ? [event.message] : [],
      )
    const untilDenyPhase = ({events}: ReturnType<typeof struck>['driver']) =>
      simulation.until('the deny phase', () =>
        events.some((event) => event.type === 'phase-started' && event.phase === 'deny'),
      )
    const sentence =
      'users is write-denied on the source at this moment (replica.deny_client_request=reconfig*write), by another command or by hand. Who works on it: pegasus table:migrate-status -t users'

    it('a rollback that is refused the lock says that writes are denied', async () => {
      await open({guard: false})
      // It lives, and keeps its lock, and gets no further.
      simulation.migrate({
        wrapEffects: (live) => ({
          async perform(effect, signal) {
            if (effect.kind === 'pause-duplication') await simulation.sleep(60_000)
            return live.perform(effect, signal)
          },
        }),
      })
      await simulation.until('the deny', () => envOf(simulation.source) !== undefined)
      const rollback = rollbackElsewhere()
      const result = await simulation.run(rollback.result)
      assert.equal(result.error?.code, 'lock.held')
      assert.deepEqual(deniesThere(rollback.events), [sentence])
    })

    it('and says so when they were denied while it waited for the lock', async () => {
      await open({guard: false})
      const {driver, when} = struck('pause-duplication', (life) => life.stop())
      await untilDenyPhase(driver)
      assert.equal(envOf(simulation.source), undefined)
      const rollback = rollbackElsewhere()
      await when()
      const result = await simulation.run(rollback.result)
      assert.equal(result.error?.code, 'lock.held')
      assert.deepEqual(deniesThere(rollback.events), [sentence])
    })

    it('and says where it cannot read whether they are', async () => {
      await open({guard: false})
      const {driver, when} = struck('pause-duplication', (life) => life.stop())
      await untilDenyPhase(driver)
      const rollback = rollbackElsewhere()
      await when()
      for (const index of simulation.source.metaServers.keys()) await simulation.run(simulation.source.killMeta(index))
      const result = await simulation.run(rollback.result)
      assert.equal(result.error?.code, 'lock.held')
      assert.deepEqual(deniesThere(rollback.events), [])
      assert.match(
        result.warnings.at(-1)!,
        /^whether users is write-denied on the source at this moment cannot be read: /,
      )
    })

    it('a migration that is refused says that they are denied by now, though Preflight saw nothing of it', async () => {
      await open({guard: false})
      const {driver, when} = struck('deny', (life) => life.stop())
      await untilDenyPhase(driver)
      const second = simulation.migrate({machine: simulation.machine('there')})
      await when()
      const result = await simulation.run(second.result)
      assert.deepEqual([result.outcome, result.error?.code], ['refused', 'preflight.refused'])
      assert.ok(!String(result.error?.message).includes('deny_client_request'))
      assert.deepEqual(deniesThere(second.events), [sentence])
    })

    it('a migration that is refused says where it cannot read by now whether they are', async () => {
      await open({guard: false})
      const first = simulation.migrate()
      await untilDenyPhase(first)
      const second = simulation.migrate({
        machine: simulation.machine('there'),
        onEvent(event) {
          if (event.type !== 'phase-failed') return
          for (const index of simulation.source.metaServers.keys()) void simulation.source.killMeta(index)
        },
      })
      const result = await simulation.run(second.result)
      assert.equal(result.outcome, 'refused')
      assert.deepEqual(deniesThere(second.events), [])
      assert.match(
        result.warnings.at(-1)!,
        /^whether users is write-denied on the source at this moment cannot be read: /,
      )
    })

    it('nobody says so once it is taken off', async () => {
      await open({guard: false})
      const {driver} = struck('deny', () => {})
      await simulation.until('the catch-up', () =>
        driver.events.some((event) => event.type === 'phase-started' && event.phase === 'catch-up'),
      )
      const second = simulation.migrate({machine: simulation.machine('there')})
      assert.equal((await simulation.run(second.result)).outcome, 'refused')
      assert.deepEqual(deniesThere(second.events), [])
      assert.equal((await simulation.run(driver.result)).outcome, 'migrated')
      const third = simulation.migrate({machine: simulation.machine('there')})
      await simulation.run(third.result)
      assert.deepEqual(deniesThere(third.events), [], 'the source refuses everyone because the target serves')
    })
  })

  it('only looks on while another machine holds the lock, says so, and acts once it is free', async () => {
    await open()
    const {when} = struck('deny', (life) => {
      life.kill()
      simulation.zookeeper.expireAll()
    })
    await when()
    // The other machine takes the lock, and is stopped before it lifts anything.
    const rollback = rollbackElsewhere({}, (event, life) => {
      if (event.type === 'step-started' && event.step === 'allow-writes') life.stop()
    })
    await simulation.until('the guard that yields', () => guardStates().includes('yielding'), 20_000)
    assert.ok(!guardStates().includes('acting'))
    assert.equal(envOf(simulation.source), 'reconfig*write')
    await simulation.guardsEnd()
    assert.deepEqual([...new Set(guardStates())], ['watching', 'yielding', 'acting', 'lifted', 'gone'])
    await assertServes(simulation, 'source')
    rollback.life.resume()
    assert.equal((await simulation.run(rollback.result)).outcome, 'duplication-kept')
    await assertServes(simulation, 'source')
  })

  it('refuses a rollback elsewhere while the migration holds the lock, and goes on', async () => {
    await open()
    const {driver, when} = struck('add-duplication', () => {})
    await when()
    const refused = await simulation.run(rollbackElsewhere().result)
    assert.equal(refused.error?.code, 'lock.held')
    assert.equal((await simulation.run(driver.result)).outcome, 'migrated')
    await assertServes(simulation, 'target')
  })

  it('acts itself when the other machine dies with the deny in place', async () => {
    await open()
    const {when} = struck('deny', (life) => {
      life.kill()
      simulation.zookeeper.expireAll()
    })
    await when()
    rollbackElsewhere({}, (event, life) => {
      if (event.type === 'step-started' && event.step === 'allow-writes') life.kill()
    })
    await simulation.guardsEnd()
    assert.equal(envOf(simulation.source), undefined)
    await assertServes(simulation, 'source')
  })
})

describe('the guard of an earlier run', function () {
  this.timeout(60_000)
  let simulation: Simulation

  afterEach(() => simulation?.stop())

  const filesOf = () => simulation.disk().paths.filter((path) => !path.endsWith('.jsonl'))

  async function lingering(): Promise<void> {
    simulation = await Simulation.open({})
    const stopped = simulation.migrate({
      onEvent(event, life) {
        if (event.type === 'effect' && event.effect.kind === 'pause-duplication' && event.state === 'done') life.stop()
      },
    })
    await simulation.until('a guard', () => simulation.guards.length > 0)
    const [guard] = simulation.guards
    await simulation.until('the lift', () => !stopped.life.isRunning && envOf(simulation.source) === undefined)
    await simulation.pass(20_000)
    assert.ok(guard!.life.isAlive)
    // What was stopped is killed, so that the next run is not refused for its lock.
    stopped.life.kill()
  }

  it('is sent away by the next one also with --no-guard', async () => {
    simulation = await Simulation.open({})
    const dead = simulation.migrate({
      onEvent(event, life) {
        if (event.type !== 'effect' || event.effect.kind !== 'deny' || event.state !== 'done') return
        life.kill()
        simulation.zookeeper.expireAll()
      },
    })
    await simulation.until('the death', () => !dead.life.isAlive)
    // The guard finds that the lock is another run's by now, and looks on.
    simulation.options.guard = false
    const result = await simulation.run(simulation.migrate().result)
    assert.deepEqual([result.outcome, result.error], ['migrated', undefined])
    assert.equal(simulation.guards[0]!.end, 'dismissed')
  })

  it('leaves no file beside the journal: dismissed, dead, or when it ends by itself', async () => {
    await lingering()
    await simulation.guardsEnd()
    assert.deepEqual(filesOf(), ['/journals/users@onebox.lock'], 'its driver is dead')
    const {guard} = await simulation.run(simulation.status())
    assert.deepEqual([guard?.state, guard?.alive], ['lifted', false])
    const dead = simulation.migrate({
      onEvent(event) {
        if (event.type === 'phase-started' && event.phase === 'drain') simulation.guards.at(-1)!.life.kill()
      },
    })
    assert.equal((await simulation.run(dead.result)).outcome, 'migrated')
    assert.deepEqual(filesOf(), [])
  })

  it('leaves no file after a migration that went well', async () => {
    simulation = await Simulation.open({})
    assert.equal((await simulation.run(simulation.migrate().result)).outcome, 'migrated')
    await simulation.guardsEnd()
    assert.deepEqual(filesOf(), [])
  })

  it('leaves word for a driver that wakes up after it has ended', async () => {
    simulation = await Simulation.open({root: false})
    let slept = false
    const stopped = simulation.migrate({
      onEvent(event, life) {
        if (slept || event.type !== 'phase-started' || event.phase !== 'switch') return
        slept = true
        life.stop()
      },
    })
    await simulation.until('a guard', () => simulation.guards.length > 0)
    await simulation.guardsEnd()
    assert.equal(simulation.guards[0]!.end, 'lifted')
    assert.deepEqual(filesOf().sort(), ['/journals/users@onebox.lock', '/journals/users@onebox2.claim'])
    stopped.life.resume()
    const result = await simulation.run(stopped.result)
    assert.deepEqual([result.outcome, result.earlierWindows.length], ['migrated', 1])
    await assertServes(simulation, 'target')
    await simulation.guardsEnd()
    assert.deepEqual(filesOf(), [])
  })
})
