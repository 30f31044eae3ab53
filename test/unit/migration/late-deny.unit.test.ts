import assert from 'node:assert/strict'

import {DENY_ENV} from '../../sandbox/replica/deny.js'
import {Simulation, TABLE} from '../../simulation/simulation.js'

/** A run that dies right after it has sent its deny, which a slow meta carries out later. */
async function dieDenying(simulation: Simulation, lateMs: number): Promise<void> {
  let dead = false
  const driver = simulation.migrate({
    onEvent(event, life) {
      if (dead || event.type !== 'effect' || event.effect.kind !== 'deny' || event.state !== 'begin') return
      dead = true
      simulation.source.delayCalls('RPC_CM_UPDATE_APP_ENV', lateMs)
      simulation.clock.setTimer(50, () => life.kill())
    },
  })
  driver.result.catch(() => {})
  await simulation.run(
    (async () => {
      while (driver.life.isAlive) await simulation.sleep(100)
    })(),
  )
}

const denyOf = ({source}: Simulation) => source.table(TABLE).info.envs.get(DENY_ENV)

describe('a deny that is still on its way when the next command begins', function () {
  this.timeout(60_000)
  let simulation: Simulation

  afterEach(() => simulation?.stop())

  it('is waited for and taken off by a rollback', async () => {
    simulation = await Simulation.open({guard: false, load: false})
    // The lock of the dead run is given up after some 10 s.
    await dieDenying(simulation, 13_000)
    assert.equal(denyOf(simulation), undefined)
    const {outcome, steps} = await simulation.run(simulation.rollback().result)
    assert.equal(outcome, 'rolled-back')
    assert.match(steps[0]!.summary, /still on its way came, and was taken off/)
    await simulation.run(simulation.sleep(20_000))
    assert.equal(denyOf(simulation), undefined)
  })

  it('is not left standing by a migration while it prepares', async () => {
    simulation = await Simulation.open({guard: false, load: false})
    await dieDenying(simulation, 13_000)
    const denies: (string | undefined)[] = []
    const driver = simulation.migrate({
      onEvent(event) {
        if (event.type === 'phase-started' && ['catch-up', 'verify'].includes(event.phase))
          denies.push(denyOf(simulation))
      },
    })
    const {outcome} = await simulation.run(driver.result)
    assert.equal(outcome, 'migrated')
    assert.deepEqual(denies, [undefined, undefined])
  })
})
