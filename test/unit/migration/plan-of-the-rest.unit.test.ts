import assert from 'node:assert/strict'

import type {EffectKind} from '../../../src/lib/migration/effects.js'
import {Simulation} from '../../simulation/simulation.js'
import {Tap} from '../../simulation/tap.js'

describe('what is told to be done when a run goes on', () => {
  let simulation: Simulation

  afterEach(() => simulation?.stop())

  /** @param kind behind which the first run dies */
  async function planAfter(kind?: EffectKind): Promise<string[]> {
    simulation = await Simulation.open({guard: false})
    if (kind !== undefined) {
      const tap = new Tap(simulation, (_, effect) => (effect.kind === kind ? 'kill-after' : undefined))
      const {life} = simulation.migrate({wrapEffects: (live, owner) => tap.wrap(live, owner)})
      await simulation.until('the death of the first run', () => !life.isAlive)
    }

    let plan: string[] = []
    const again = simulation.migrate({
      onPlan(effects) {
        plan = [...effects]
      },
    })
    assert.equal((await simulation.run(again.result)).outcome, 'migrated')
    return plan
  }

  const about = (plan: string[], ...words: RegExp[]) => words.map((word) => plan.some((line) => word.test(line)))
  const [add, deny, lift, node, remove] = [
    /^add a dup/,
    /denied from here/,
    /allowed again/,
    /^switch|^write.*node|node/,
    /^remove dup/,
  ]

  it('is everything at first', async () => {
    assert.deepEqual(about(await planAfter(), add, deny, lift, node, remove), [true, true, false, true, true])
  })

  it('leaves out the copy once it ships', async () => {
    assert.deepEqual(about(await planAfter('add-duplication'), add, deny, lift), [false, true, false])
  })

  it('begins with the lift where writes were left denied', async () => {
    const plan = await planAfter('deny')
    assert.deepEqual(about(plan, add, deny, lift, node, remove), [false, true, true, true, true])
    assert.match(plan[0]!, lift)
  })

  it('is only the end behind the switch', async () => {
    assert.deepEqual(about(await planAfter('switch-node'), add, deny, lift, node, remove), [
      false,
      false,
      false,
      false,
      true,
    ])
  })
})
