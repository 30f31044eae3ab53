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
    assert.deepEqual([...new Set(guardStates())], ['watching', 'yielding', 'acting', 'lifted'])
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
