import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import type {Effect} from '../../../src/lib/migration/effects.js'
import {putSettingsBack, SYNC_INTERVAL} from '../../../src/lib/migration/settings.js'
import {MetaFunctionLevel} from '../../../src/lib/rpc/structs/cluster.js'
import {FIRST, SECOND, ScriptedMigration} from '../../support/scripted-migration.js'
import {endsDuring, keepSettings, lowered, steady, takes, unbatched} from '../../support/scripted-settings.js'

const why = new Error('Ctrl-C')
const lost = () => new MigratorError('rpc.timeout', 'no answer')
const AGAIN = 'Run the same command again, or set it by hand.'

/** These settings were changed, and are as they were changed to. */
function changed(...settings: Effect[]): ScriptedMigration {
  const script = new ScriptedMigration()
  const {context, source} = script
  context.hints.settings.push(...settings)
  source.metaLevel = MetaFunctionLevel.fl_steady
  for (const effect of settings)
    if (effect.kind === 'set-server-config') source.config.set(`${effect.server} ${effect.name}`, effect.value)
  keepSettings(script)
  return script
}

function putBack(script: ScriptedMigration, selected?: (effect: Effect) => boolean) {
  const {abort, context} = script
  return script.run(putSettingsBack(context, abort.signal, ...(selected ? [selected] : [])))
}

const failsFor = (script: ScriptedMigration, times: number, server = FIRST) =>
  script.failing(`source config ${server} ${SYNC_INTERVAL}`, times, lost())

