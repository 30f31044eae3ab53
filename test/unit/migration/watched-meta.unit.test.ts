import assert from 'node:assert/strict'

import {sleep} from '../../../src/lib/clock.js'
import {MigratorError} from '../../../src/lib/errors.js'
import {
  believeOldInterval,
  lowerSyncInterval,
  restoreSyncInterval,
  restSyncInterval,
  watchMeta,
  whileWatchingMeta,
} from '../../../src/lib/migration/fast-cutover.js'
import {FIRST, SECOND, ScriptedMigration} from '../../support/scripted-migration.js'
import {keepSettings, lowered, steady, takes, unbatched} from '../../support/scripted-settings.js'

const why = new Error('Ctrl-C')
const lost = () => new MigratorError('rpc.timeout', 'no answer')
const back = (server: string) => lowered(server, {before: '1000', value: '30000'})
const taken = [back(FIRST), back(SECOND)]

/** Its servers' intervals were lowered and count already; the meta answered in so many ms before. */
function short(metaMs = 10): ScriptedMigration {
  const script = new ScriptedMigration({fastCutover: 'auto'})
  const {context, source, state} = script
  for (const server of [FIRST, SECOND]) {
    context.hints.settings.push(unbatched(server), lowered(server))
    source.config.set(`${server} config_sync_interval_ms`, '1000')
  }

  const at = {loweredAtMs: 0, oldMs: 30_000}
  state.fast = {metaMs, servers: new Map([FIRST, SECOND].map((server) => [server, at]))}
  state.ticks = new Map()
  state.timers = {configSyncMs: 1000, groupCheckMs: 7000}
  keepSettings(script)
  return script
}

/** The old interval is back and believed, and nothing else was touched. */
function assertTakenBack({context, performed, state}: ScriptedMigration): void {
  assert.deepEqual(performed, taken)
  assert.deepEqual(context.hints.settings, [unbatched(FIRST), unbatched(SECOND)])
  assert.deepEqual([state.fast, state.ticks], [undefined, undefined])
  assert.deepEqual(state.timers, {configSyncMs: 30_000, groupCheckMs: 7000})
}

function assertShort({events, performed, state}: ScriptedMigration): void {
  assert.deepEqual([performed, events], [[], []])
  assert.equal(state.fast?.servers.size, 2)
  assert.equal(state.timers?.configSyncMs, 1000)
}

describe('a meta that answers slowly', () => {
  const watched = (script: ScriptedMigration) => script.run(watchMeta(script.context))

  it('gets the old interval back, for good', async () => {
    const script = short(12.4)
    takes(script, 'source info', 400, 120.4, 300)
    await watched(script)
    assertTakenBack(script)
    assert.equal(script.state.fastGivenUp, true)
    assert.equal(script.context.request.table, 'users')
    assert.deepEqual(script.events, [
      {
        code: 'fast-cutover.off',
        message: 'the meta leader answers in 120 ms instead of 12: the short config_sync_interval_ms is taken back',
        type: 'warning',
      },
    ])
  })

  it('is one that takes twice as long, and 50 ms', async () => {
    for (const [beforeMs, nowMs] of [
      [25, 50],
      [40, 80],
      [1, 50],
    ] as const) {
      const script = short(beforeMs)
      takes(script, 'source info', nowMs)
      await watched(script)
      assertTakenBack(script)
    }

    for (const [beforeMs, nowMs] of [
      [1, 49],
      [26, 51],
      [40, 79],
    ] as const) {
      const script = short(beforeMs)
      takes(script, 'source info', nowMs)
      await watched(script)
      assertShort(script)
      assert.equal(script.state.fastGivenUp, undefined)
    }
  })

  it('is not looked for where nothing was lowered', async () => {
    const script = short()
    script.state.fast = undefined
    await watched(script)
    assert.deepEqual([script.asked, script.events], [[], []])
  })

  it('has what is left on a server told, and put back later', async () => {
    const script = short()
    takes(script, 'source info', 100)
    script.failing(`source config ${FIRST} config_sync_interval_ms`, 1000, lost())
    await watched(script)
    assert.deepEqual(script.told, ['fast-cutover.off', 'setting.left'])
    assert.deepEqual(script.performed, [back(SECOND)])
    assert.deepEqual(script.context.hints.settings, [unbatched(FIRST), lowered(FIRST), unbatched(SECOND)])
    assert.equal(script.state.timers!.configSyncMs, 30_000)
  })
})

describe('an interval that may still count', () => {
  it('is the longest that there may be', () => {
    const script = new ScriptedMigration()
    const {state} = script
    const fast = (...oldMs: number[]) => ({
      metaMs: 1,
      servers: new Map(oldMs.map((ms, index) => [String(index), {loweredAtMs: 0, oldMs: ms}])),
    })
    state.timers = {configSyncMs: 2000, groupCheckMs: 7000}
    assert.equal(believeOldInterval(state, fast()), 1000)
    assert.equal(believeOldInterval(state, fast(500)), 1000)
    assert.deepEqual(state.timers, {configSyncMs: 2000, groupCheckMs: 7000})
    assert.equal(believeOldInterval(state, fast(5000, 9000, 3000)), 9000)
    assert.deepEqual(state.timers, {configSyncMs: 9000, groupCheckMs: 7000})
  })
})

