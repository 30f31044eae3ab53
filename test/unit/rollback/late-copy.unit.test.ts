import assert from 'node:assert/strict'

import {StepSkipped} from '../../../src/lib/migration/rollback/context.js'
import {cleanTarget} from '../../../src/lib/migration/rollback/leftovers.js'
import {planRollback} from '../../../src/lib/migration/rollback/plan.js'
import {foretell} from '../../../src/lib/migration/rollback/rehearse.js'
import type {RollbackView} from '../../../src/lib/migration/rollback/view.js'
import {MigratorError} from '../../../src/lib/errors.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {copy, entry, request, target, view} from '../../support/rollback-view.js'
import {ScriptedRollback} from '../../support/scripted-rollback.js'

const {DS_APP, DS_INIT, DS_LOG, DS_PAUSE, DS_PREPARE} = DuplicationStatus
const gone = {cluster: 'b', metas: ['b:1']}
const MASTER = 'duplication.master_cluster'
const inStatus = (status: DuplicationStatus) => ({...entry, status})
const stepsOf = (seen: Partial<RollbackView>, dropTarget = false) =>
  planRollback(view(seen), request({dropTarget, targetCluster: 'b'})).steps
const following = (master: string) => ({...target, table: {...copy, followerEnvs: {[MASTER]: master}}})

describe('a copy that the source’s meta has sent for', () => {
  it('is looked for once more when the duplication is removed, as long as it may come', () => {
    for (const status of [DS_INIT, DS_PREPARE])
      for (const dropTarget of [false, true])
        assert.deepEqual(stepsOf({entry: inStatus(status), target: gone}, dropTarget), [
          'prove-writes',
          'remove-duplication',
          'clean-target',
        ])
    for (const status of [DS_APP, DS_LOG, DS_PAUSE])
      assert.deepEqual(stepsOf({entry: inStatus(status), target: gone}), ['prove-writes', 'remove-duplication'])
  })

  it('is not looked for where nothing can be read, or there is no duplication', () => {
    const unread = {...gone, trouble: 'no answer'}
    assert.ok(!stepsOf({entry: inStatus(DS_PREPARE), target: unread}).includes('clean-target'))
    assert.deepEqual(stepsOf({target: gone}), ['prove-writes'])
  })

  it('is not foretold: nobody knows whether it comes', async () => {
    const rollback = new ScriptedRollback({seen: {entry: inStatus(DS_PREPARE), target: gone}})
    rollback.context.plan.steps = ['remove-duplication', 'clean-target']
    assert.deepEqual(await rollback.script.run(foretell(rollback.context)), [{dupid: 7, kind: 'remove-duplication'}])
  })

  describe('by then', () => {
    let rollback: ScriptedRollback
    const clean = () => rollback.script.run(cleanTarget(rollback.context))
    const skipped = (message: string) => (error: unknown) => {
      assert.ok(error instanceof StepSkipped, String(error))
      assert.equal(error.message, message)
      assert.deepEqual(rollback.kinds, [])
      return true
    }

    beforeEach(() => {
      rollback = new ScriptedRollback({seen: {entry: inStatus(DS_PREPARE), target: gone}})
    })

    it('is made a table of its own', async () => {
      rollback.copyHas([MASTER, 'a'], ['duplication.master_metas', 'x:1'], ['other', '1'])
      assert.equal(await clean(), "b's copy is a table of its own now, and no longer kept up to date")
      assert.deepEqual(rollback.script.performed, [
        {
          before: {[MASTER]: 'a', 'duplication.master_metas': 'x:1'},
          keys: [MASTER, 'duplication.master_metas'],
          kind: 'delete-target-envs',
        },
      ])
    })

    it('is none: there is no table within 3 s, or one of its own', async () => {
      const {clock, target} = rollback.script
      target.tables = []
      await assert.rejects(clean(), skipped('b has no copy of it'))
      assert.equal(clock.nowMs(), 3000)
      assert.deepEqual(rollback.script.reports[0], {etaMs: 3000, text: 'looking whether a copy comes yet'})
      rollback.copyHas(['other', '1'])
      await assert.rejects(clean(), skipped('b has no copy of it'))
      assert.equal(clock.nowMs(), 3000)
    })

    it('is one that comes a moment later', async () => {
      rollback.script.target.tables = []
      rollback.in(1200, () => rollback.copyHas([MASTER, 'a']))
      await clean()
      assert.deepEqual(rollback.acts, [['delete-target-envs', 1500]])
    })

    it('is one by the name that master duplicates as', async () => {
      rollback.copyHas([MASTER, 'a2'])
      rollback.script.source.config.set('dup_cluster_name', 'a2')
      Object.assign(rollback.context.source, {leader: async () => '10.0.0.9:34601'})
      await clean()
      assert.deepEqual(rollback.kinds, ['delete-target-envs'])
    })

    it('is left alone where it follows another cluster', async () => {
      rollback.copyHas([MASTER, 'z'])
      Object.assign(rollback.context.source, {leader: async () => '10.0.0.9:34601'})
      const sentence = 'b has a table of that name by now, which follows z: it stays as it is'
      await assert.rejects(clean(), skipped(sentence))
      Object.assign(rollback.context.source, {
        async leader() {
          throw new MigratorError('meta.error', 'no leader')
        },
      })
      await assert.rejects(clean(), skipped(sentence))
    })

    it('is not known where the target does not answer', async () => {
      rollback.script.failing('target tables', 9, new MigratorError('rpc.timeout', 'no answer'))
      await assert.rejects(clean(), skipped('whether b has a copy by now cannot be read: no answer'))
    })

    it('is left to a duplication that is kept', async () => {
      rollback.state.keptBecause = 'it ships'
      rollback.copyHas([MASTER, 'a'])
      await assert.rejects(clean(), skipped('the duplication is kept, and the target follows it'))
    })
  })
})

describe('a table of the target’s that follows another cluster', () => {
  it('is not made one of its own by a rollback', () => {
    assert.deepEqual(stepsOf({target: following('z')}), ['prove-writes'])
    assert.deepEqual(stepsOf({entry: inStatus(DS_PREPARE), target: following('z')}), [
      'prove-writes',
      'remove-duplication',
    ])
  })

  it('is ours by either name, by what ships to it, or when a cleaning was cut short', () => {
    const ours: Partial<RollbackView>[] = [
      {target: following('a')},
      {source: {cluster: 'a', duplicatesAs: 'a2', metas: ['a:1']}, target: following('a2')},
      {entry: inStatus(DS_LOG), target: following('unread')},
      {target: {...target, table: {...copy, followerEnvs: {'duplication.master_metas': 'x:1'}}}},
    ]
    for (const seen of ours) assert.equal(stepsOf(seen).at(-1), 'clean-target')
    assert.deepEqual(stepsOf({target: {...target, table: {...copy, followerEnvs: {}}}}), ['prove-writes'])
  })
})
