import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {
  droppedTable,
  explainTarget,
  recallLine,
  requireFitTarget,
  targetTrouble,
} from '../../../src/lib/migration/target-health.js'
import {type AppInfo, AppStatus} from '../../../src/lib/rpc/structs/table.js'
import {DENY, ScriptedMigration} from '../../support/scripted-migration.js'

const GONE =
  'The target has no table users: somebody dropped it. Take the migration back: pegasus table:migrate-rollback -t users --copy-is-gone.'

describe("the target's copy", () => {
  let migration: ScriptedMigration

  beforeEach(() => {
    migration = new ScriptedMigration()
  })

  const trouble = () => migration.run(targetTrouble(migration.context))
  const explained = () => migration.run(explainTarget(migration.context))
  const failing = (question: string, error: Error) => migration.failing(question, 1, error)

  it('is fit where nothing is wrong with it', async () => {
    assert.equal(await trouble(), undefined)
    assert.equal(await explained(), 'The target itself looks healthy.')
    await migration.run(requireFitTarget(migration.context))
  })

  it('is missed, and recalled as long as its data is kept', async () => {
    migration.target.isThere = false
    assert.equal(await trouble(), GONE)
    const untilMs = migration.clock.wallMs() + 60_000
    migration.target.tables = [dropped(5, untilMs / 1000)]
    assert.equal(
      await trouble(),
      `The target has no table users: somebody dropped it. Recall it (it can be until ${new Date(untilMs).toISOString()}): in the Pegasus shell on b: recall 5 users; or take the migration back: pegasus table:migrate-rollback -t users --copy-is-gone.`,
    )
    await migration.clock.advance(60_000)
    assert.equal(await trouble(), GONE)
  })

  it('quotes a name that a shell would take apart', async () => {
    migration = new ScriptedMigration({table: "a'b"})
    migration.target.isThere = false
    assert.ok((await trouble())!.includes(String.raw`-t 'a'\''b' --copy-is-gone.`), await trouble())
  })

  it('refuses what is shipped while it carries a deny', async () => {
    migration.target.envs.set(DENY, 'timeout*write')
    assert.equal(
      await trouble(),
      `The target's users carries ${DENY}=timeout*write: it refuses what is shipped. Delete that env there.`,
    )
  })

  it('lacks primaries', async () => {
    migration.target.primaries = [null, '10.0.1.2:34801']
    assert.equal(await explained(), 'Partitions 0 have no primary on the target.')
    migration.target.primaries = [null, null]
    assert.equal(await explained(), 'Partitions 0, 1 have no primary on the target.')
  })

  it('is told in the words of its meta', async () => {
    failing('target configuration', new MigratorError('meta.error', 'refused', {facts: {err: 'ERR_APP_NOT_EXIST'}}))
    assert.equal(await trouble(), "The target's meta answers ERR_APP_NOT_EXIST for users.")
  })

  it('is not judged by what could not be read', async () => {
    const error = new MigratorError('meta.no_leader', 'no leader')
    for (const question of ['target table', 'target configuration']) {
      failing(question, error)
      await assert.rejects(trouble(), error)
      failing(question, error)
      assert.equal(await explained(), 'The target could not be read: no leader.')
    }
  })

  it('is not explained to a run that is stopped', async () => {
    const reason = new MigratorError('ui.signal', 'stopped')
    migration.abort.abort(reason)
    await assert.rejects(explained(), reason)
  })

  it('must be fit before anything depends on it', async () => {
    migration.target.isThere = false
    await assert.rejects(migration.run(requireFitTarget(migration.context)), {
      code: 'target.unfit',
      message: GONE,
      next: 'Mend that, then run the same command again; it goes on from here.',
    })
  })
})

describe('a dropped table', () => {
  it('is the last one of its name, while its data is kept', () => {
    const tables = [
      dropped(5, 2000),
      dropped(9, 3000),
      dropped(7, 4000),
      {...dropped(11, 5000), appName: 'users2'},
      {...dropped(12, 5000), status: AppStatus.AS_AVAILABLE},
    ]
    assert.deepEqual(droppedTable(tables, 'users', 1_999_999), {appId: 9, untilMs: 3_000_000})
    assert.deepEqual(droppedTable(tables, 'users', 3_000_000), {appId: 7, untilMs: 4_000_000})
    assert.equal(droppedTable(tables, 'users', 4_000_000), undefined)
    assert.equal(droppedTable([], 'users', 0), undefined)
  })

  it('is recalled by its number', () => {
    assert.equal(
      recallLine('b', 'users', {appId: 7, untilMs: 1_800_000_000_000}),
      'Recall it (it can be until 2027-01-15T08:00:00.000Z): in the Pegasus shell on b: recall 7 users',
    )
  })
})

function dropped(appId: number, expireSecond: number): AppInfo {
  return {appId, appName: 'users', expireSecond, status: AppStatus.AS_DROPPED} as AppInfo
}
