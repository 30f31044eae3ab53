import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {isCopyGone, whatHinders} from '../../../src/lib/migration/rollback/copy.js'
import type {RollbackView} from '../../../src/lib/migration/rollback/view.js'
import {AppStatus} from '../../../src/lib/rpc/structs/table.js'
import {copy, entry, target, view} from '../../support/rollback-view.js'
import {DENY} from '../../support/scripted-migration.js'
import {ScriptedRollback} from '../../support/scripted-rollback.js'

const {cluster, metas} = target
const GIVE_UP = 'un the same command with --copy-is-gone: what is left to ship is given up with the copy.'
const hinders = (rollback: ScriptedRollback) => rollback.script.run(whatHinders(rollback.context))
const asksTarget = ({script}: ScriptedRollback) => script.asked.includes('target tables')

describe('what keeps the copy from taking what is left to ship', () => {
  it('is nothing where it is there and takes it', async () => {
    const rollback = new ScriptedRollback()
    assert.equal(await hinders(rollback), undefined)
    assert.ok(asksTarget(rollback))
  })

  it('cannot be seen where nobody knows the target, or its metas', async () => {
    const unknown = new ScriptedRollback()
    delete unknown.context.view.target
    for (const rollback of [unknown, new ScriptedRollback({seen: {target: {cluster, metas: []}}})]) {
      assert.equal(await hinders(rollback), undefined)
      assert.ok(!asksTarget(rollback))
    }
  })

  it('is a target that does not answer', async () => {
    const rollback = new ScriptedRollback()
    rollback.script.failing('target tables', 1, new MigratorError('rpc.timeout', 'no answer'))
    assert.deepEqual(await hinders(rollback), {
      next: `Writes to users are allowed. When b answers again, run the same command. Or r${GIVE_UP}`,
      why: 'b cannot be reached (no answer), so that what is left cannot arrive',
    })
  })

  it('is asked for patiently, and no longer than 10 s', async () => {
    const rollback = new ScriptedRollback()
    const asked: unknown[] = []
    const {client, signal} = rollback.context
    rollback.context.client = {
      ...client,
      cluster: (given: string[]) => ({
        async tables(limits: object) {
          asked.push(given, limits)
          return []
        },
      }),
    } as never
    await hinders(rollback)
    assert.deepEqual(asked, [metas, {patienceMs: 10_000, signal, timeoutMs: 10_000}])
    assert.equal((asked[1] as {signal: AbortSignal}).signal, signal)
  })

  describe('is a table that is gone', () => {
    const why = 'b has no table users any more, so that what is left can never arrive'

    it('for good', async () => {
      const rollback = new ScriptedRollback()
      rollback.script.target.tables = []
      assert.deepEqual(await hinders(rollback), {next: `Writes to users are allowed. R${GIVE_UP}`, why})
    })

    it('and can be recalled for a while', async () => {
      const rollback = new ScriptedRollback()
      const expireSecond = rollback.script.clock.wallMs() / 1000 + 3600
      const dropped = {appId: 5, appName: 'users', expireSecond, status: AppStatus.AS_DROPPED}
      rollback.script.target.tables = [dropped as never]
      assert.deepEqual(await hinders(rollback), {
        next: `Writes to users are allowed. Recall it (it can be until 2026-01-01T01:00:00.000Z): in the Pegasus shell on b: recall 5 users, and run the same command. Or r${GIVE_UP}`,
        why,
      })
    })
  })

  it('is a deny of its own', async () => {
    const rollback = new ScriptedRollback()
    rollback.copyHas([DENY, 'reconfig*all'])
    assert.deepEqual(await hinders(rollback), {
      next: 'Writes to users are allowed. In the Pegasus shell on b: use users; del_app_envs replica.deny_client_request. Then run the same command.',
      why: "b's copy carries replica.deny_client_request=reconfig*all and refuses what is shipped",
    })
  })

  it('ends with what cannot pass, and with the operator who leaves', async () => {
    const bug = new TypeError('a bug')
    const rollback = new ScriptedRollback()
    rollback.script.failing('target tables', 1, bug)
    await assert.rejects(hinders(rollback), bug)
    const leaving = new ScriptedRollback()
    leaving.script.abort.abort(new Error('Ctrl-C'))
    await assert.rejects(hinders(leaving), /Ctrl-C/)
  })
})

describe('a copy', () => {
  const isGone = (seen: Partial<RollbackView>) => isCopyGone(view({entry, target: {cluster, metas}, ...seen}))

  it('is gone where the metas of the target answer, and have no such table', () => {
    assert.equal(isGone({}), true)
  })

  it('may be there otherwise', () => {
    const unknown = view({entry})
    assert.equal(isCopyGone(unknown), false)
    assert.equal(isGone({target: {cluster, metas: []}}), false)
    assert.equal(isGone({target: {cluster, metas, trouble: 'no answer'}}), false)
    assert.equal(isGone({target: {cluster, metas, table: copy}}), false)
    assert.equal(isGone({entry: {...entry, remote: 'c'}}), false)
    assert.equal(isCopyGone(view({target: {cluster, metas}})), false)
  })
})
