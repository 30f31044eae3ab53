import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {insist, resume, resumeBeforeLift, takeCommitAway} from '../../../src/lib/migration/mend.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {DUPID, ScriptedMigration} from '../../support/scripted-migration.js'

const passing = (text = 'it may pass') => new MigratorError('zk.timeout', text)
const lasting = new MigratorError('meta.error', 'refused', {facts: {err: 'ERR_ACL_DENY'}})
const never = () => new Promise<never>(() => {})
const why = new Error('Ctrl-C')

const alarm = (what: string, because: string) => ({
  code: 'undo.trouble',
  message: `ALARM: users may still be write-denied; ${what}: ${because}; trying again`,
  type: 'warning',
})

/** The operator leaves after so long. */
function leaves(script: ScriptedMigration, afterMs: number): void {
  script.clock.setTimer(afterMs, () => script.abort.abort(why))
}

describe('insisting', () => {
  /** When each attempt was made; the first ones fail. */
  class Attempts {
    readonly atMs: number[] = []
    readonly script = new ScriptedMigration()

    constructor(private readonly errors: readonly Error[]) {}

    run(limitMs?: number): Promise<string> {
      const {abort, clock, context} = this.script
      const options = {signal: abort.signal, ...(limitMs === undefined ? {} : {limitMs})}
      const attempts = insist(context, options, 'mending', async () => {
        this.atMs.push(clock.nowMs())
        const error = this.errors[this.atMs.length - 1]
        if (error) throw error
        return 'done'
      })
      return this.script.run(attempts)
    }
  }

  const many = (count: number) => Array.from({length: count}, () => passing())

  it('tells nothing where the first attempt works', async () => {
    const attempts = new Attempts([])
    assert.equal(await attempts.run(), 'done')
    assert.deepEqual([attempts.atMs, attempts.script.events], [[0], []])
  })

  it('tries again every 2 s, and each failure is an alarm in its own words', async () => {
    const attempts = new Attempts([passing('no answer'), new MigratorError('deny.not_proved', 'one server lags')])
    assert.equal(await attempts.run(), 'done')
    assert.deepEqual(attempts.atMs, [0, 2000, 4000])
    assert.deepEqual(attempts.script.events, [alarm('mending', 'no answer'), alarm('mending', 'one server lags')])
  })

  it('gives up with the first failure behind its limit', async () => {
    const last = passing('the last one')
    const attempts = new Attempts([...many(3), last])
    await attempts.script.clock.advance(10_000)
    await assert.rejects(attempts.run(4000), last)
    assert.deepEqual(attempts.atMs, [10_000, 12_000, 14_000, 16_000])
    assert.equal(attempts.script.events.length, 3)
  })

  it('goes on for 15 minutes where nobody says how long', async () => {
    const attempts = new Attempts(many(1000))
    await assert.rejects(attempts.run(), passing())
    assert.equal(attempts.atMs.at(-1), 15 * 60_000 + 2000)
  })

  for (const error of [lasting, new MigratorError('lock.held', 'somebody else'), new TypeError('a bug')])
    it(`ends at once with what cannot pass: ${error.message}`, async () => {
      const attempts = new Attempts([error])
      await assert.rejects(attempts.run(), error)
      assert.deepEqual([attempts.atMs, attempts.script.events], [[0], []])
    })

  it('does not begin when the operator has left', async () => {
    const attempts = new Attempts([])
    attempts.script.abort.abort(why)
    await assert.rejects(attempts.run(), why)
    assert.deepEqual(attempts.atMs, [])
  })

  it('ends in the middle of its pause when the operator leaves', async () => {
    const attempts = new Attempts(many(2))
    leaves(attempts.script, 500)
    await assert.rejects(attempts.run(), why)
    assert.deepEqual([attempts.script.clock.nowMs(), attempts.atMs], [500, [0]])
  })

  it('says that the operator left, whatever else an attempt ended with', async () => {
    const script = new ScriptedMigration()
    const leaving = insist(script.context, {signal: script.abort.signal}, 'mending', async () => {
      script.abort.abort(why)
      throw lasting
    })
    await assert.rejects(script.run(leaving), why)
    assert.deepEqual(script.events, [])
  })
})

