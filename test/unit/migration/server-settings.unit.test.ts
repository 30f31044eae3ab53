import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {
  BATCH_BYTES,
  batchingServers,
  describeBack,
  ensureNoBatching,
  ensureSteady,
  hostingServers,
  keepOrder,
  levelName,
  onEach,
  ownValues,
  rememberSetting,
  sameSetting,
} from '../../../src/lib/migration/settings.js'
import {MetaFunctionLevel} from '../../../src/lib/rpc/structs/cluster.js'
import {FIRST, SECOND, ScriptedMigration} from '../../support/scripted-migration.js'
import {endsDuring, keepSettings, lowered, steady, unbatched} from '../../support/scripted-settings.js'

const THIRD = '10.0.0.3:34801'
const lost = () => new MigratorError('rpc.timeout', 'no answer')

/** Servers of the source ship in batches of so many bytes. */
function batching(...servers: [address: string, bytes: string][]): ScriptedMigration {
  const script = new ScriptedMigration()
  for (const [address, bytes] of servers) script.source.config.set(`${address} ${BATCH_BYTES}`, bytes)
  keepSettings(script)
  return script
}

describe('settings of servers', () => {
  it('are those that host a replica, each once, in order', async () => {
    const script = new ScriptedMigration()
    script.source.primaries = [SECOND, null, FIRST]
    script.source.secondaries = [[THIRD, FIRST], [THIRD]]
    assert.deepEqual(await script.run(hostingServers(script.context)), [FIRST, SECOND, THIRD])
  })

  it('are asked for by the signal that is given, or the own one', async () => {
    const script = new ScriptedMigration()
    script.abort.abort(new Error('Ctrl-C'))
    await assert.rejects(script.run(hostingServers(script.context)), /Ctrl-C/)
    assert.deepEqual(await script.run(hostingServers(script.context, script.forward.signal)), [FIRST, SECOND])
  })

  it('are left alone by the operator who leaves', async () => {
    const batch = new ScriptedMigration()
    await endsDuring(batch, `source config ${FIRST} ${BATCH_BYTES}`, () => ensureNoBatching(batch.context))
    const level = new ScriptedMigration()
    await endsDuring(level, 'source metaLevel', () => ensureSteady(level.context))
    assert.deepEqual([batch.performed, level.performed], [[], []])
  })

  it('are these, with these values', () => {
    assert.deepEqual(
      [...ownValues],
      [
        ['duplicate_log_batch_bytes', '0'],
        ['config_sync_interval_ms', '1000'],
      ],
    )
  })

  it('are the same where place and name are', () => {
    assert.ok(sameSetting(lowered(), lowered(FIRST, {before: '1', value: '2'})))
    assert.ok(!sameSetting(lowered(), lowered(SECOND)))
    assert.ok(!sameSetting(lowered(), unbatched()))
    assert.ok(!sameSetting(lowered(), lowered(FIRST, {side: 'target'})))
    assert.ok(sameSetting(steady, {...steady, before: 'blind', level: 'freezed'}))
    assert.ok(!sameSetting(steady, {...steady, side: 'target'}))
    assert.ok(!sameSetting(steady, lowered()))
    assert.ok(!sameSetting(lowered(), steady))
    const pause = {dupid: 7, kind: 'pause-duplication'} as const
    assert.ok(!sameSetting(pause, pause))
  })

  it('are kept as they were before the first change', () => {
    const {context} = new ScriptedMigration()
    for (const effect of [lowered(), unbatched(), lowered(FIRST, {before: '1000'}), steady, steady])
      rememberSetting(context, effect)
    assert.deepEqual(context.hints.settings, [lowered(), unbatched(), steady])
  })

  it('are put back in these words', () => {
    assert.equal(describeBack(lowered()), `config_sync_interval_ms back to 30000 on ${FIRST}`)
    assert.equal(describeBack(steady), 'meta level of the source back to lively')
    assert.equal(describeBack({dupid: 7, kind: 'pause-duplication'}), 'pause-duplication')
  })
})