describe('putting settings back', () => {
  it('sets what was there, tells the rest of the run, and forgets it', async () => {
    const script = changed(unbatched(), lowered(), steady)
    assert.deepEqual(await putBack(script), [])
    const done = [
      unbatched(FIRST, {before: '0', value: '4096'}),
      {...steady, before: 'steady', level: 'lively'},
      lowered(FIRST, {before: '1000', value: '30000'}),
    ]
    assert.equal(script.performed.length, 3)
    for (const effect of done)
      assert.ok(script.performed.some((other) => JSON.stringify(other) === JSON.stringify(effect)))
    assert.deepEqual(script.state.settingsPutBack, [
      `duplicate_log_batch_bytes back to 4096 on ${FIRST}`,
      `config_sync_interval_ms back to 30000 on ${FIRST}`,
      'meta level of the source back to lively',
    ])
    assert.deepEqual([script.context.hints.settings, script.events], [[], []])
  })

  it('is of what is selected; the rest stays remembered', async () => {
    const script = changed(unbatched(), lowered(), lowered(SECOND))
    const {settings} = script.context.hints
    await putBack(script, (effect) => effect.kind === 'set-server-config' && effect.server === FIRST)
    assert.equal(script.performed.length, 2)
    assert.deepEqual(settings, [lowered(SECOND)])
    assert.equal(script.context.hints.settings, settings)
  })

  it('sets nothing where it is as it was, or where nobody knows what it was', async () => {
    const script = changed(lowered(), unbatched(SECOND, {before: ''}), steady)
    script.source.config.set(`${FIRST} ${SYNC_INTERVAL}`, '30000')
    script.source.metaLevel = MetaFunctionLevel.fl_lively
    assert.deepEqual(await putBack(script), [])
    assert.deepEqual([script.performed, script.context.hints.settings], [[], []])
  })

  it('writes down that a server did not tell what it had', async () => {
    const script = changed(lowered())
    script.source.config.delete(`${FIRST} ${SYNC_INTERVAL}`)
    await putBack(script)
    assert.deepEqual(script.performed, [lowered(FIRST, {before: '', value: '30000'})])
  })

  it('asks the side on which it was changed', async () => {
    const script = changed(lowered(FIRST, {side: 'target'}), {...steady, side: 'target'})
    script.target.config.set(SYNC_INTERVAL, '1000')
    script.target.metaLevel = MetaFunctionLevel.fl_steady
    await putBack(script)
    assert.deepEqual(script.asked.sort(), [`target config ${FIRST} ${SYNC_INTERVAL}`, 'target metaLevel'])
    assert.equal(script.performed.length, 2)
  })

  it('knows of nothing else to put back', async () => {
    const script = changed({dupid: 7, kind: 'pause-duplication'})
    assert.deepEqual(await putBack(script), [])
    assert.deepEqual([script.performed, script.asked], [[], []])
  })

  it('is one by one on each server, and on all servers at once', async () => {
    const script = changed(unbatched(), lowered(), lowered(SECOND))
    for (const effect of [unbatched(), lowered(), lowered(SECOND)])
      takes(script, `source config ${effect.server} ${effect.name}`, 500)
    await putBack(script)
    assert.equal(script.clock.nowMs(), 1000)
    assert.deepEqual(
      script.performed.map((effect) => effect.kind === 'set-server-config' && [effect.server, effect.name]).slice(-1),
      [[FIRST, SYNC_INTERVAL]],
    )
  })

  it('waits for a server that does not answer, for 20 s', async () => {
    const script = changed(lowered())
    failsFor(script, 11)
    assert.deepEqual(await putBack(script), [])
    assert.equal(script.clock.nowMs(), 22_000)
    assert.equal(script.performed.length, 1)
    assert.deepEqual(script.events, [])
  })

  it('tells what it must leave, once, and does the others all the same', async () => {
    const script = changed(lowered(), lowered(SECOND))
    failsFor(script, 12)
    assert.deepEqual(await putBack(script), [lowered()])
    assert.equal(script.clock.nowMs(), 22_000)
    assert.deepEqual(script.events, [
      {
        code: 'setting.left',
        message: `config_sync_interval_ms back to 30000 on ${FIRST} could not be done: no answer. ${AGAIN}`,
        type: 'warning',
      },
    ])
    assert.deepEqual(script.state.settingsPutBack, [`config_sync_interval_ms back to 30000 on ${SECOND}`])
    assert.deepEqual(script.context.hints.settings, [lowered()])
  })

  it('leaves what a server that is down has lost; it stays remembered', async () => {
    const script = changed(lowered(SECOND), steady)
    script.source.dead.add(SECOND)
    failsFor(script, 1000, SECOND)
    assert.deepEqual(await putBack(script), [])
    assert.deepEqual(script.words, [
      `config_sync_interval_ms back to 30000 on ${SECOND} could not be done: no answer. The meta says that ${SECOND} is down: when it is started again it has what its configuration file says, and nothing is left to do. Only if it was cut off and comes back without a restart, run the same command again.`,
    ])
    assert.deepEqual(script.context.hints.settings, [lowered(SECOND)])
    assert.deepEqual(script.state.settingsPutBack, ['meta level of the source back to lively'])
  })

  it('takes no server for down that only another one is, or that the meta does not know', async () => {
    const other = changed(lowered())
    other.source.dead.add(SECOND)
    failsFor(other, 1000)
    assert.deepEqual(await putBack(other), [lowered()])
    const unknown = changed(lowered('10.0.0.3:34801'))
    failsFor(unknown, 1000, '10.0.0.3:34801')
    assert.deepEqual(await putBack(unknown), [lowered('10.0.0.3:34801')])
    assert.match(unknown.words[0]!, /no answer\. Run the same command again, or set it by hand\.$/)
  })

  it('does not know who is down where the meta does not answer either', async () => {
    const script = changed(lowered())
    failsFor(script, 1000)
    script.failing('source nodes', 1, lost())
    assert.deepEqual(await putBack(script), [lowered()])
    assert.match(script.words[0]!, /Run the same command again, or set it by hand\.$/)

    const broken = changed(lowered())
    const bug = new TypeError('a bug')
    failsFor(broken, 1000)
    broken.failing('source nodes', 1, bug)
    await assert.rejects(putBack(broken), bug)
  })

  it('takes a meta level that cannot be set for no matter of one server', async () => {
    const script = changed(steady)
    script.failing('source metaLevel', 1000, lost())
    assert.deepEqual(await putBack(script), [steady])
    assert.deepEqual(script.words, [`meta level of the source back to lively could not be done: no answer. ${AGAIN}`])
    assert.ok(!script.asked.includes('source nodes'))
  })

  it('needs a target that is known', async () => {
    const script = changed(lowered(FIRST, {side: 'target'}), {...steady, side: 'target'})
    const context = {...script.context, target: undefined}
    assert.equal((await script.run(putSettingsBack(context, script.abort.signal))).length, 2)
    assert.ok(
      script.words.every((text) => text.endsWith(`could not be done: the target cluster is not known. ${AGAIN}`)),
    )
  })

  it('ends at once with what cannot pass, when the others are done', async () => {
    const script = changed(lowered(), lowered(SECOND))
    const bug = new TypeError('a bug')
    script.failing(`source config ${FIRST} ${SYNC_INTERVAL}`, 1, bug)
    takes(script, `source config ${SECOND} ${SYNC_INTERVAL}`, 500)
    await assert.rejects(putBack(script), bug)
    assert.equal(script.clock.nowMs(), 500)
    assert.deepEqual(script.performed, [lowered(SECOND, {before: '1000', value: '30000'})])
    assert.deepEqual(script.events, [])
  })

  it('ends with the operator who leaves: in a pause, in an answer, in a look at the nodes', async () => {
    const inPause = changed(lowered())
    failsFor(inPause, 1000)
    inPause.clock.setTimer(3000, () => inPause.abort.abort(why))
    await assert.rejects(putBack(inPause), why)
    assert.deepEqual([inPause.clock.nowMs(), inPause.events], [3000, []])

    for (const question of [`config ${FIRST} ${SYNC_INTERVAL}`, 'nodes']) {
      const script = changed(lowered())
      if (question === 'nodes') failsFor(script, 1000)
      const {onAsk} = script
      script.onAsk = async (asked) => {
        await onAsk(asked)
        if (asked !== `source ${question}`) return
        script.abort.abort(why)
        throw lost()
      }

      await assert.rejects(putBack(script), why, question)
      assert.deepEqual(script.events, [])
    }
  })

  it('ends in the middle of an answer when the operator leaves', async () => {
    for (const question of [`source config ${FIRST} ${SYNC_INTERVAL}`, 'source metaLevel', 'source nodes']) {
      const script = changed(lowered(), steady)
      if (question === 'source nodes') failsFor(script, 1000)
      await endsDuring(script, question, () => putSettingsBack(script.context, script.abort.signal))
      assert.deepEqual(script.events, [])
    }
  })
})
