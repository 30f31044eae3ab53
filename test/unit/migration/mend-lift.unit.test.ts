import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {
  liftAndProve,
  liftLimitMs,
  outwaitLateDeny,
  proveWritable,
  takeLateDenyOff,
} from '../../../src/lib/migration/mend.js'
import {DENY, FIRST, ScriptedMigration, SECOND} from '../../support/scripted-migration.js'

const DELETED = 'the deny env is deleted; waiting for every server to hear of it'
const LIFT = {before: null, kind: 'lift-deny'}
const VALUE = 'reconfig*write'
const why = new Error('Ctrl-C')
const passing = (text: string) => new MigratorError('rpc.timeout', text)
const progress = (sentence: string) => ({sentence, type: 'undo-progress'})
const alarm = (what: string, because: string) => ({
  code: 'undo.trouble',
  message: `ALARM: users may still be write-denied; ${what}: ${because}; trying again`,
  type: 'warning',
})

function denied(value = VALUE): ScriptedMigration {
  const script = new ScriptedMigration()
  deny(script, value)
  return script
}

function deny({source}: ScriptedMigration, value = VALUE): void {
  source.envs.set(DENY, value)
  source.answers = ['refusing', 'refusing']
}

/** Both with a config sync of 30 s. */
const optionsOf = ({abort}: ScriptedMigration, limitMs?: number) => ({
  configSyncMs: 30_000,
  signal: abort.signal,
  ...(limitMs === undefined ? {} : {limitMs}),
})
const lifted = (script: ScriptedMigration) => script.run(liftAndProve(script.context, optionsOf(script)))
const proved = (script: ScriptedMigration, limitMs?: number) =>
  script.run(proveWritable(script.context, optionsOf(script, limitMs)))

/** What nobody answers until the operator leaves after so long. */
function leavesUnanswered(script: ScriptedMigration, question: string, afterMs: number): void {
  script.onAsk = (asked) => (asked === question ? new Promise(() => {}) : undefined)
  script.clock.setTimer(afterMs, () => script.abort.abort(why))
}

describe('a lift', () => {
  it('takes a config sync and a second at most', () => {
    assert.equal(liftLimitMs(30_000), 31_000)
  })

  it('deletes the env first, and proves then on every primary that writes are accepted', async () => {
    const script = denied()
    let probes = 0
    script.onAsk = (question) => {
      if (!question.startsWith('write ')) return
      probes++
      assert.deepEqual(script.kinds, ['lift-deny'])
    }

    await lifted(script)
    assert.deepEqual(script.performed, [LIFT])
    assert.equal(probes, 2)
    assert.deepEqual(script.events, [
      progress(DELETED),
      progress('1 of 2 partitions accept writes again'),
      progress('2 of 2 partitions accept writes again'),
    ])
  })

  it('says it of one partition too', async () => {
    const script = denied()
    script.source.primaries = [FIRST]
    await lifted(script)
    assert.deepEqual(script.words, [DELETED, '1 of 1 partition accepts writes again'])
  })

  it('waits for the last server to hear of it', async () => {
    const script = denied()
    script.afterEffect = () => {
      script.source.answers = ['open', 'refusing']
      script.clock.setTimer(28_000, () => {
        script.source.answers = ['open', 'open']
      })
    }

    await lifted(script)
    assert.ok(script.clock.nowMs() >= 28_000 && script.clock.nowMs() < 28_200)
    assert.deepEqual(script.kinds, ['lift-deny'])
    assert.equal(script.words.at(-1), '2 of 2 partitions accept writes again')
  })

  it('is insisted on before anything is proved', async () => {
    const script = denied()
    let lifts = 0
    script.onEffect = () => {
      if (lifts++ < 2) throw passing('no meta answers')
    }

    await lifted(script)
    const failed = alarm('taking the write-deny back', 'no meta answers')
    assert.deepEqual(script.events.slice(0, 3), [failed, failed, progress(DELETED)])
    assert.deepEqual(script.performed, [LIFT])
    assert.equal(script.clock.nowMs(), 4000)
  })

  it('is told to be done by nobody when it cannot be done', async () => {
    const script = denied()
    script.onEffect = () => {
      throw new MigratorError('lock.held', 'somebody else')
    }

    await assert.rejects(lifted(script), {code: 'lock.held'})
    assert.deepEqual([script.asked, script.events], [[], []])
  })
})