describe('a rest of the short interval', () => {
  const rested = (script: ScriptedMigration) => script.run(restSyncInterval(script.context))

  it('puts the old one back, until it is shortened anew', async () => {
    const script = short()
    await rested(script)
    assertTakenBack(script)
    assert.deepEqual(script.events, [])
    assert.equal(script.state.fastGivenUp, undefined)
  })

  it('is nothing where nothing was lowered', async () => {
    const script = short()
    script.state.fast = undefined
    await rested(script)
    assert.deepEqual([script.asked, script.performed], [[], []])
    assert.equal(script.state.timers?.configSyncMs, 1000)
  })

  it('ends with the operator who leaves, before it believes that it is done', async () => {
    const script = short()
    script.onEffect = () => {
      script.abort.abort(why)
      throw lost()
    }

    await assert.rejects(rested(script), why)
    assert.notEqual(script.state.fast, undefined)
    assert.equal(script.state.timers!.configSyncMs, 30_000)
  })
})

describe('putting the config sync back', () => {
  it('leaves every other setting as it is', async () => {
    const script = short()
    script.context.hints.settings.push(steady)
    await script.run(restoreSyncInterval(script.context, script.forward.signal))
    assert.deepEqual(script.performed, taken)
    assert.deepEqual(script.context.hints.settings, [unbatched(FIRST), unbatched(SECOND), steady])
  })

  it('goes by the signal that it is given', async () => {
    const script = short()
    script.abort.abort(why)
    await script.run(restoreSyncInterval(script.context, script.forward.signal))
    script.context.hints.settings.push(lowered(FIRST))
    await assert.rejects(script.run(restoreSyncInterval(script.context, script.abort.signal)), why)
  })
})

describe('watching the meta while something else is done', () => {
  /** What is done takes so long. */
  const watching = async (script: ScriptedMigration, workMs: number, fails?: Error) => {
    const {clock, context} = script
    const work = sleep(clock, workMs, context.signal).then(() => {
      if (fails) throw fails
      return 'done'
    })
    return script.run(whileWatchingMeta(context, work))
  }

  const measured = ({asked}: ScriptedMigration) => asked.filter((question) => question === 'source info').length

  it('measures each 10 s, and no more when that is done', async () => {
    const script = short()
    assert.equal(await watching(script, 29_999), 'done')
    assert.equal(script.clock.nowMs(), 29_999)
    assert.equal(measured(script), 6)
    assertShort(script)
    await script.clock.advance(60_000)
    assert.equal(measured(script), 6)
  })

  it('takes the short interval back on the way', async () => {
    const script = short()
    takes(script, 'source info', 100)
    script.clock.setTimer(10_500, () => assertTakenBack(script))
    assert.equal(await watching(script, 60_000), 'done')
    assert.deepEqual(script.told, ['fast-cutover.off'])
    assert.equal(measured(script), 3)
  })

  it('finishes what it has begun to put back, without another answer of the meta', async () => {
    const script = short()
    takes(script, 'source info', 100)
    const {abort} = script
    script.onEffect = async () => {
      await sleep(script.clock, 5000)
      assert.equal(abort.signal.aborted, false)
    }

    assert.equal(await watching(script, 10_500), 'done')
    assert.equal(script.clock.nowMs(), 15_300)
    assertTakenBack(script)
  })

  it('leaves a measurement when that is done', async () => {
    const script = short()
    takes(script, 'source info', 3_000_000)
    assert.equal(await watching(script, 10_500), 'done')
    assert.equal(script.clock.nowMs(), 10_500)
    assertShort(script)
  })

  it('bears an answer that does not come, and asks again', async () => {
    const script = short()
    script.failing('source info', 2, lost())
    assert.equal(await watching(script, 35_000), 'done')
    assert.equal(measured(script), 1 + 1 + 3)
    assertShort(script)
  })

  it('tells what cannot pass once that is done', async () => {
    const script = short()
    const bug = new TypeError('a bug')
    script.failing('source info', 1, bug)
    await assert.rejects(watching(script, 35_000), bug)
    assert.equal(script.clock.nowMs(), 35_000)
    assert.equal(measured(script), 1)
  })

  it('hands on what that fails with', async () => {
    const script = short()
    const failure = new MigratorError('verify.differ', 'rows differ')
    await assert.rejects(watching(script, 15_000, failure), failure)
    await script.clock.advance(60_000)
    assert.equal(measured(script), 3)
  })

  it('ends with the operator who leaves', async () => {
    const script = short()
    script.clock.setTimer(15_000, () => script.abort.abort(why))
    await assert.rejects(watching(script, 35_000), why)
    assert.equal(script.clock.nowMs(), 15_000)
  })

  it('and is not tried again by the next cutover of this run', async () => {
    const script = new ScriptedMigration({fastCutover: 'auto'})
    script.source.config.set('config_sync_interval_ms', '30000')
    keepSettings(script)
    await script.run(lowerSyncInterval(script.context))
    takes(script, 'source info', 400)
    // A cutover has a context of its own.
    await script.run(watchMeta({...script.context}))
    await script.run(lowerSyncInterval(script.context))
    assert.equal(script.state.fast, undefined)
  })
})
