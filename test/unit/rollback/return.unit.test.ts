import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {ExitCode} from '../../../src/lib/exit-codes.js'
import {denyTarget, openSourceReads, switchBack} from '../../../src/lib/migration/rollback/return.js'
import {copy} from '../../support/rollback-view.js'
import {CLOSED, REFUSING, ScriptedReturn} from '../../support/scripted-return.js'

const passing = () => new MigratorError('meta.error', 'it may pass')
const targetWith = (deny: string) => ({cluster: 'b', metas: [], table: {...copy, deny, followerEnvs: {}}})

describe('a return opens the source’s reads', () => {
  it('and leaves its writes denied, proved on every primary', async () => {
    const scene = new ScriptedReturn()
    assert.equal(await scene.run(openSourceReads), 'its rows can be read; writes stay denied')
    assert.deepEqual(scene.script.performed, [{before: CLOSED, kind: 'open-source-reads', value: REFUSING}])
    const {reports} = scene.script
    assert.deepEqual(reports.at(-1), {
      partitionCount: 2,
      partitionsDone: 2,
      text: 'the source serves reads and refuses writes',
    })
  })

  it('also where nobody closed it', async () => {
    const scene = new ScriptedReturn({})
    delete scene.context.view.deny
    await scene.run(openSourceReads)
    assert.deepEqual(scene.script.performed, [{before: null, kind: 'open-source-reads', value: REFUSING}])
  })

  it('not before a server that lags serves them', async () => {
    const scene = new ScriptedReturn()
    const {clock, source} = scene.script
    const {afterEffect} = scene.script
    scene.script.afterEffect = (effect) => {
      afterEffect(effect)
      source.answers[1] = 'closed'
      clock.setTimer(20_000, () => {
        source.answers[1] = 'refusing'
      })
    }

    await scene.run(openSourceReads)
    assert.ok(clock.nowMs() >= 20_000, `after ${clock.nowMs()} ms`)
  })

  it('and gives up where one never does', async () => {
    const scene = new ScriptedReturn()
    const {afterEffect} = scene.script
    scene.script.afterEffect = (effect) => {
      afterEffect(effect)
      scene.script.source.answers[1] = 'closed'
    }

    const error = await scene.error(openSourceReads)
    assert.equal(error.code, 'deny.not_proved')
    const {clock} = scene.script
    assert.ok(clock.nowMs() >= 46_000 && clock.nowMs() < 48_000, `after ${clock.nowMs()} ms`)
  })

  it('at once where an earlier return did', async () => {
    const scene = new ScriptedReturn({deny: REFUSING})
    assert.equal(await scene.run(openSourceReads), 'its rows can be read already')
    assert.deepEqual(scene.script.performed, [])
  })
})

describe('a return denies the target’s writes', () => {
  it('by refusal, proved, and remembers since when', async () => {
    const scene = new ScriptedReturn()
    await scene.script.clock.advance(1234)
    assert.equal(await scene.run(denyTarget), 'every primary of b refuses writes')
    assert.deepEqual(scene.script.performed, [{before: null, kind: 'deny-target', value: REFUSING}])
    const {deniedAtMs, targetDenied} = scene.context.state
    assert.deepEqual([deniedAtMs, targetDenied], [1234, true])
    assert.equal(scene.script.reports.at(-1)?.text, 'the target refuses writes')
  })

  it('and remembers it before the answer, which may be lost', async () => {
    const scene = new ScriptedReturn()
    scene.script.onEffect = () => {
      assert.deepEqual(scene.context.state.targetDenied, true)
      throw passing()
    }

    assert.equal((await scene.error(denyTarget)).code, 'meta.error')
    assert.equal(scene.context.state.targetDenied, true)
  })

  it('not before every server of it refuses them', async () => {
    const scene = new ScriptedReturn()
    const {afterEffect, clock, target} = scene.script
    scene.script.afterEffect = (effect) => {
      afterEffect(effect)
      target.answers[0] = 'open'
      clock.setTimer(20_000, () => {
        target.answers[0] = 'refusing'
      })
    }

    await scene.run(denyTarget)
    assert.ok(clock.nowMs() >= 20_000, `after ${clock.nowMs()} ms`)
  })

  it('only within the bound: denying and allowing take a config sync each', async () => {
    const short = new ScriptedReturn({}, {maxWriteDenyMs: 61_999})
    const error = await short.error(denyTarget)
    assert.deepEqual(
      [error.code, error.message, error.next, error.exitCode],
      [
        'rollback.bound',
        'taking users back denies writes for at least 62 s; the bound is 61.999 s',
        'Say --max-write-deny 77s.',
        ExitCode.refused,
      ],
    )
    assert.deepEqual([short.script.performed, short.context.state.targetDenied], [[], false])
    const enough = new ScriptedReturn({}, {maxWriteDenyMs: 62_000})
    assert.equal(await enough.run(denyTarget), 'every primary of b refuses writes')
  })

  it('knows its own deny of an earlier return from one that was there before', async () => {
    for (const [deny, before] of [
      [REFUSING, null],
      ['timeout*write', 'timeout*write'],
    ] as const) {
      const scene = new ScriptedReturn({target: targetWith(deny)})
      await scene.run(denyTarget)
      assert.deepEqual(scene.script.performed, [{before, kind: 'deny-target', value: REFUSING}])
    }
  })
})

