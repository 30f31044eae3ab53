import assert from 'node:assert/strict'

import type {EffectKind} from '../../../src/lib/migration/effects.js'
import {assertServes, envOf} from '../../simulation/judge.js'
import {Simulation, type SimulationOptions} from '../../simulation/simulation.js'
import {Tap} from '../../simulation/tap.js'

describe('a return that is killed', function () {
  this.timeout(60_000)
  let simulation: Simulation

  afterEach(() => simulation?.stop())

  /** Migrated, and on the way back when it is killed just after an effect. */
  async function killedAfter(
    kind: EffectKind,
    {allowDataLoss = false, ...options}: SimulationOptions & {allowDataLoss?: boolean} = {},
  ) {
    simulation = await Simulation.open(options)
    assert.equal((await simulation.run(simulation.migrate().result)).outcome, 'migrated')
    await simulation.applicationsStop()
    simulation.copyBack()
    const tap = new Tap(simulation, (_, effect) => (effect.kind === kind ? 'kill-after' : undefined))
    const {life} = simulation.rollback({wrapEffects: (live, owner) => tap.wrap(live, owner)}, {allowDataLoss})
    await simulation.until(`the death after ${kind}`, () => !life.isAlive)
    await simulation.pass(12_000)
  }

  const statusOf = () => simulation.run(simulation.status())

  for (const allowDataLoss of [false, true]) {
    it(`after the switch back: status, migrate and rollback know whose write-deny it is${allowDataLoss ? ' (--allow-data-loss)' : ''}`, async () => {
      await killedAfter('switch-node-back', {allowDataLoss})
      const status = await statusOf()
      assert.equal(status.state, 'write-denied', status.because)
      assert.ok(status.next.command?.includes('table:migrate-rollback'))
      const refused = await simulation.run(simulation.migrate().result)
      assert.equal(refused.outcome, 'refused')
      assert.ok(
        refused.warnings.some((text) => text.includes('table:migrate-rollback -t users')),
        refused.warnings.join(),
      )
      const again = await simulation.run(simulation.rollback().result)
      assert.deepEqual([again.outcome, again.error], ['rolled-back', undefined])
      await assertServes(simulation, 'source')
      assert.equal((await statusOf()).state === 'write-denied', false)
    })
  }

  it('before the switch back: status names the command that opens a side again, and it does', async () => {
    await killedAfter('deny-target')
    const status = await statusOf()
    assert.equal(status.state, 'target-denied')
    assert.ok(status.next.command?.includes('table:migrate-rollback'), status.next.sentence)
    assert.equal((await simulation.run(simulation.rollback().result)).outcome, 'returned')
    await assertServes(simulation, 'source')
  })

  it('before the switch back, and then refused: the target is opened again', async () => {
    await killedAfter('deny-target')
    simulation.source.loadRows('users', [{hashKey: 'strange', value: 'row'}])
    const refused = await simulation.run(simulation.rollback().result)
    assert.deepEqual([refused.outcome, refused.error?.code], ['refused', 'rollback.would_lose'])
    assert.equal(envOf(simulation.target), undefined)
    assert.equal(envOf(simulation.source), 'reconfig*all')
    assert.equal((await statusOf()).state, 'migrated')
    assert.equal((await simulation.run(simulation.migrate().result)).outcome, 'migrated')
  })
})
