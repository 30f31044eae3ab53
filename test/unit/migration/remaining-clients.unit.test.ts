import assert from 'node:assert/strict'

import {probeRead} from '../../../src/lib/pegasus/probe.js'
import {PegasusClient} from '../../../src/lib/pegasus/client.js'
import {seededRandom} from '../../sandbox/index.js'
import {Simulation, TABLE} from '../../simulation/simulation.js'

describe('who still asks the source', function () {
  this.timeout(60_000)
  let simulation: Simulation
  afterEach(() => simulation?.stop())

  /** A migration during the end of which somebody goes on asking the source for one partition. */
  async function run(profile: '2.5' | 'master', asks: boolean) {
    simulation = await Simulation.open({load: false, profile})
    const {source} = simulation
    const life = simulation.machine('an application').begin()
    const client = new PegasusClient({clock: life.clock, random: seededRandom(7), transport: life.transport})
    const {appId} = source.table(TABLE).info
    const server = source.primaryOf(TABLE, 0)!
    let count = 0
    const ask = () => {
      if (!asks || !life.isAlive) return
      count++
      void probeRead(client.pool, server, {appId, partitionIndex: 0}, 2, {timeoutMs: 500}).catch(() => {})
      life.clock.setTimer(200, ask)
    }

    const driver = simulation.migrate({
      onEvent(event) {
        if (event.type === 'phase-started' && event.phase === 'finish') ask()
      },
    })
    const result = await simulation.run(driver.result)
    life.kill()
    assert.equal(result.outcome, 'migrated', result.error?.message)
    return {count, remaining: result.remainingClients!, server}
  }

  for (const profile of ['2.5', 'master'] as const) {
    it(`is told by the counters of its servers (${profile})`, async () => {
      const {count, remaining, server} = await run(profile, true)
      assert.ok(count > 10)
      const found = remaining.refused.find((one) => one.server === server)!
      assert.ok(found.reads > (profile === 'master' ? 5 : 0) && found.reads <= count, `${found.reads} of ${count}`)
      assert.equal(remaining.counted, profile === 'master' ? 'since-closed' : 'last-interval')
      assert.deepEqual(remaining.silent, [])
    })
  }

  it('is nobody when nobody asks (master), our own probes left out', async () => {
    const {remaining} = await run('master', false)
    assert.equal(remaining.mayBeOurs, false)
    assert.deepEqual(
      remaining.refused.map(({reads, writes}) => [reads, writes]),
      [
        [0, 0],
        [0, 0],
        [0, 0],
      ],
    )
  })

  it('says when a figure may hold our own probes (2.5)', async () => {
    const {remaining} = await run('2.5', false)
    const sinceClosed = remaining.refused.reduce((sum, {reads, writes}) => sum + reads + writes, 0)
    assert.ok(sinceClosed === 0 || remaining.mayBeOurs)
  })
})
