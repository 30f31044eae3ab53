import assert from 'node:assert/strict'

import {assertServes} from '../simulation/judge.js'
import {ROOT, Simulation} from '../simulation/simulation.js'
import {type EffectFault, Tap} from '../simulation/tap.js'
import {killMoments, nameOf} from './matrix.js'
import {migrations, record} from './scenarios.js'

/* The guard is hit too, and a second machine, without the journal, works on the table. */

const CASE_LIMIT_MS = 60_000
/** Effects of a guard that takes a paused cutover back, in their order. */
const GUARD_EFFECTS = ['take-commit-away', 'resume-duplication', 'lift-deny', 'set-server-config'] as const
const FAULTS: EffectFault[] = ['kill-before', 'kill-after', 'error', 'silence', 'lost-answer', 'cut-after']
const scenario = migrations.find(({options}) => options.profile === '2.5' && options.root)!

async function killedAfter(simulation: Simulation, index: number): Promise<void> {
  const tap = new Tap(simulation, (nth) => (nth === index ? 'kill-after' : undefined))
  const {life} = simulation.migrate({wrapEffects: (live, owner) => tap.wrap(live, owner)})
  await simulation.until('the death of the driver', () => !life.isAlive)
}

const {effects, ...recording} = await record(scenario)
const pause = effects.findIndex(({kind}) => kind === 'pause-duplication')

describe('the driver is dead, and its guard is hit', function () {
  this.timeout(CASE_LIMIT_MS)

  for (const kind of GUARD_EFFECTS) {
    for (const fault of FAULTS) {
      it(`${fault} ${kind}, then the same migration`, async () => {
        const simulation = await Simulation.open(scenario.options)
        try {
          let struck = false
          simulation.wrapGuardEffects = (live, life) => {
            const tap = new Tap(simulation, (_, effect) => {
              if (struck || effect.kind !== kind) return undefined
              struck = true
              return fault
            })
            return tap.wrap(live, life)
          }

          await killedAfter(simulation, pause)
          await simulation.guardsEnd()
          assert.ok(struck, 'the moment never came')
          for (const {error} of simulation.guards) assert.equal(error, undefined, 'the guard failed')
          if (!fault.startsWith('kill')) await assertServes(simulation, 'source')
          const result = await simulation.run(simulation.migrate().result)
          assert.equal(result.outcome, 'migrated', JSON.stringify(result.error))
          await assertServes(simulation, 'target')
        } finally {
          await simulation.stop()
        }
      })
    }
  }
})

describe('the driver is dead, and another machine without its journal rolls back', function () {
  this.timeout(CASE_LIMIT_MS)
  const moments = killMoments({effects, ...recording}).filter(
    (moment) => 'index' in moment && moment.fault === 'kill-after',
  )
  for (const moment of moments) {
    if (!('index' in moment)) continue
    for (const guard of [true, false]) {
      it(`${nameOf(moment)}, ${guard ? 'its guard at work' : 'without a guard'}`, async () => {
        const simulation = await Simulation.open({...scenario.options, guard})
        try {
          await killedAfter(simulation, moment.index)
          const there = simulation.machine('there')
          const {result} = simulation.rollback(
            {machine: there},
            {
              adopt: true,
              briefDeny: true,
              targetCluster: simulation.target.name,
              targetMetas: simulation.target.metas,
              zooKeeperHosts: 'zookeeper:2181',
              zooKeeperRoot: ROOT,
            },
          )
          const {error, outcome} = await simulation.run(result)
          await simulation.guardsEnd()
          // Handed over: clients have written there by now.
          if (outcome === 'refused' || outcome === 'stopped') {
            assert.ok(['rollback.both_open', 'rollback.would_lose'].includes(error!.code), JSON.stringify(error))
            await assertServes(simulation, 'target')
            return
          }

          assert.deepEqual([outcome, error], ['rolled-back', undefined])
          await assertServes(simulation, 'source')
        } finally {
          await simulation.stop()
        }
      })
    }
  }
})