describe('taking a commit away', () => {
  const LOOKING = 'looking whether the node was switched'
  const MOVED = 'the node changed while it was looked at'
  const taken = (script: ScriptedMigration, limitMs?: number) => {
    const {abort, context} = script
    const options = {signal: abort.signal, ...(limitMs === undefined ? {} : {limitMs})}
    return script.run(takeCommitAway(context, options))
  }

  it('writes the bytes that are there at the version that is there', async () => {
    const script = new ScriptedMigration()
    const {bytes, path} = script.node
    assert.equal(await taken(script), 'source')
    const effect = {beforeVersion: 4, bytes: bytes.toString('utf8'), kind: 'take-commit-away', path}
    assert.deepEqual(script.performed, [effect])
    assert.deepEqual(script.asked, ['node users'])
    assert.deepEqual(script.events, [])
  })

  it('leaves a node alone that names the target', async () => {
    const script = new ScriptedMigration()
    script.writeNode('b')
    assert.equal(await taken(script), 'switched')
    assert.deepEqual([script.performed, script.events], [[], []])
  })

  for (const [found, cluster] of [
    ['source', 'a'],
    ['switched', 'b'],
  ] as const)
    it(`looks again when somebody wrote between: ${found}`, async () => {
      const script = new ScriptedMigration()
      let looks = 0
      script.onEffect = () => {
        if (looks++ === 0) script.writeNode(cluster)
      }

      assert.equal(await taken(script), found)
      assert.deepEqual(script.asked, ['node users', 'node users'])
      assert.equal(script.node.data.clusterName, cluster)
      assert.deepEqual(script.events, [alarm(LOOKING, MOVED)])
      assert.equal(script.clock.nowMs(), 2000)
    })

  it('tells who was in the way at the limit', async () => {
    const script = new ScriptedMigration()
    const conflict = new MigratorError('zk.version_conflict', 'somebody else wrote')
    script.onEffect = () => {
      throw conflict
    }

    await assert.rejects(taken(script, 1000), {cause: conflict, code: 'zk.moved', message: MOVED})
    assert.equal(script.clock.nowMs(), 2000)
  })

  it('insists while ZooKeeper cannot be reached, with the words of each failure', async () => {
    const script = new ScriptedMigration()
    script.failing('node users', 2, passing('no answer'))
    let writes = 0
    script.onEffect = () => {
      if (writes++ === 0) throw new MigratorError('zk.outcome_unknown', 'sent, and no reply')
    }

    assert.equal(await taken(script), 'source')
    assert.deepEqual(script.events, [
      alarm(LOOKING, 'no answer'),
      alarm(LOOKING, 'no answer'),
      alarm(LOOKING, 'sent, and no reply'),
    ])
    assert.deepEqual(script.kinds, ['take-commit-away'])
    assert.equal(script.clock.nowMs(), 6000)
  })

  it('gives a look up when the operator leaves', async () => {
    const script = new ScriptedMigration()
    script.onAsk = never
    leaves(script, 700)
    await assert.rejects(taken(script), why)
    assert.equal(script.clock.nowMs(), 700)
  })

  it('ends with what cannot pass', async () => {
    const script = new ScriptedMigration()
    script.failing('node users', 1, new MigratorError('metaproxy.bad_node', 'not JSON'))
    await assert.rejects(taken(script), {code: 'metaproxy.bad_node'})
    assert.deepEqual(script.performed, [])
  })
})

describe('resuming a duplication', () => {
  const {DS_LOG, DS_PAUSE} = DuplicationStatus
  const paused = () => {
    const script = new ScriptedMigration()
    script.source.status = DS_PAUSE
    return script
  }

  it('lets only the one go on that is paused and ours', async () => {
    const {signal} = new AbortController()
    for (const [status, dupid, performed] of [
      [DS_PAUSE, DUPID, [{dupid: DUPID, kind: 'resume-duplication'}]],
      [DS_LOG, DUPID, []],
      [DS_PAUSE, 8, []],
      [undefined, DUPID, []],
    ] as const) {
      const script = new ScriptedMigration()
      script.source.status = status
      script.source.others = [{dupid: 8, remote: 'c'}]
      await script.run(resume(script.context, dupid, signal))
      assert.deepEqual(script.performed, performed)
    }
  })

  it('gives its question up when it is told to', async () => {
    const script = paused()
    script.onAsk = never
    leaves(script, 100)
    await assert.rejects(script.run(resume(script.context, DUPID, script.abort.signal)), why)
  })

  describe('before the lift', () => {
    const tried = (script: ScriptedMigration) =>
      script.run(resumeBeforeLift(script.context, DUPID, script.abort.signal))
    const late = (because: string) => ({
      code: 'undo.resume_late',
      message: `the duplication goes on only after writes are allowed: ${because}`,
      type: 'warning',
    })

    it('tells nothing where it works, and leaves no timer behind', async () => {
      const script = paused()
      const {context} = script
      let seen: AbortSignal | undefined
      const effects: typeof context.effects = {
        perform(effect, signal) {
          seen = signal
          return context.effects.perform(effect, signal)
        },
      }
      const resumed = resumeBeforeLift({...context, effects}, DUPID, script.abort.signal)
      assert.equal(await script.run(resumed), true)
      assert.deepEqual([script.kinds, script.events], [['resume-duplication'], []])
      await script.clock.advance(10_000)
      script.abort.abort()
      assert.equal(seen!.aborted, false)
    })

    it('counts as done where it is not paused', async () => {
      const script = new ScriptedMigration()
      script.source.status = DS_LOG
      assert.equal(await tried(script), true)
      assert.deepEqual(script.performed, [])
    })

    it('does not hold up the lift for more than 3 s', async () => {
      const script = paused()
      script.onAsk = never
      assert.equal(await tried(script), false)
      assert.equal(script.clock.nowMs(), 3000)
      assert.deepEqual(script.events, [late('no answer in 3 s')])
    })

    for (const error of [passing('no answer'), lasting, new TypeError('a bug')])
      it(`is tried once: ${error.message}`, async () => {
        const script = paused()
        script.failing('source duplications', 1, error)
        assert.equal(await tried(script), false)
        assert.deepEqual(script.asked, ['source duplications'])
        assert.deepEqual([script.performed, script.events], [[], [late(error.message)]])
        assert.equal(script.clock.nowMs(), 0)
      })

    it('ends with the operator who leaves', async () => {
      const script = paused()
      script.onAsk = never
      leaves(script, 100)
      await assert.rejects(tried(script), why)
      assert.deepEqual(script.events, [])
    })
  })
})
