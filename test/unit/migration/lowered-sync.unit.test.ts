import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {fastCutoverObstacle, lowerSyncInterval, waitForShortSync} from '../../../src/lib/migration/fast-cutover.js'
import {SYNC_INTERVAL} from '../../../src/lib/migration/settings.js'
import {FIRST, SECOND, ScriptedMigration} from '../../support/scripted-migration.js'
import {endsDuring, keepSettings, lowered, steady, takes, unbatched} from '../../support/scripted-settings.js'

const THIRD = '10.0.0.3:34801'
const lost = () => new MigratorError('rpc.timeout', 'no answer')

/** Servers ask their meta each half a minute. */
function slow(fastCutover: 'auto' | 'off' | 'on' = 'auto'): ScriptedMigration {
  const script = new ScriptedMigration({fastCutover})
  script.source.config.set(SYNC_INTERVAL, '30000')
  keepSettings(script)
  return script
}

const lower = (script: ScriptedMigration) => script.run(lowerSyncInterval(script.context))
const askedFor = (script: ScriptedMigration, question: string) => script.asked.filter((asked) => asked === question)
const setOn = ({performed}: ScriptedMigration) =>
  performed.map((effect) => (effect.kind === 'set-server-config' ? effect.server : effect.kind))

describe('what keeps the config sync from being shortened', () => {
  const obstacle = (script: ScriptedMigration) => script.run(fastCutoverObstacle(script.context))

  it('is told', async () => {
    assert.equal(await obstacle(slow('off')), 'not wanted (--no-fast-cutover)')
    const old = slow()
    old.source.generation = '2.4'
    assert.equal(await obstacle(old), 'config_sync_interval_ms cannot be changed at run time on 2.4')
    old.source.generation = 'master'
    assert.equal(await obstacle(old), 'master answers ERR_OK to a new config_sync_interval_ms and changes nothing')
    const quick = slow()
    quick.state.timers = {configSyncMs: 1000, groupCheckMs: 10_000}
    assert.equal(await obstacle(quick), 'config_sync_interval_ms is 1000 ms or less already')
    quick.state.timers = {configSyncMs: 1001, groupCheckMs: 10_000}
    assert.equal(await obstacle(quick), undefined)
    assert.deepEqual(old.asked, [])
  })

  it('is not what this migration has set itself, but no other setting tells', async () => {
    const script = slow()
    script.state.timers = {configSyncMs: 1000, groupCheckMs: 10_000}
    script.context.hints.settings.push(unbatched(), steady)
    assert.equal(await obstacle(script), 'config_sync_interval_ms is 1000 ms or less already')
    script.context.hints.settings.push(lowered())
    assert.equal(await obstacle(script), undefined)
  })

  it('is the number of replicas, unless it is wanted all the same', async () => {
    const many = (count: number) => Array.from({length: count}, () => ({appId: 9, durable: 1, partitionIndex: 0}))
    const script = slow()
    delete script.context.request.fastCutover
    script.source.otherReplicas = many(2499)
    assert.equal(await obstacle(script), undefined)
    script.source.otherReplicas = many(2500)
    assert.equal(
      await obstacle(script),
      'the servers hold 5,002 replicas: too many for the meta each second (--fast-cutover does it all the same)',
    )
    const wanted = slow('on')
    wanted.source.otherReplicas = many(2500)
    assert.equal(await obstacle(wanted), undefined)
    assert.deepEqual(wanted.asked, [])
  })
})