describe('a return switches the node back', () => {
  const switched = {before: '{"cluster_name":"b","meta_addrs":"10.0.0.9:34601"}', beforeVersion: 5}

  it('to the bytes from before the switch, at the version it looked at', async () => {
    const scene = new ScriptedReturn({journal: {handedOver: true, nodeBefore: 'as it was'}})
    assert.equal(await scene.run(switchBack), '/pegasus-metaproxy/users names a')
    const [effect] = scene.script.performed
    assert.deepEqual(effect, {
      ...effect,
      beforeVersion: switched.beforeVersion,
      bytes: 'as it was',
      kind: 'switch-node-back',
    })
    assert.equal((effect as {path: string}).path, '/pegasus-metaproxy/users')
    assert.match((effect as {before: string}).before, /"b"/)
    assert.equal(scene.context.state.returned, true)
  })

  it('without a journal to the metas that the source names, or else to those that were given', async () => {
    for (const [metaServers, named] of [
      [['10.0.0.7:34601', '10.0.0.8:34601'], '10.0.0.7:34601,10.0.0.8:34601'],
      [[], 'a:1'],
    ] as const) {
      const scene = new ScriptedReturn()
      scene.metaServers = [...metaServers]
      await scene.run(switchBack)
      const [effect] = scene.script.performed
      const {bytes} = effect as {bytes: string}
      assert.ok(bytes.includes('"a"') && bytes.includes(named), bytes)
    }
  })

  it('not where somebody else wrote it meanwhile', async () => {
    const scene = new ScriptedReturn()
    scene.script.writeNode('c')
    const error = await scene.error(switchBack)
    assert.deepEqual(
      [error.code, error.message, error.next],
      [
        'rollback.node_moved',
        '/pegasus-metaproxy/users names c by now, not b: somebody else wrote it',
        'The node was left alone, and what was denied is allowed again. Run the same command again: it looks anew.',
      ],
    )
    assert.deepEqual([scene.script.performed, scene.context.state.returned], [[], false])
  })

  it('and fails where it was refused', async () => {
    const scene = new ScriptedReturn()
    scene.script.onEffect = () => {
      throw new MigratorError('zk.auth_failed', 'no')
    }

    assert.equal((await scene.error(switchBack)).code, 'zk.auth_failed')
    assert.equal(scene.context.state.returned, false)
    assert.deepEqual(scene.script.asked.filter((question) => question === 'node users').length, 1)
  })

  it('and looks, when the answer was lost, until it knows that it was', async () => {
    const scene = new ScriptedReturn()
    const {script} = scene
    script.onEffect = ({kind}) => {
      if (kind !== 'switch-node-back') return
      script.writeNode('a')
      script.failing('node users', 3, passing())
      throw new MigratorError('zk.outcome_unknown', 'no answer')
    }

    assert.equal(await scene.run(switchBack), '/pegasus-metaproxy/users names a')
    assert.equal(scene.context.state.returned, true)
    assert.deepEqual(script.performed, [])
    assert.match(script.words.join('\n'), /looking whether the node was switched back \(no answer\)/)
  })

  it('and makes a lost write impossible, where the node does not name the source', async () => {
    const scene = new ScriptedReturn()
    const {script} = scene
    script.onEffect = ({kind}) => {
      if (kind === 'switch-node-back') throw new MigratorError('zk.outcome_unknown', 'no answer')
    }

    assert.equal((await scene.error(switchBack)).code, 'zk.outcome_unknown')
    assert.equal(scene.context.state.returned, false)
    const [effect] = script.performed
    assert.deepEqual(effect, {
      beforeVersion: switched.beforeVersion,
      bytes: script.node.bytes.toString('utf8'),
      kind: 'take-commit-away',
      path: '/pegasus-metaproxy/users',
    })
    assert.equal(script.node.version, switched.beforeVersion + 1)
  })

  it('and looks also when it was told to stop while it wrote', async () => {
    const scene = new ScriptedReturn()
    const {script} = scene
    script.onEffect = ({kind}) => {
      if (kind !== 'switch-node-back') return
      script.writeNode('a')
      script.abort.abort(new MigratorError('stopped', 'Ctrl-C'))
      throw new MigratorError('stopped', 'Ctrl-C')
    }

    assert.equal(await scene.run(switchBack), '/pegasus-metaproxy/users names a')
  })
})
