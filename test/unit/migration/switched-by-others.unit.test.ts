import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {formatNodeData} from '../../../src/lib/metaproxy/node-data.js'
import type {Effect} from '../../../src/lib/migration/effects.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {assertClean, assertServes, envOf} from '../../simulation/judge.js'
import {
  type Driver,
  type DriveOptions,
  NODE,
  Simulation,
  type SimulationOptions,
  TABLE,
} from '../../simulation/simulation.js'

describe('a switch that is not heard of as it should be', function () {
  this.timeout(60_000)
  let simulation: Simulation

  afterEach(() => simulation?.stop())

  async function open(options: SimulationOptions = {}): Promise<void> {
    simulation = await Simulation.open(options)
  }

  const warned = ({events}: Driver<unknown>, code: string) =>
    events.some((event) => event.type === 'warning' && event.code === code)
  const statusOf = () =>
    simulation.source.state.duplications
      .of(simulation.source.table(TABLE).info.appId)
      .map(({status}) => DuplicationStatus[status])

  const switchByHand = () =>
    simulation.zookeeper.put(NODE, formatNodeData(simulation.target.name, simulation.target.metas))

  /** Does something once, right after an effect. */
  function after(kind: Effect['kind'], strike: () => void): DriveOptions['onEvent'] {
    let done = false
    return (event) => {
      if (done || event.type !== 'effect' || event.effect.kind !== kind || event.state !== 'done') return
      done = true
      strike()
    }
  }

  it('by another operator, before all has arrived: nothing is lifted, the rest arrives, shipping ends, and it is said aloud', async () => {
    await open()
    const driver = simulation.migrate({onEvent: after('deny', switchByHand)})
    const result = await simulation.run(driver.result)
    assert.deepEqual([result.outcome, result.error?.code], ['switched-unfinished', 'switch.by_others'])
    assert.match(result.error!.message, /may hold the older value/)
    assert.match(result.next ?? '', /Find out who switched it/)
    assert.ok(warned(driver, 'switch.by_others'))
    assert.equal(envOf(simulation.source), 'reconfig*all')
    assert.deepEqual(statusOf(), ['DS_PAUSE'])
    assert.deepEqual(
      simulation.watch.reigns.map(({side}) => side),
      ['source', 'target'],
    )
    const again = await simulation.run(simulation.migrate().result)
    assert.equal(again.outcome, 'migrated')
    assertClean(simulation)
  })

  for (const kind of ['deny', 'pause-duplication'] as const)
    it(`by another operator, by a name of his own for the target, after ${kind}: nothing is lifted`, async () => {
      await open()
      const byHand = () => simulation.zookeeper.put(NODE, formatNodeData('its-other-name', simulation.target.metas))
      const driver = simulation.migrate({onEvent: after(kind, byHand)})
      const result = await simulation.run(driver.result)
      assert.ok(['migrated', 'switched-unfinished'].includes(result.outcome), result.outcome)
      assert.ok(warned(driver, 'switch.by_others'))
      assert.equal(envOf(simulation.source), 'reconfig*all')
      assert.ok(!driver.events.some((event) => event.type === 'effect' && event.effect.kind === 'lift-deny'))
      if (result.outcome === 'migrated') return
      const again = await simulation.run(simulation.migrate().result)
      assert.equal(again.outcome, 'migrated', again.error?.message)
      assertClean(simulation)
    })

  it('by another operator, once nothing ships any more: it goes on to its end', async () => {
    await open()
    const driver = simulation.migrate({onEvent: after('pause-duplication', switchByHand)})
    const result = await simulation.run(driver.result)
    assert.deepEqual([result.outcome, result.error], ['migrated', undefined])
    assert.ok(warned(driver, 'switch.by_others'))
    await assertServes(simulation, 'target')
    assertClean(simulation)
  })

  it('by another operator, to neither side: writes are allowed again', async () => {
    await open()
    const driver = simulation.migrate({
      onEvent: after('deny', () => simulation.zookeeper.put(NODE, formatNodeData('elsewhere', ['10.0.0.1:34601']))),
    })
    const result = await simulation.run(driver.result)
    assert.deepEqual([result.outcome, result.error?.code], ['stopped', 'switch.node_moved'])
    assert.equal(envOf(simulation.source), undefined)
  })

  it('lifts without ZooKeeper when its own switch was never sent', async () => {
    await open()
    const driver = simulation.migrate({
      onEvent: after('deny', () => {
        simulation.zookeeper.down = true
        driver.signal.abort(new MigratorError('ui.signal', 'stopped by SIGINT'))
      }),
    })
    await simulation.until('the lift', () => envOf(simulation.source) === undefined, 10_000)
    simulation.zookeeper.down = false
    assert.equal((await simulation.run(driver.result)).outcome, 'stopped')
  })

  it('by this run, whose answer was lost: it goes on to its end by itself', async () => {
    await open()
    const driver = simulation.migrate({
      wrapEffects: (live) => ({
        perform(effect, signal) {
          if (effect.kind === 'switch-node') {
            simulation.sessionFault = (operation) => {
              if (operation !== 'commit') return undefined
              simulation.sessionFault = undefined
              simulation.clock.setTimer(2, () => {
                simulation.zookeeper.down = true
              })
              simulation.clock.setTimer(40_000, () => {
                simulation.zookeeper.down = false
              })
              return 'cut-after'
            }
          }

          return live.perform(effect, signal)
        },
      }),
    })
    const result = await simulation.run(driver.result)
    assert.deepEqual([result.outcome, result.error], ['migrated', undefined])
    assert.ok(warned(driver, 'switch.turned_out'))
    await assertServes(simulation, 'target')
    assertClean(simulation)
  })

  it('is not believed of an operator who thought until somebody took the deny back', async () => {
    await open({root: false})
    const driver = simulation.migrate({
      onEvent(event) {
        if (event.type === 'phase-started' && event.phase === 'switch')
          simulation.source.table(TABLE).info.envs.delete('replica.deny_client_request')
      },
    })
    const result = await simulation.run(driver.result)
    assert.deepEqual([result.outcome, result.error?.code], ['stopped', 'deny.taken_back'])
    await assertServes(simulation, 'source')
  })

  it('leaves a table writable whose duplication cannot be let go on, and says that it is paused', async () => {
    await open()
    const driver = simulation.migrate({
      onEvent: after('pause-duplication', () =>
        driver.signal.abort(new MigratorError('ui.signal', 'stopped by SIGINT')),
      ),
      wrapEffects: (live) => ({
        perform: (effect, signal) =>
          effect.kind === 'resume-duplication'
            ? Promise.reject(new MigratorError('meta.error', 'refused', {facts: {err: 'ERR_INVALID_PARAMETERS'}}))
            : live.perform(effect, signal),
      }),
    })
    const result = await simulation.run(driver.result)
    assert.equal(result.outcome, 'stopped')
    assert.ok(
      result.warnings.some((text) => /still paused.*same command again/.test(text)),
      result.warnings.join('\n'),
    )
    assert.deepEqual(statusOf(), ['DS_PAUSE'])
    await assertServes(simulation, 'source')
    assert.equal((await simulation.run(simulation.migrate().result)).outcome, 'migrated')
    await assertServes(simulation, 'target')
  })
})