describe('shortening the config sync', () => {
  it('is of every server that hosts the table, and measures the meta before', async () => {
    const script = slow()
    const {context, state} = script
    script.source.secondaries = [[SECOND], [THIRD]]
    takes(script, 'source info', 30, 10, 20)
    await lower(script)
    assert.deepEqual(script.performed, [lowered(FIRST), lowered(SECOND), lowered(THIRD)])
    assert.deepEqual(context.hints.settings, script.performed)
    const at = {loweredAtMs: 60, oldMs: 30_000}
    const servers = new Map([FIRST, SECOND, THIRD].map((server) => [server, at]))
    assert.deepEqual(state.fast, {metaMs: 10, servers})
    assert.equal(askedFor(script, 'source info').length, 3)
  })

  it('is nothing where something is in its way', async () => {
    const script = slow('off')
    await lower(script)
    assert.deepEqual([script.performed, script.asked, script.state.fast], [[], [], undefined])
  })

  it('gives servers new phases: what was known of their syncs is forgotten', async () => {
    const script = slow()
    const phase = {afterMs: 0, byMs: 100, startTime: 'today'}
    script.state.ticks = new Map([FIRST, THIRD].map((server) => [server, phase]))
    await lower(script)
    assert.deepEqual([...script.state.ticks.keys()], [THIRD])
  })

  it('leaves alone who has it, and does it again where a restart undid it', async () => {
    const script = slow()
    await lower(script)
    await script.clock.advance(20_000)
    await lower(script)
    assert.deepEqual(setOn(script), [FIRST, SECOND])
    assert.equal(askedFor(script, 'source info').length, 3)
    // It was configured anew, too: what it was before the migration comes back.
    script.source.config.set(`${SECOND} ${SYNC_INTERVAL}`, '15000')
    await lower(script)
    assert.deepEqual(script.performed.slice(2), [lowered(SECOND)])
    assert.deepEqual(
      [...script.state.fast!.servers].map(([server, {loweredAtMs}]) => [server, loweredAtMs]),
      [
        [FIRST, 0],
        [SECOND, 20_000],
      ],
    )
    assert.equal(script.context.hints.settings.length, 2)
  })

  it('follows the table: servers come and go', async () => {
    const script = slow()
    await lower(script)
    script.source.primaries = [FIRST, THIRD]
    await lower(script)
    assert.deepEqual(setOn(script), [FIRST, SECOND, THIRD])
    assert.deepEqual([...script.state.fast!.servers.keys()], [FIRST, THIRD])
    assert.equal(script.context.hints.settings.length, 3)
  })

  it('keeps the old interval where the answer was lost', async () => {
    const script = slow()
    const {afterEffect} = script
    script.afterEffect = (effect) => {
      afterEffect(effect)
      if (effect.kind === 'set-server-config' && effect.server === FIRST) throw lost()
    }

    await assert.rejects(lower(script), /no answer/)
    assert.deepEqual([...script.state.fast!.servers.keys()], [SECOND])
    await script.clock.advance(5000)
    await lower(script)
    assert.deepEqual(setOn(script), [FIRST, SECOND])
    assert.deepEqual(script.state.fast!.servers.get(FIRST), {loweredAtMs: 5000, oldMs: 30_000})
  })

  it('knows what an earlier run found of the same server and setting, and of no other', async () => {
    const script = slow()
    script.context.hints.settings.push(
      steady,
      unbatched(FIRST),
      lowered(FIRST, {before: '45000'}),
      unbatched(SECOND),
      lowered(THIRD, {before: '60000'}),
    )
    await lower(script)
    assert.deepEqual(script.performed, [lowered(FIRST, {before: '45000'}), lowered(SECOND)])
    assert.deepEqual(
      [...script.state.fast!.servers.values()].map(({oldMs}) => oldMs),
      [45_000, 30_000],
    )
  })

  it('takes what another machine set for what was there, and sets nothing', async () => {
    const script = slow()
    script.source.config.set(`${FIRST} ${SYNC_INTERVAL}`, '1000')
    await lower(script)
    assert.deepEqual(setOn(script), [SECOND])
    assert.deepEqual(script.state.fast!.servers.get(FIRST), {loweredAtMs: 0, oldMs: 1000})
    assert.deepEqual(script.context.hints.settings, [lowered(SECOND)])
  })

  it('ends in the middle of an answer when the operator leaves', async () => {
    for (const question of [`source replicas ${FIRST}`, `source config ${FIRST} ${SYNC_INTERVAL}`]) {
      const script = slow()
      await endsDuring(script, question, () => lowerSyncInterval(script.context))
    }
  })

  it('writes down nothing of a server that does not tell what it has', async () => {
    const script = slow()
    script.source.config.delete(SYNC_INTERVAL)
    await lower(script)
    assert.deepEqual(script.performed, [lowered(FIRST, {before: ''}), lowered(SECOND, {before: ''})])
  })
})

