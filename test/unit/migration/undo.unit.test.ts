import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {undo, type UndoResult} from '../../../src/lib/migration/undo.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {DENY, DUPID, FIRST, ScriptedMigration} from '../../support/scripted-migration.js'

const WRITABLE: UndoResult = {state: 'writable'}
const refused = () => new MigratorError('meta.error', 'refused', {facts: {err: 'ERR_INVALID_PARAMETERS'}})
const passing = (code = 'meta.error') => new MigratorError(code, 'it may pass')

/** Writes are denied on the source, and proved to be. */
function denied(): ScriptedMigration {
  const script = new ScriptedMigration()
  const {source, state} = script
  source.envs.set(DENY, 'reconfig*write')
  source.answers = ['refusing', 'refusing']
  source.status = DuplicationStatus.DS_LOG
  state.denySet = true
  state.window = {firstRefusedAtMs: script.clock.wallMs() + 100, setAtMs: script.clock.wallMs()}
  return script
}

const undone = (script: ScriptedMigration) => {
  const {context, forward} = script
  return script.run(undo(context, {reason: 'too slow', signal: forward.signal}))
}

const setting = {
  before: '30000',
  kind: 'set-server-config',
  name: 'config_sync_interval_ms',
  server: FIRST,
  side: 'source',
  value: '1000',
} as const

