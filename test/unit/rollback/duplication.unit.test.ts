import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {StepSkipped} from '../../../src/lib/migration/rollback/context.js'
import {foretellRemoval, removeDuplication} from '../../../src/lib/migration/rollback/duplication.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {entry} from '../../support/rollback-view.js'
import {DENY, FIRST, SECOND} from '../../support/scripted-migration.js'
import {type RollbackScript, ScriptedRollback} from '../../support/scripted-rollback.js'

const {DS_APP, DS_INIT, DS_LOG, DS_PAUSE, DS_PREPARE} = DuplicationStatus
const AT_REST = 'duplication 7 was at rest; it is removed and forgotten'
const passing = () => new MigratorError('meta.error', 'no leader')
const inStatus = (status: DuplicationStatus): RollbackScript => ({seen: {entry: {...entry, status}}})

const removed = (rollback: ScriptedRollback) => rollback.script.run(removeDuplication(rollback.context))
const foretold = (rollback: ScriptedRollback) => rollback.script.run(foretellRemoval(rollback.context))

/** What is said of a duplication that stays; nothing was changed. */
async function kept(rollback: ScriptedRollback): Promise<string> {
  const error: unknown = await removed(rollback).then(
    (summary) => assert.fail(summary),
    (error_: unknown) => error_,
  )
  assert.ok(error instanceof StepSkipped, String(error))
  assert.deepEqual([rollback.kinds, rollback.state.forgottenAtMs], [[], undefined])
  return error.message
}

/** Four mutations more than rest are on their way, and stay there. */
function busy(script: RollbackScript = {}): ScriptedRollback {
  const rollback = new ScriptedRollback(script)
  rollback.gaps(5, 1)
  return rollback
}