describe('waiting until the short config sync counts', () => {
  const waited = (script: ScriptedMigration) => script.run(waitForShortSync(script.context, script.report))
  const loweredTo = async (syncMs: number) => {
    const script = slow()
    script.source.config.set(SYNC_INTERVAL, String(syncMs))
    await lower(script)
    script.asked.length = 0
    return script
  }

  const shows = (script: ScriptedMigration, server: string, value: string) =>
    script.source.config.set(`${server} ${SYNC_INTERVAL}`, value)

  it('is nothing where it is not short', async () => {
    const script = slow()
    await waited(script)
    assert.deepEqual([script.asked, script.reports, script.state.fast], [[], [], undefined])
  })

  it('lets an old interval and a tick pass, and believes the old one until then', async () => {
    const script = await loweredTo(1500)
    script.state.timers = {configSyncMs: 1000, groupCheckMs: 7000}
    script.clock.setTimer(2999, () => {
      assert.deepEqual(script.state.timers, {configSyncMs: 1500, groupCheckMs: 7000})
    })
    await waited(script)
    assert.equal(script.clock.nowMs(), 3000)
    assert.deepEqual(script.state.timers, {configSyncMs: 1000, groupCheckMs: 7000})
    const still = {serverCount: 2, serversDone: 0, text: 'servers that hear of the deny within a second: 0 of 2'}
    const all = {serverCount: 2, serversDone: 2, text: 'servers that hear of the deny within a second: 2 of 2'}
    assert.deepEqual(script.reports, [still, still, still, all])
  })

  it('asks the servers each 10 s, and once more at the end', async () => {
    const script = await loweredTo(30_000)
    const atMs: number[] = []
    script.onAsk = (question) => {
      if (question === 'source configuration') atMs.push(script.clock.nowMs())
    }

    await waited(script)
    assert.deepEqual(atMs, [0, 10_000, 20_000, 30_000, 32_000])
    assert.equal(askedFor(script, `source config ${FIRST} ${SYNC_INTERVAL}`).length, 5)
  })

  it('counts each server from its own last start', async () => {
    const script = await loweredTo(30_000)
    script.clock.setTimer(15_000, () => shows(script, FIRST, '30000'))
    await waited(script)
    assert.equal(script.clock.nowMs(), 52_000)
    assert.deepEqual(
      script.reports.filter(({serversDone}) => serversDone === 1).map(({text}) => text)[0],
      'servers that hear of the deny within a second: 1 of 2',
    )
  })

  it('sees a restart right before its end', async () => {
    const script = await loweredTo(30_000)
    script.clock.setTimer(31_000, () => shows(script, FIRST, '30000'))
    await waited(script)
    assert.deepEqual(setOn(script), [FIRST, SECOND, FIRST])
    assert.equal(script.clock.nowMs(), 64_000)
    assert.deepEqual(script.told, [])
  })

  it('goes on without it where servers do not keep it, and goes by the old interval', async () => {
    const script = await loweredTo(30_000)
    for (const atMs of [25_000, 45_000]) {
      script.clock.setTimer(atMs, () => {
        shows(script, FIRST, '30000')
        shows(script, SECOND, '30000')
      })
    }

    await waited(script)
    assert.deepEqual(script.events, [
      {
        code: 'fast-cutover.off',
        message: `the cutover will be slower: shorter config sync on every server: not there after 1 min 6 s; last seen: ${FIRST}, ${SECOND} still follow the old interval`,
        type: 'warning',
      },
    ])
    assert.equal(script.clock.nowMs(), 66_000)
    assert.equal(script.state.timers!.configSyncMs, 30_000)
  })

  it('bears an answer that is lost', async () => {
    const script = await loweredTo(1500)
    script.failing('source configuration', 4, lost())
    await waited(script)
    assert.equal(script.clock.nowMs(), 4000)
    assert.deepEqual(script.told, [])
  })

  it('ends at once with what cannot pass, and with the operator who leaves', async () => {
    for (const error of [new TypeError('a bug'), new MigratorError('lock.lost', 'somebody else')]) {
      const script = await loweredTo(30_000)
      script.failing('source configuration', 1, error)
      await assert.rejects(waited(script), error)
      assert.deepEqual(script.events, [])
    }

    const script = await loweredTo(30_000)
    script.clock.setTimer(5500, () => script.abort.abort(new Error('Ctrl-C')))
    await assert.rejects(waited(script), /Ctrl-C/)
    assert.equal(script.clock.nowMs(), 5500)
    assert.equal(script.state.timers!.configSyncMs, 30_000)
  })

  it('counts by the longest interval also where a server that has it came meanwhile', async () => {
    const script = new ScriptedMigration({fastCutover: 'auto'})
    script.source.config.set(SYNC_INTERVAL, '30000')
    keepSettings(script)
    await script.run(lowerSyncInterval(script.context))
    script.source.config.set(`10.0.0.3:34801 ${SYNC_INTERVAL}`, '60000')
    script.clock.setTimer(15_000, () => {
      script.source.secondaries = [['10.0.0.3:34801']]
    })
    await script.run(waitForShortSync(script.context, script.report))
    assert.equal(script.state.timers!.configSyncMs, 60_000)
  })
})