describe('undo', () => {
  describe('where nothing was denied', () => {
    it('does nothing, and tells nothing', async () => {
      const script = new ScriptedMigration()
      script.state.dupid = 0
      assert.deepEqual(await undone(script), WRITABLE)
      assert.deepEqual([script.performed, script.events, script.asked], [[], [], []])
    })

    it('puts settings back that no duplication needs', async () => {
      const script = new ScriptedMigration()
      script.state.dupid = 0
      script.context.hints.settings.push(setting)
      assert.deepEqual(await undone(script), WRITABLE)
      assert.deepEqual(
        script.performed.map((effect) => 'value' in effect && effect.value),
        ['30000'],
      )
    })

    it('leaves them to a duplication, and to a rehearsal', async () => {
      for (const [dupid, dryRun] of [
        [DUPID, false],
        [0, true],
      ] as const) {
        const script = new ScriptedMigration({}, {dryRun})
        script.state.dupid = dupid
        script.context.hints.settings.push(setting)
        assert.deepEqual(await undone(script), WRITABLE)
        assert.deepEqual(script.performed, [])
      }
    })

    it('tells which were left', async () => {
      const script = new ScriptedMigration()
      script.state.dupid = 0
      script.context.hints.settings.push(setting)
      script.onEffect = () => {
        throw new TypeError('a bug')
      }

      assert.deepEqual(await undone(script), WRITABLE)
      assert.deepEqual(script.told, ['setting.left'])
      assert.match(script.words[0]!, /a bug; running the same command again, or table:migrate-rollback, does it$/)
    })

    it('ends with the operator who leaves', async () => {
      const script = new ScriptedMigration()
      script.state.dupid = 0
      script.context.hints.settings.push(setting)
      script.onEffect = () => {
        script.forward.abort(new Error('Ctrl-C'))
        throw passing()
      }

      await assert.rejects(undone(script), /Ctrl-C/)
      assert.deepEqual(script.events, [])
    })
  })

  it('takes the deny back, proves it, and tells both', async () => {
    const script = denied()
    const {state} = script
    assert.deepEqual(await undone(script), WRITABLE)
    assert.deepEqual(script.kinds, ['lift-deny'])
    assert.deepEqual([state.denySet, state.commit, state.paused], [false, 'none', false])
    const [first] = script.events
    assert.deepEqual(first, {
      reason: 'too slow',
      sentence: 'writes to users are allowed again; this takes up to 31 s',
      type: 'undo-started',
    })
    assert.deepEqual(script.events.at(-1), {
      ok: true,
      sentence: 'every primary accepts writes again (proved by probe)',
      type: 'undo-finished',
    })
    assert.equal(state.window.liftedAtMs, script.clock.wallMs())
    assert.equal(state.window.windowMs, state.window.liftedAtMs! - state.window.firstRefusedAtMs!)
  })

  describe('where a stopped command sends its deny behind the lift', () => {
    /** It comes as soon as the first lift is done. */
    function deniedAgain(value: string): ScriptedMigration {
      const script = denied()
      const {source} = script
      let lifts = 0
      script.afterEffect = ({kind}) => {
        if (kind !== 'lift-deny' || ++lifts > 1) return
        source.envs.set(DENY, value)
        source.answers = ['refusing', 'refusing']
      }

      return script
    }

    it('takes it off again, and tells so', async () => {
      const script = deniedAgain('reconfig*write')
      assert.deepEqual(await undone(script), WRITABLE)
      assert.deepEqual(script.kinds, ['lift-deny', 'lift-deny'])
      assert.deepEqual(
        script.told.filter((code) => code === 'undo.denied_again' || code === 'undo.trouble'),
        ['undo.denied_again', 'undo.trouble'],
      )
      assert.match(
        script.words.find((text) => text.includes('again, sent late'))!,
        /^users carries replica.deny_client_request=reconfig\*write again, sent late/,
      )
      assert.equal(script.source.envs.has(DENY), false)
    })

    it('leaves alone what no migration sets', async () => {
      const script = deniedAgain('timeout*read')
      const result = await undone(script)
      assert.equal(result.state, 'denied')
      assert.deepEqual(script.kinds, ['lift-deny'])
      assert.ok(!script.told.includes('undo.denied_again'))
    })
  })

  it('knows of no window where nothing was seen to be refused', async () => {
    const script = denied()
    script.state.window = {setAtMs: 1}
    await undone(script)
    assert.equal('windowMs' in script.state.window, false)
    assert.equal(script.state.window.liftedAtMs, script.clock.wallMs())
  })

  it('stays at it until the last server is seen to accept writes, and tells that it took longer than the bound', async () => {
    const script = denied()
    const {source, state} = script
    let failures = 0
    script.onEffect = ({kind}) => {
      if (kind === 'lift-deny' && failures++ < 70) throw passing()
    }

    assert.deepEqual(await undone(script), WRITABLE)
    assert.deepEqual(source.answers, ['open', 'open'])
    assert.match(
      state.mendingTrouble!,
      /^ALARM: users may still be write-denied; taking the write-deny back: it may pass/,
    )
    const exceeded = script.events.find((event) => event.type === 'warning' && event.code === 'bound.exceeded')
    assert.match((exceeded as {message: string}).message, /denied for 140\.0 s, .* 120s: ALARM: users may still/)
    assert.equal(script.told.filter((told) => told === 'undo.trouble').length, 70)
  })

  it('keeps no other warning for what kept writes denied', async () => {
    const script = denied()
    const {context} = script
    const {perform} = context.effects
    context.effects = {
      async perform(effect, signal) {
        context.emit({code: 'other', message: 'something else', type: 'warning'})
        return perform(effect, signal)
      },
    }
    await undone(script)
    assert.equal(script.state.mendingTrouble, undefined)
  })

  it('says that writes are denied, and why, where it cannot go on', async () => {
    const script = denied()
    script.onEffect = () => {
      throw refused()
    }

    assert.deepEqual(await undone(script), {reason: 'refused', state: 'denied'})
    assert.equal(script.state.denySet, true)
    assert.deepEqual(script.events.at(-1), {ok: false, sentence: 'refused', type: 'undo-finished'})
  })

  describe('and the node', () => {
    it('is forward only once the table was handed over', async () => {
      const script = denied()
      script.state.commit = 'done'
      assert.deepEqual(await undone(script), {state: 'switched'})
      assert.deepEqual([script.asked, script.performed, script.events], [[], [], []])
    })

    it('takes a doubtful switch away before it lifts', async () => {
      const script = denied()
      script.state.commit = 'uncertain'
      assert.deepEqual(await undone(script), WRITABLE)
      assert.deepEqual(script.kinds, ['take-commit-away', 'lift-deny'])
      assert.equal(script.state.commit, 'none')
      assert.equal(script.node.version, 5)
    })

    it('lifts nothing when a doubtful switch turns out to be done', async () => {
      const script = denied()
      script.state.commit = 'uncertain'
      script.writeNode('b')
      assert.deepEqual(await undone(script), {state: 'switched'})
      assert.deepEqual([script.kinds, script.state.commit], [[], 'done'])
    })

    it('lifts nothing when somebody else has switched it, and tells that', async () => {
      const script = denied()
      script.writeNode('b')
      assert.deepEqual(await undone(script), {state: 'switched'})
      assert.deepEqual([script.kinds, script.state.commit], [[], 'done'])
      assert.deepEqual(script.told, ['undo-started', 'switch.by_others'])
      assert.match(script.words[1]!, /^somebody else switched \/pegasus-metaproxy\/users to b: .* only forward$/)
    })

    it('that names somebody else again holds up no lift', async () => {
      const script = denied()
      script.writeNode('c')
      assert.deepEqual(await undone(script), WRITABLE)
      assert.equal(script.told.includes('switch.by_others'), false)
    })

    for (const code of ['zk.no_node', 'zk.unreachable', 'metaproxy.bad_node']) {
      it(`holds up no lift with ${code}`, async () => {
        const script = denied()
        script.failing('node users', 1, passing(code))
        assert.deepEqual(await undone(script), WRITABLE)
      })
    }

    it('is not lifted over with an error that tells nothing of it', async () => {
      const script = denied()
      script.failing('node users', 1, new TypeError('a bug'))
      assert.deepEqual(await undone(script), {reason: 'a bug', state: 'denied'})
      assert.deepEqual(script.kinds, [])
    })

    it('holds the lift up for 3 s when ZooKeeper does not answer, and no longer', async () => {
      const script = denied()
      script.onAsk = (question) => (question === 'node users' ? new Promise(() => {}) : undefined)
      const began = script.clock.nowMs()
      script.onEffect = () => assert.equal(script.clock.nowMs() - began, 3000)
      assert.deepEqual(await undone(script), WRITABLE)
      assert.deepEqual(script.kinds, ['lift-deny'])
    })

    it('is not waited for by an operator who leaves', async () => {
      const script = denied()
      script.onAsk = (question) => {
        if (question !== 'node users') return
        script.forward.abort(new Error('Ctrl-C'))
        throw passing('zk.unreachable')
      }

      assert.deepEqual(await undone(script), {reason: 'Ctrl-C', state: 'denied'})
      assert.deepEqual(script.kinds, [])
    })

    it('is not asked for where there is none', async () => {
      const script = denied()
      const context = {...script.context, store: undefined}
      const result = await script.run(undo(context, {reason: 'x', signal: script.forward.signal}))
      assert.deepEqual([result, script.kinds], [WRITABLE, ['lift-deny']])
      assert.equal(script.asked.includes('node users'), false)
    })
  })

  describe('of a deny whose answer was lost', () => {
    const unanswered = () => {
      const script = denied()
      script.state.denyUnanswered = true
      return script
    }

    it('looks for 15 s whether it is set after all', async () => {
      const script = unanswered()
      assert.deepEqual(await undone(script), WRITABLE)
      assert.equal(script.clock.nowMs(), 15_000)
      assert.equal(script.asked.filter((question) => question === 'source table').length, 15)
      assert.deepEqual([script.kinds, script.state.denyUnanswered, script.state.denySet], [['lift-deny'], false, false])
    })

    it('does not look where the answer was heard', async () => {
      const script = denied()
      await undone(script)
      assert.equal(script.asked.includes('source table'), false)
      assert.equal(script.state.denyUnanswered, false)
    })

    it('lifts it each time that it comes: it may have been sent more than once', async () => {
      const script = unanswered()
      for (const atMs of [5500, 12_500]) {
        script.clock.setTimer(atMs, () => {
          script.source.envs.set(DENY, 'reconfig*write')
          script.source.answers = ['refusing', 'open']
        })
      }

      assert.deepEqual(await undone(script), WRITABLE)
      assert.deepEqual(script.kinds, ['lift-deny', 'lift-deny', 'lift-deny'])
      assert.equal(script.clock.nowMs(), 15_000)
      assert.equal(script.state.window.liftedAtMs, script.clock.wallMs() - 2000)
    })

    it('leaves what somebody else denies', async () => {
      const script = unanswered()
      script.clock.setTimer(5500, () => script.source.envs.set(DENY, 'timeout*write'))
      assert.deepEqual(await undone(script), WRITABLE)
      assert.deepEqual(script.kinds, ['lift-deny'])
    })

    it('tells what it looks for when it cannot look', async () => {
      const script = unanswered()
      script.failing('source table', 1, passing())
      assert.deepEqual(await undone(script), WRITABLE)
      assert.ok(script.words.some((text) => text.includes('looking whether the deny is set after all')))
    })

    it('ends its looks with the operator who leaves', async () => {
      const script = unanswered()
      script.clock.setTimer(3500, () => script.forward.abort(new Error('Ctrl-C')))
      assert.deepEqual(await undone(script), {reason: 'Ctrl-C', state: 'denied'})
      assert.equal(script.clock.nowMs(), 3500)
    })
  })

  describe('and a paused duplication', () => {
    const paused = () => {
      const script = denied()
      script.source.status = DuplicationStatus.DS_PAUSE
      script.state.paused = true
      return script
    }

    it('lets it go on before writes come', async () => {
      const script = paused()
      assert.deepEqual(await undone(script), WRITABLE)
      assert.deepEqual(script.kinds, ['resume-duplication', 'lift-deny'])
      assert.equal(script.state.paused, false)
    })

    it('asks nothing of one that is not paused', async () => {
      const script = denied()
      await undone(script)
      assert.equal(script.asked.includes('source duplications'), false)
    })

    it('lets it go on behind the lift when it hears nothing within 3 s', async () => {
      const script = paused()
      let first = true
      script.onEffect = ({kind}) => {
        if (kind !== 'resume-duplication' || !first) return
        first = false
        throw passing()
      }

      assert.deepEqual(await undone(script), WRITABLE)
      assert.deepEqual(script.kinds, ['lift-deny', 'resume-duplication'])
      assert.equal(script.state.paused, false)
      assert.match(script.words.at(-1)!, /proved by probe\)$/)
    })

    it('insists for a minute, and then tells that nothing is shipped', async () => {
      const script = paused()
      script.onEffect = ({kind}) => {
        if (kind === 'resume-duplication') throw passing()
      }

      assert.deepEqual(await undone(script), {paused: true, state: 'writable'})
      assert.equal(script.state.paused, true)
      assert.ok(script.clock.nowMs() > 60_000 && script.clock.nowMs() < 70_000, String(script.clock.nowMs()))
      assert.ok(script.words.some((text) => text.includes('letting the duplication go on: it may pass')))
      assert.equal(script.told.at(-2), 'undo.paused')
      assert.match(
        script.words.at(-2)!,
        /^writes to users are allowed, and duplication 7 is still paused: .*\(it may pass\)/,
      )
      assert.equal(
        script.words.at(-1),
        'every primary accepts writes again (proved by probe); the duplication is still paused',
      )
    })
  })
})