describe('the proof that writes are accepted', () => {
  const PROVING = 'proving that writes are allowed'
  const LATE = `users: after 61 s not every primary is seen to accept writes; last answers: partition 1: ${SECOND} answered writes: denied-reconfig (ERR_INVALID_STATE)`

  /** The second primary goes on refusing for longer than a proof takes, though the env is gone. */
  function lagging(): ScriptedMigration {
    const script = new ScriptedMigration()
    script.source.answers = ['open', 'refusing']
    return script
  }

  it('is an alarm after 30 s more than a lift takes, and is tried again', async () => {
    const script = lagging()
    script.clock.setTimer(62_000, () => {
      script.source.answers = ['open', 'open']
    })
    await proved(script)
    const alarms = script.events.filter(({type}) => type === 'warning')
    assert.deepEqual(alarms, [alarm(PROVING, LATE)])
    assert.deepEqual(script.performed, [])
    assert.ok(script.clock.nowMs() >= 63_000 && script.clock.nowMs() < 63_500)
  })

  it('ends with what it lacks at the limit', async () => {
    const script = lagging()
    await assert.rejects(proved(script, 0), {code: 'deny.not_proved', message: LATE})
  })

  for (const value of ['reconfig*write', 'timeout*write'])
    it(`takes ${value} off again that came late, and tells so`, async () => {
      const script = denied(value)
      await proved(script)
      assert.deepEqual(script.performed, [LIFT])
      const warning = script.events.find(({type}) => type === 'warning')
      assert.deepEqual(warning, {
        code: 'undo.denied_again',
        message: `users carries replica.deny_client_request=${value} again, sent late by a command that has lost the lock: it is taken off again`,
        type: 'warning',
      })
      assert.deepEqual(
        script.told.filter((told) => told !== 'undo-progress'),
        ['undo.denied_again', 'undo.trouble'],
      )
    })

  for (const value of ['reconfig*all', 'timeout*read', 'reconfig*write,x', 'x reconfig*write', 'write'])
    it(`leaves alone what no migration sets: ${value}`, async () => {
      const script = denied(value)
      await assert.rejects(proved(script, 0), {code: 'deny.not_proved'})
      assert.deepEqual([script.performed, script.source.envs.get(DENY)], [[], value])
      assert.deepEqual(new Set(script.told), new Set(['undo-progress']))
    })

  it('lifts nothing of a table that is gone', async () => {
    const script = lagging()
    script.source.isThere = false
    await assert.rejects(proved(script, 0), {code: 'deny.not_proved'})
    assert.deepEqual(script.performed, [])
  })

  it('does not look for a deny where something else is wrong', async () => {
    const script = denied()
    script.failing('source configuration', 1, new MigratorError('meta.error', 'gone', {facts: {err: 'ERR_ACL_DENY'}}))
    await assert.rejects(proved(script), {message: 'gone'})
    assert.deepEqual([script.asked, script.performed], [['source configuration'], []])
  })

  it('ends with the operator who leaves while it looks for a late deny', async () => {
    const script = lagging()
    leavesUnanswered(script, 'source table', 70_000)
    await assert.rejects(proved(script), why)
    assert.equal(script.clock.nowMs(), 70_000)
  })
})