describe('removal of a duplication', () => {
  describe('at once', () => {
    for (const status of [DS_INIT, DS_PREPARE, DS_APP]) {
      it(`in ${DuplicationStatus[status]}: nothing ships yet`, async () => {
        const rollback = new ScriptedRollback(inStatus(status))
        rollback.gaps(5, 5)
        assert.equal(await removed(rollback), 'duplication 7 is removed and forgotten')
        assert.deepEqual(rollback.acts, [['remove-duplication', 0]])
        assert.deepEqual(rollback.script.performed, [{dupid: 7, kind: 'remove-duplication'}])
        assert.equal(rollback.state.forgottenAtMs, 0)
      })
    }

    it('in a return: the source denies', async () => {
      const rollback = busy({kind: 'return'})
      assert.equal(await removed(rollback), 'duplication 7 is removed and forgotten')
      assert.deepEqual(rollback.acts, [['remove-duplication', 0]])
    })

    it('where the pipeline was stopped before', async () => {
      const rollback = busy(inStatus(DS_PAUSE))
      rollback.script.source.duplicating = false
      assert.equal(await removed(rollback), AT_REST)
      assert.deepEqual(rollback.acts, [['remove-duplication', 0]])
      assert.ok(!rollback.script.asked.includes(`source replicas ${FIRST}`), 'its gaps tell all that is asked')
    })

    it('and not where only the meta, or only the pipeline, or one server says that it is stopped', async () => {
      for (const [status, idle, silent] of [
        [DS_PAUSE, [], []],
        [DS_PAUSE, [1], []],
        [DS_PAUSE, [0], [1]],
        [DS_PAUSE, [], [0, 1]],
        [DS_LOG, [0, 1], []],
      ] as const) {
        const rollback = new ScriptedRollback(inStatus(status))
        for (const index of idle) rollback.idle.add(index)
        for (const index of silent) rollback.silent.add(index)
        assert.equal(await removed(rollback), AT_REST)
        assert.deepEqual(rollback.acts, [['remove-duplication', 10_000]])
      }
    })

    it('waits until every server has forgotten it, for 3 min at most', async () => {
      const rollback = new ScriptedRollback(inStatus(DS_APP))
      rollback.forgettingTakes(7500)
      await removed(rollback)
      assert.equal(rollback.state.forgottenAtMs, 8000)
      assert.deepEqual(
        [rollback.texts[0], rollback.texts.at(-1)],
        [`still known by ${FIRST}, ${SECOND}`, 'every server has forgotten it'],
      )

      const never = new ScriptedRollback(inStatus(DS_APP))
      never.forgettingTakes(3_600_000)
      await assert.rejects(removed(never), {
        code: 'wait.limit',
        message: `removal of duplication 7: not there after 3 min; last seen: still known by ${FIRST}, ${SECOND}`,
      })
      assert.equal(never.state.forgottenAtMs, undefined)
    })
  })

  describe('after a quiet watch', () => {
    it('takes 10 s of nothing to ship, and tells how it goes on', async () => {
      const rollback = new ScriptedRollback()
      rollback.gaps(1, 1)
      await rollback.script.clock.advance(5000)
      assert.equal(await removed(rollback), AT_REST)
      assert.deepEqual(rollback.acts, [['remove-duplication', 15_000]])
      const seconds = Array.from({length: 20}, (_, half) => `nothing to ship for ${Math.round(half / 2)} of 10 s`)
      assert.deepEqual(rollback.texts, [...seconds, 'every server has forgotten it'])
    })

    it('bears what is on its way twice in a row', async () => {
      const rollback = busy()
      rollback.in(1000, () => rollback.gaps(1, 1))
      assert.equal(await removed(rollback), AT_REST)
      assert.equal(rollback.atMs('remove-duplication'), 10_000)
    })

    it('does not end while something is on its way', async () => {
      const rollback = new ScriptedRollback()
      rollback.in(9400, () => rollback.gaps(5, 1))
      rollback.in(10_400, () => rollback.gaps(1, 1))
      assert.equal(await removed(rollback), AT_REST)
      assert.equal(rollback.atMs('remove-duplication'), 11_000)

      const late = new ScriptedRollback()
      late.in(9400, () => late.gaps(2, 1))
      assert.match(await kept(late), /^duplication 7 is kept: 1 mutation is being shipped, and/)
      assert.equal(late.script.clock.nowMs(), 10_500)
    })

    it('bears the empty writes of idle primaries, and no more', async () => {
      const idle = new ScriptedRollback({seen: {timers: {configSyncMs: 30_000, groupCheckMs: 3000}}})
      for (const atMs of [100, 3000, 6000, 9000])
        idle.in(atMs, () => {
          idle.grow(0)
          idle.grow(1)
        })
      assert.equal(await removed(idle), AT_REST)

      const written = new ScriptedRollback()
      for (const atMs of [1100, 4100]) written.in(atMs, () => written.grow(0))
      assert.match(await kept(written), /^duplication 7 is kept: clients write to 1 partition of it, and/)
      assert.equal(written.script.clock.nowMs(), 4500)
    })

    it('bears none on master, where there are none', async () => {
      const rollback = new ScriptedRollback({seen: {generation: 'master'}})
      rollback.in(2100, () => {
        rollback.grow(0)
        rollback.grow(1)
      })
      assert.match(await kept(rollback), /clients write to 2 partitions of it/)

      const rests = new ScriptedRollback({seen: {generation: 'master'}})
      rests.gaps(1, 0)
      assert.match(await kept(rests), /1 mutation is being shipped/)
    })

    it('is told by the operator who leaves, not by what could not be read then', async () => {
      const rollback = new ScriptedRollback()
      const {script} = rollback
      script.onAsk = () => {
        if (script.clock.nowMs() < 2000) return
        script.abort.abort(new Error('Ctrl-C'))
        throw passing()
      }

      await assert.rejects(removed(rollback), /Ctrl-C/)
      assert.deepEqual(rollback.acts, [])
    })

    it('ends with what does not pass', async () => {
      const rollback = new ScriptedRollback()
      rollback.script.failing(`source replicas ${FIRST}`, 1, new TypeError('a bug'))
      await assert.rejects(removed(rollback), TypeError)
      assert.deepEqual(rollback.acts, [])
    })
  })

  describe('of a table that is written to', () => {
    it('is left out, and says why and what to do', async () => {
      const rollback = busy()
      assert.equal(
        await kept(rollback),
        'duplication 7 is kept: 4 mutations are being shipped, and removing it now can crash 2.5 servers. While it is there the servers keep their logs (disk), and atomic writes (incr, check-and-set) are refused. To remove it, run the same command with --brief-deny, or when nobody writes',
      )
      assert.equal(rollback.script.clock.nowMs(), 1000)
      assert.deepEqual(
        [rollback.state.keptBecause, rollback.state.keptNext],
        ['4 mutations are being shipped', undefined],
      )
    })

    it('is left out where nothing can be seen', async () => {
      const rollback = new ScriptedRollback()
      rollback.script.failing('source configuration', 3, passing())
      assert.match(
        await kept(rollback),
        /^duplication 7 is kept: it cannot be seen whether it rests \(no leader\), and removing/,
      )
      assert.equal(rollback.state.keptBecause, 'it cannot be seen whether it rests (no leader)')
    })

    it('is not left out, nor are writes denied for it, where an answer or two were late', async () => {
      for (const question of ['source configuration', `source states ${FIRST}`, `source replicas ${FIRST}`]) {
        const rollback = new ScriptedRollback({asked: {briefDeny: true}})
        rollback.script.failing(question, 2, passing())
        assert.equal(await removed(rollback), AT_REST)
        assert.deepEqual(rollback.kinds, ['remove-duplication'])
        assert.equal(rollback.script.asked.filter((asked) => asked === question).length > 2, true, question)
      }
    })

    it('is not asked for again where nothing can pass', async () => {
      const rollback = new ScriptedRollback()
      rollback.script.failing('source configuration', 1, new TypeError('a bug'))
      await assert.rejects(removed(rollback), TypeError)
    })

    it('is done when the copy is gone for good: nothing can be shipped', async () => {
      const rollback = busy({asked: {briefDeny: true, copyIsGone: true}})
      rollback.script.target.tables = []
      assert.equal(
        await removed(rollback),
        'duplication 7 is removed and forgotten; what it had left to ship is given up (4 mutations are being shipped)',
      )
      assert.deepEqual(rollback.acts, [['remove-duplication', 1000]])
    })

    it('is left out where the copy takes nothing, whatever was asked for', async () => {
      const rollback = busy({asked: {briefDeny: true}})
      rollback.copyHas([DENY, 'timeout*write'])
      const why = `b's copy carries ${DENY}=timeout*write and refuses what is shipped`
      assert.equal(await kept(rollback), `duplication 7 is kept: ${why} (4 mutations are being shipped)`)
      assert.equal(rollback.state.keptBecause, why)
      assert.match(rollback.state.keptNext!, /^Writes to users are allowed\. In the Pegasus shell on b: use users;/)
    })
  })

  describe('foretold', () => {
    it('is sure before anything ships, in a return, and behind a deny, without a look', async () => {
      for (const script of [
        inStatus(DS_INIT),
        inStatus(DS_PREPARE),
        inStatus(DS_APP),
        {kind: 'return'},
        {seen: {deny: 'reconfig*write'}},
        {asked: {copyIsGone: true}},
      ] as RollbackScript[]) {
        const rollback = busy(script)
        assert.equal(await foretold(rollback), 'remove')
        assert.deepEqual([rollback.script.asked, rollback.acts], [[], []])
      }
    })

    it('is sure where it rests', async () => {
      for (const status of [DS_LOG, DS_PAUSE]) {
        const rollback = new ScriptedRollback(inStatus(status))
        assert.equal(await foretold(rollback), 'remove')
        assert.equal(rollback.script.clock.nowMs(), 10_000)
        assert.deepEqual(rollback.acts, [])
      }
    })

    it('rests on what the operator allows where it ships', async () => {
      for (const status of [DS_LOG, DS_PAUSE]) {
        assert.equal(await foretold(busy(inStatus(status))), 'keep')
        const allowed = busy({...inStatus(status), asked: {briefDeny: true}})
        assert.equal(await foretold(allowed), 'brief-deny')
        assert.deepEqual(allowed.acts, [])
      }
    })

    it('is not to be where the copy takes nothing', async () => {
      const rollback = busy({asked: {briefDeny: true}})
      rollback.script.target.tables = []
      assert.equal(await foretold(rollback), 'keep')
    })
  })
})
