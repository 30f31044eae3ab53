import assert from 'node:assert/strict'

import type {MigrationContext} from '../../../src/lib/migration/context.js'
import {fastCutoverObstacle} from '../../../src/lib/migration/fast-cutover.js'
import type {MigrationRequest} from '../../../src/lib/migration/request.js'
import {SYNC_INTERVAL} from '../../../src/lib/migration/settings.js'
import {assertClean, assertServes, envOf} from '../../simulation/judge.js'
import {type Driver, Simulation} from '../../simulation/simulation.js'

/* The short config sync: where it is had, what ends it, and that nothing of it stays. */

const LOWERED = 1000

describe('whether the config sync is shortened', () => {
  interface Cluster {
    configSyncMs?: number
    fastCutover?: MigrationRequest['fastCutover']
    generation?: '2.4' | '2.5' | 'master'
    /** An earlier run's change that is not put back. */
    ours?: boolean
    /** On each of three servers. */
    replicas: [number, number, number]
  }

  function obstacle({configSyncMs = 30_000, fastCutover, generation = '2.5', ours, replicas}: Cluster) {
    const servers = replicas.map((count, index) => ({address: `10.0.0.${index + 1}:34801`, count}))
    const [first, second, third] = servers.map(({address}) => address)
    const effect = {before: '30000', kind: 'set-server-config', name: SYNC_INTERVAL, server: first, side: 'source'}
    const context = {
      hints: {settings: ours ? [{...effect, value: '1000'}] : []},
      request: {table: 'users', ...(fastCutover === undefined ? {} : {fastCutover})},
      signal: new AbortController().signal,
      source: {
        configuration: async () => ({partitions: [{primary: first, secondaries: [second, third]}]}),
        server: (address: string) => ({
          replicas: async () => Array.from({length: servers.find((server) => server.address === address)!.count}),
        }),
      },
      state: {facts: {source: {generation}}, timers: {configSyncMs, groupCheckMs: 10_000}},
    }
    return fastCutoverObstacle(context as unknown as MigrationContext)
  }

  it('is up to 5,000 replicas a second in all, and above that only when it is wanted', async () => {
    assert.equal(await obstacle({replicas: [2000, 2000, 1000]}), undefined)
    assert.match((await obstacle({replicas: [2000, 2000, 1001]}))!, /hold 5,001 replicas: too many/)
    assert.equal(await obstacle({fastCutover: 'on', replicas: [2000, 2000, 1001]}), undefined)
  })

  it('is not where it is not wanted, cannot be changed, or changes nothing', async () => {
    const replicas: Cluster['replicas'] = [1, 1, 1]
    assert.match((await obstacle({fastCutover: 'off', replicas}))!, /--no-fast-cutover/)
    assert.match((await obstacle({generation: '2.4', replicas}))!, /2\.4/)
    assert.match((await obstacle({generation: 'master', replicas}))!, /changes nothing/)
    assert.match((await obstacle({configSyncMs: LOWERED, replicas}))!, /or less already/)
    assert.equal(await obstacle({configSyncMs: LOWERED, ours: true, replicas}), undefined)
  })
})