describe('shipping in batches', () => {
  it('is ended on every server that does it', async () => {
    const script = batching([FIRST, '4096'], [THIRD, '1'])
    script.source.secondaries = [[THIRD]]
    assert.deepEqual(await script.run(ensureNoBatching(script.context)), [FIRST, THIRD])
    assert.deepEqual(script.performed, [unbatched(FIRST), unbatched(THIRD, {before: '1'})])
    assert.deepEqual(script.context.hints.settings, script.performed)
    assert.deepEqual(await script.run(ensureNoBatching(script.context)), [])
    assert.equal(script.performed.length, 2)
  })

  it('is taken for done by a server that does not tell', async () => {
    const script = batching()
    script.source.config.delete(BATCH_BYTES)
    assert.deepEqual(await script.run(ensureNoBatching(script.context)), [FIRST, SECOND])
    assert.deepEqual(script.performed, [unbatched(FIRST, {before: ''}), unbatched(SECOND, {before: ''})])
  })

  it('is remembered before it is ended, and ended on the others where one fails', async () => {
    const script = batching([FIRST, '4096'], [SECOND, '8192'])
    script.onEffect = (effect) => {
      assert.ok(script.context.hints.settings.includes(effect))
      if (effect.kind === 'set-server-config' && effect.server === FIRST) throw lost()
    }

    await assert.rejects(script.run(ensureNoBatching(script.context)), /no answer/)
    assert.deepEqual(script.context.hints.settings, [unbatched(FIRST), unbatched(SECOND, {before: '8192'})])
    assert.deepEqual(script.performed, [unbatched(SECOND, {before: '8192'})])
  })

  it('is found on those of the servers that are asked', async () => {
    const script = batching([FIRST, '4096'], [THIRD, '1'])
    assert.deepEqual(await script.run(batchingServers(script.context, [SECOND, THIRD])), [THIRD])
    assert.deepEqual(script.performed, [])
  })

  it('brings the order into doubt while the duplication ships', async () => {
    const script = batching([SECOND, '4096'], [FIRST, '4096'])
    assert.deepEqual(await script.run(keepOrder(script.context)), [FIRST, SECOND])
    const reason = `duplicate_log_batch_bytes was not 0 on ${FIRST}, ${SECOND} for a while`
    assert.equal(script.state.fullVerifyBecause, reason)
    assert.deepEqual(script.events, [
      {code: 'batching.returned', message: `${reason}; all rows will be compared`, type: 'warning'},
    ])
  })

  it('brings nothing into doubt where nobody does', async () => {
    const script = batching()
    assert.deepEqual(await script.run(keepOrder(script.context)), [])
    assert.deepEqual([script.state.fullVerifyBecause, script.events, script.performed], [undefined, [], []])
  })
})

describe("the source's balancer", () => {
  it('is stopped while it may move primaries, and remembered before', async () => {
    const script = new ScriptedMigration()
    keepSettings(script)
    script.source.metaLevel = MetaFunctionLevel.fl_lively
    script.failing('source metaLevel', 0, lost())
    script.onEffect = () => assert.deepEqual(script.context.hints.settings, [steady])
    await script.run(ensureSteady(script.context))
    assert.deepEqual(script.performed, [steady])
    await script.run(ensureSteady(script.context))
    assert.equal(script.performed.length, 1)
  })

  it('is left as it is on every other level', async () => {
    for (const level of ['stopped', 'blind', 'freezed', 'steady'] as const) {
      const script = new ScriptedMigration()
      script.source.metaLevel = MetaFunctionLevel[`fl_${level}`]
      await script.run(ensureSteady(script.context))
      assert.deepEqual([script.performed, script.context.hints.settings], [[], []], level)
    }
  })

  it('has levels with names', () => {
    assert.equal(levelName(MetaFunctionLevel.fl_lively), 'lively')
    assert.equal(levelName(7 as MetaFunctionLevel), '7')
    assert.equal(levelName('xfl_y' as never), 'xfl_y')
  })
})

describe('the same on each of several', () => {
  it('is done on all at once, and fails with the first failure when all have ended', async () => {
    const script = new ScriptedMigration()
    const ended: string[] = []
    const after = (ms: number, name: string) =>
      new Promise<void>((resolve, reject) => {
        script.clock.setTimer(ms, () => {
          ended.push(name)
          if (name.startsWith('bad')) reject(new Error(name))
          else resolve()
        })
      })
    const works = [
      [10, 'good'],
      [30, 'bad, later'],
      [20, 'bad, sooner'],
      [40, 'last'],
    ] as const
    await assert.rejects(script.run(onEach(works, ([ms, name]) => after(ms, name))), /^Error: bad, later$/)
    assert.deepEqual(ended, ['good', 'bad, sooner', 'bad, later', 'last'])
    assert.equal(script.clock.nowMs(), 40)
    await script.run(onEach(works.slice(0, 1), ([ms, name]) => after(ms, name)))
  })

  it('is in doubt also where the answer to what mends it was lost', async () => {
    const script = batching([FIRST, '4096'])
    const {afterEffect} = script
    script.afterEffect = (effect) => {
      afterEffect(effect)
      throw lost()
    }

    await assert.rejects(script.run(keepOrder(script.context)), /no answer/)
    await script.run(keepOrder(script.context))
    assert.match(script.state.fullVerifyBecause!, /was not 0 on/)
  })
})
