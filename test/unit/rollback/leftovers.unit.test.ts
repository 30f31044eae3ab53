import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {type RunStep, StepSkipped} from '../../../src/lib/migration/rollback/context.js'
import {
  cleanTarget,
  dropTarget,
  isNeededToShip,
  putBack,
  recallHint,
} from '../../../src/lib/migration/rollback/leftovers.js'
import {copy, target} from '../../support/rollback-view.js'
import {FIRST, SECOND} from '../../support/scripted-migration.js'
import {ScriptedRollback} from '../../support/scripted-rollback.js'
import {keepSettings, lowered, steady, unbatched} from '../../support/scripted-settings.js'

const RECALL = 'for seven days it can be recalled in the Pegasus shell on b: recall 9 users'
const withCopy = () => new ScriptedRollback({seen: {target}})
const done = (rollback: ScriptedRollback, step: RunStep) => rollback.script.run(step(rollback.context))

/** The duplication is kept: the step leaves itself out, and does nothing. */
async function skipped(step: RunStep, message: string): Promise<void> {
  const rollback = withCopy()
  rollback.state.keptBecause = 'clients write to it'
  await assert.rejects(done(rollback, step), (error) => {
    assert.ok(error instanceof StepSkipped)
    assert.equal(error.message, message)
    return true
  })
  assert.deepEqual([rollback.acts, rollback.script.reports], [[], []])
}

describe('settings that a rollback puts back', () => {
  /** They are as a migration set them. */
  function changed(): ScriptedRollback {
    const rollback = new ScriptedRollback()
    const {context, script} = rollback
    context.hints.settings.push(unbatched(FIRST), lowered(FIRST), unbatched(SECOND))
    script.source.config.set('config_sync_interval_ms', '1000')
    keepSettings(script)
    return rollback
  }

  it('are all of them', async () => {
    const rollback = changed()
    assert.equal(await done(rollback, putBack), '3 settings are as they were')
    assert.deepEqual(rollback.context.hints.settings, [])
    assert.equal(rollback.state.settingsPutBack.length, 3)
  })

  it('are not those that a duplication needs which is kept', async () => {
    const rollback = changed()
    rollback.state.keptBecause = 'clients write to it'
    assert.equal(
      await done(rollback, putBack),
      '1 setting is as it was; duplicate_log_batch_bytes stays 0 on 2 servers as long as duplication 7 ships: a larger one reorders overwrites',
    )
    assert.deepEqual(rollback.script.performed, [lowered(FIRST, {before: '1000', value: '30000'})])
    assert.deepEqual(rollback.context.hints.settings, [unbatched(FIRST), unbatched(SECOND)])
  })

  it('are no more than there are', async () => {
    const rollback = new ScriptedRollback()
    rollback.state.keptBecause = 'clients write to it'
    assert.equal(await done(rollback, putBack), '0 settings are as they were')
  })

  it('are needed to ship where they keep the order', () => {
    assert.deepEqual(
      [unbatched(), lowered(), steady].map((effect) => isNeededToShip(effect)),
      [true, false, false],
    )
    assert.equal(isNeededToShip({...steady, name: 'duplicate_log_batch_bytes'} as never), false)
  })
})

describe("the target's copy", () => {
  it('follows nobody any more', async () => {
    const rollback = withCopy()
    assert.equal(await done(rollback, cleanTarget), "b's copy is a table of its own now, and no longer kept up to date")
    const keys = ['duplication.master_cluster', 'duplication.master_metas']
    assert.deepEqual(rollback.script.performed, [{before: copy.followerEnvs, keys, kind: 'delete-target-envs'}])
  })

  it('has its envs deleted in their order', async () => {
    const followerEnvs = {'duplication.z': '1', 'duplication.a': '2'}
    const rollback = new ScriptedRollback({seen: {target: {...target, table: {...copy, followerEnvs}}}})
    await done(rollback, cleanTarget)
    assert.deepEqual(
      rollback.script.performed.map((effect) => 'keys' in effect && effect.keys),
      [['duplication.a', 'duplication.z']],
    )
  })

  it('stays as it is while the duplication is kept', async () => {
    await skipped(cleanTarget, 'the duplication is kept, and the target follows it')
    await skipped(dropTarget, 'the duplication is kept: dropping its target would crash servers')
  })

  it('is dropped 40 s after every server had forgotten the duplication', async () => {
    const rollback = withCopy()
    await rollback.script.clock.advance(10_000)
    rollback.state.forgottenAtMs = 7500
    assert.equal(await done(rollback, dropTarget), `b's copy (table id 9) is dropped; ${RECALL}`)
    assert.deepEqual(rollback.acts, [['drop-target-table', 47_500]])
    assert.deepEqual(rollback.script.performed, [{appId: 9, kind: 'drop-target-table', reserveSeconds: 604_800}])
    const {reports} = rollback.script
    const text = 'waiting until no server can remember the duplication'
    assert.deepEqual([reports[0], reports[1]?.etaMs], [{etaMs: 37_500, text}, 36_500])
    assert.deepEqual([reports.at(-1), reports.length], [{etaMs: 500, text}, 38])
  })

  it('is dropped 40 s after the begin where there was no duplication, and at once later', async () => {
    const rollback = withCopy()
    await done(rollback, dropTarget)
    assert.deepEqual(rollback.acts, [['drop-target-table', 40_000]])
    assert.equal(rollback.script.reports.length, 40)
    await done(rollback, dropTarget)
    assert.deepEqual(rollback.acts[1], ['drop-target-table', 40_000])
    assert.equal(rollback.script.reports.length, 40)
  })

  it('is not dropped when the operator leaves', async () => {
    const rollback = withCopy()
    rollback.in(20_300, () => rollback.script.abort.abort(new Error('Ctrl-C')))
    await assert.rejects(done(rollback, dropTarget), /Ctrl-C/)
    assert.deepEqual([rollback.acts, rollback.script.clock.nowMs()], [[], 20_300])
  })

  it('is not told to be dropped where it was not', async () => {
    const rollback = withCopy()
    rollback.script.onEffect = () => {
      throw new MigratorError('drop.other_table', 'somebody made a new one')
    }

    await assert.rejects(done(rollback, dropTarget), {code: 'drop.other_table'})
  })

  it('can be recalled', () => {
    assert.equal(recallHint(withCopy().context), RECALL)
  })
})