describe('a config sync that was shortened', function () {
  this.timeout(60_000)
  let simulation: Simulation
  afterEach(() => simulation.stop())

  const intervals = () => simulation.source.servers.map(({config}) => config.number(SYNC_INTERVAL))
  const warnings = ({events}: Driver<unknown>) =>
    events.flatMap((event) => (event.type === 'warning' && event.code === 'fast-cutover.off' ? [event.message] : []))

  /** A migration whose source's meta leader answers so late from when the interval was lowered on. */
  async function withSlowMeta(lateMs: number) {
    simulation = await Simulation.open({guard: false})
    const before = intervals()
    let atDeny: number[] = []
    let slow = false
    const driver = simulation.migrate({
      onEvent(event) {
        if (event.type !== 'effect' || event.state !== 'done') return
        const {effect} = event
        if (effect.kind === 'deny') atDeny = intervals()
        if (slow || effect.kind !== 'set-server-config' || effect.name !== SYNC_INTERVAL) return
        slow = true
        simulation.source.faults.delayReplies('RPC_CM_CLUSTER_INFO', lateMs, {count: 10_000})
      },
    })
    const result = await simulation.run(driver.result)
    assert.ok(slow)
    assert.equal(result.outcome, 'migrated', result.error?.message)
    assert.deepEqual(intervals(), before)
    await assertServes(simulation, 'target')
    return {atDeny, before, driver}
  }

  it('is taken back when the meta leader answers twice as slowly, and the cutover is a slower one', async () => {
    const {atDeny, before, driver} = await withSlowMeta(400)
    assert.deepEqual(atDeny, before)
    assert.match(
      warnings(driver).join('\n'),
      /the meta leader answers in 40\d ms instead of \d+: the short .* is taken back/,
    )
    assert.equal(warnings(driver).length, 1)
  })

  it('stays where the meta leader answers quickly enough, whatever twice as slowly comes to', async () => {
    const {atDeny, driver} = await withSlowMeta(40)
    assert.deepEqual(atDeny, [LOWERED, LOWERED, LOWERED])
    assert.deepEqual(warnings(driver), [])
  })

  it('is taken back for that in the middle of a long comparison of rows, too', async () => {
    simulation = await Simulation.open({guard: false})
    const before = intervals()
    let taken: string | undefined
    let phase = ''
    const driver = simulation.migrate(
      {
        onEvent(event) {
          if (event.type === 'phase-started') phase = event.phase
          if (event.type === 'warning' && event.code === 'fast-cutover.off') taken = phase
          if (event.type !== 'phase-started' || event.phase !== 'verify') return
          simulation.source.faults.delayReplies('RPC_CM_CLUSTER_INFO', 400, {count: 10_000})
          for (const call of ['RPC_RRDB_RRDB_GET_SCANNER', 'RPC_RRDB_RRDB_SCAN'])
            simulation.target.faults.delayReplies(call, 4500, {count: 12})
        },
      },
      {verify: 'full'},
    )
    const result = await simulation.run(driver.result)
    assert.equal(result.outcome, 'migrated', result.error?.message)
    assert.equal(taken, 'verify')
    assert.deepEqual(intervals(), before)
    await assertServes(simulation, 'target')
  })

  /** kill -9 of the driver while the interval is short. */
  async function killed(during: 'catch-up' | 'drain', guard: boolean) {
    simulation = await Simulation.open({guard})
    const before = intervals()
    const driver = simulation.migrate({
      onEvent(event, life) {
        if (event.type === 'progress' && 'phase' in event && event.phase === during) life.kill()
      },
    })
    await simulation.until('the death of the driver', () => !driver.life.isAlive)
    assert.deepEqual(intervals(), [LOWERED, LOWERED, LOWERED])
    return before
  }

  it('is put back by the guard of a driver that was killed', async () => {
    const before = await killed('drain', true)
    await simulation.guardsEnd()
    assert.equal(envOf(simulation.source), undefined)
    assert.deepEqual(intervals(), before)
  })

  for (const during of ['catch-up', 'drain'] as const) {
    it(`is put back by the next run of a driver that was killed in ${during}`, async () => {
      const before = await killed(during, false)
      const result = await simulation.run(simulation.migrate().result)
      assert.equal(result.outcome, 'migrated', result.error?.message)
      assert.deepEqual(intervals(), before)
      await assertServes(simulation, 'target')
    })

    it(`is put back by a rollback of a driver that was killed in ${during}`, async () => {
      const before = await killed(during, false)
      const result = await simulation.run(simulation.rollback({}, {briefDeny: true}).result)
      assert.equal(result.outcome, 'rolled-back', result.error?.message)
      assert.deepEqual(intervals(), before)
      assertClean(simulation)
      await assertServes(simulation, 'source')
    })
  }
})