describe('a deny that may come late', () => {
  const LOOKING = 'looking whether the deny is set after all'

  /** Waits for one of 3 s; counts how often it is lifted. */
  async function outwaited(script: ScriptedMigration) {
    let lifts = 0
    const lift = async () => {
      lifts++
      script.source.envs.delete(DENY)
    }

    const late = {deny: VALUE, forMs: 3000, lift}
    const came = await script.run(outwaitLateDeny(script.context, optionsOf(script), late))
    return {came, lifts}
  }

  it('is looked for once a second, as long as it may come', async () => {
    const script = new ScriptedMigration()
    const atMs: number[] = []
    script.onAsk = () => {
      atMs.push(script.clock.nowMs())
    }

    assert.deepEqual(await outwaited(script), {came: false, lifts: 0})
    assert.deepEqual(atMs, [1000, 2000, 3000])
    assert.deepEqual(new Set(script.asked), new Set(['source table']))
  })

  it('is lifted each time that it comes', async () => {
    const script = new ScriptedMigration()
    for (const atMs of [500, 2500]) script.clock.setTimer(atMs, () => script.source.envs.set(DENY, VALUE))
    assert.deepEqual(await outwaited(script), {came: true, lifts: 2})
    assert.equal(script.clock.nowMs(), 3000)
  })

  it('is not taken for one that somebody else has set', async () => {
    const script = new ScriptedMigration()
    script.source.envs.set(DENY, 'timeout*all')
    assert.deepEqual(await outwaited(script), {came: false, lifts: 0})
  })

  it('does not come to a table that is gone', async () => {
    const script = new ScriptedMigration()
    script.source.isThere = false
    assert.deepEqual(await outwaited(script), {came: false, lifts: 0})
  })

  it('is insisted on being seen', async () => {
    const script = new ScriptedMigration()
    script.failing('source table', 1, passing('no meta answers'))
    assert.deepEqual(await outwaited(script), {came: false, lifts: 0})
    assert.deepEqual(script.events, [alarm(LOOKING, 'no meta answers')])
  })

  for (const [when, afterMs] of [
    ['between two looks', 500],
    ['at a look that is not answered', 1500],
  ] as const)
    it(`is left to the operator who leaves ${when}`, async () => {
      const script = new ScriptedMigration()
      leavesUnanswered(script, 'source table', afterMs)
      await assert.rejects(outwaited(script), why)
      assert.equal(script.clock.nowMs(), afterMs)
    })

  describe('from a run that died', () => {
    const off = (script: ScriptedMigration, sent: {deny?: string; denyAtMs?: number}) =>
      script.run(takeLateDenyOff(script.context, optionsOf(script), sent))

    it('is not waited for where none was sent, or nobody knows when', async () => {
      const script = denied()
      const now = script.clock.wallMs()
      for (const sent of [{}, {deny: VALUE}, {denyAtMs: now}]) assert.equal(await off(script, sent), false)
      assert.deepEqual([script.asked, script.clock.nowMs()], [[], 0])
    })

    for (const [when, agoMs, waitedMs] of [
      ['20 s ago', 20_000, 0],
      ['15 s ago', 15_000, 0],
      ['14 s ago', 14_000, 1000],
      ['5 s ago', 5000, 10_000],
      ['just now', 0, 15_000],
      ['by a clock that runs ahead', -60_000, 15_000],
    ] as const)
      it(`is waited for ${waitedMs / 1000} s when it was sent ${when}`, async () => {
        const script = new ScriptedMigration()
        assert.equal(await off(script, {deny: VALUE, denyAtMs: script.clock.wallMs() - agoMs}), false)
        assert.deepEqual([script.clock.nowMs(), script.asked.length], [waitedMs, waitedMs / 1000])
        assert.deepEqual(script.performed, [])
      })

    it('is lifted, and writes are proved to be accepted', async () => {
      const script = new ScriptedMigration()
      script.clock.setTimer(3500, () => deny(script))
      assert.equal(await off(script, {deny: VALUE, denyAtMs: script.clock.wallMs()}), true)
      assert.deepEqual(script.performed, [LIFT])
      assert.deepEqual(script.words, [
        DELETED,
        '1 of 2 partitions accept writes again',
        '2 of 2 partitions accept writes again',
      ])
      assert.equal(script.clock.nowMs(), 15_000)
    })
  })
})
