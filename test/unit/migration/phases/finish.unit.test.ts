import assert from 'node:assert/strict'

import {isMigratorError, MigratorError} from '../../../../src/lib/errors.js'
import type {MigrationContext} from '../../../../src/lib/migration/context.js'
import {finish} from '../../../../src/lib/migration/phases/finish.js'
import type {MigrationRequest} from '../../../../src/lib/migration/request.js'
import {runPhases} from '../../../../src/lib/migration/runner.js'
import {DuplicationStatus} from '../../../../src/lib/rpc/structs/duplication.js'
import {DENY, DUPID, FIRST, ScriptedMigration, SECOND} from '../../../support/scripted-migration.js'

function handedOver(request: Partial<MigrationRequest> = {}, more: Partial<MigrationContext> = {}): ScriptedMigration {
  const script = new ScriptedMigration(request, more)
  // This machine's journal knows the migration.
  script.context.hints.dupid = DUPID
  script.source.status = DuplicationStatus.DS_PAUSE
  script.source.envs.set(DENY, 'reconfig*all')
  return script
}

async function finished(script: ScriptedMigration) {
  const {error, timings} = await script.run(runPhases(script.context, [finish]))
  return {error: error as MigratorError | undefined, summary: timings[0]!.summary}
}

const setting = {
  before: '4096',
  kind: 'set-server-config',
  name: 'duplicate_log_batch_bytes',
  server: FIRST,
  side: 'source',
  value: '0',
} as const

describe('the end of a migration', () => {
  it('removes the duplication, cleans the target and puts settings back', async () => {
    const script = handedOver()
    script.target.envs = new Map([
      ['default_ttl', '100'],
      ['duplication.master_cluster', 'a'],
      ['duplication.master_metas', 'm'],
      [DENY, 'reconfig*all'],
    ])
    script.context.hints.settings.push(setting)
    const {error, summary} = await finished(script)
    assert.equal(error, undefined)
    assert.deepEqual(script.performed, [
      {dupid: DUPID, kind: 'remove-duplication'},
      {
        before: {'duplication.master_cluster': 'a', 'duplication.master_metas': 'm', [DENY]: 'reconfig*all'},
        keys: ['duplication.master_cluster', 'duplication.master_metas', DENY],
        kind: 'delete-target-envs',
      },
      {...setting, before: '0', value: '4096'},
    ])
    assert.deepEqual([...script.target.envs.keys()], ['default_ttl'])
    assert.equal(script.source.envs.get(DENY), 'reconfig*all')
    assert.equal(summary, '1 setting put back, duplication removed')
  })

  it('puts back what a run of another machine has set and no journal here knows, and says so', async () => {
    const script = handedOver()
    script.source.configured.set('duplicate_log_batch_bytes', '4096')
    script.context.hints.settings.push(setting)
    const {error} = await finished(script)
    assert.equal(error, undefined)
    const back = script.performed.filter(({kind}) => kind === 'set-server-config')
    assert.deepEqual(
      back.map((effect) => (effect as typeof setting).server),
      [FIRST, SECOND],
    )
    const found = script.events.find((event) => event.type === 'warning' && event.code === 'setting.found')
    assert.match((found as {message: string}).message, new RegExp(`batch_bytes back to 4096 on ${SECOND}$`))
  })

  it('leaves them where another table is duplicated: it may need them', async () => {
    const script = handedOver()
    script.source.configured.set('duplicate_log_batch_bytes', '4096')
    script.source.tables.push({appId: 99, appName: 'other', duplicating: true, status: 2} as never)
    const {error} = await finished(script)
    assert.equal(error, undefined)
    assert.deepEqual(
      script.performed.filter(({kind}) => kind === 'set-server-config'),
      [],
    )
  })

  it('does what is left of it once more', async () => {
    const script = handedOver()
    script.state.dupid = 0
    script.source.status = undefined
    const {error, summary} = await finished(script)
    assert.equal(error, undefined)
    assert.deepEqual(script.performed, [])
    assert.equal(summary, '0 settings put back, duplication removed')
  })

  it('bears a target without the table', async () => {
    const script = handedOver()
    script.target.isThere = false
    assert.equal((await finished(script)).error, undefined)
    assert.deepEqual(script.kinds, ['remove-duplication'])
  })

  it('goes on when the operator leaves: there is only forward', async () => {
    const script = handedOver()
    script.target.envs.set('duplication.master_cluster', 'a')
    script.context.hints.settings.push(setting)
    script.onEffect = ({kind}) => {
      if (kind === 'remove-duplication') script.abort.abort(new Error('Ctrl-C'))
    }

    assert.equal((await finished(script)).error, undefined)
    assert.deepEqual(script.kinds, ['remove-duplication', 'delete-target-envs', 'set-server-config'])
  })

  it('waits until every server has forgotten the duplication', async () => {
    const script = handedOver()
    const {clock, source} = script
    script.afterEffect = ({kind}) => {
      if (kind !== 'remove-duplication') return
      source.status = DuplicationStatus.DS_REMOVED
      clock.setTimer(4500, () => {
        source.status = undefined
      })
    }

    assert.equal((await finished(script)).error, undefined)
    assert.equal(clock.nowMs(), 5000)
    const texts = script.events.flatMap((event) => (event.type === 'progress' ? [event.progress.text] : []))
    assert.equal(texts.at(-1), 'every server has forgotten it')
    assert.ok(texts.includes(`still known by ${FIRST}, ${SECOND}`), texts.join('\n'))
  })

  it('and no longer than the limit', async () => {
    const script = handedOver({limits: {...handedOver().context.request.limits, finishMs: 3000}})
    script.afterEffect = () => {
      script.source.status = DuplicationStatus.DS_LOG
    }

    const {error} = await finished(script)
    assert.ok(isMigratorError(error, 'wait.limit'))
    assert.match(error.message, /removal of duplication 7: not there after 3 s; last seen: still known by the meta/)
  })

  it('tells all of it in a rehearsal, and asks nobody', async () => {
    const script = handedOver({}, {dryRun: true})
    script.state.dupid = 0
    script.context.hints.settings.push(setting)
    assert.equal((await finished(script)).error, undefined)
    assert.deepEqual(script.performed, [
      {dupid: 0, kind: 'remove-duplication'},
      {
        before: {},
        keys: ['duplication.master_cluster', 'duplication.master_metas'],
        kind: 'delete-target-envs',
      },
    ])
    assert.deepEqual(script.asked, [])
  })

  describe('looks who still asks the source', () => {
    const failed = (reads: number, writes: number) =>
      new Map([
        ['replica*eon.replica_stub*recent.read.fail.count', reads],
        ['replica*eon.replica_stub*recent.write.fail.count', writes],
      ])

    it('where it was looked at before', async () => {
      const script = handedOver()
      script.state.failedBefore = Promise.resolve(new Map())
      script.source.counters = failed(3, 4)
      assert.equal((await finished(script)).error, undefined)
      assert.deepEqual(script.state.remainingClients?.refused, [
        {reads: 3, server: FIRST, writes: 4},
        {reads: 3, server: SECOND, writes: 4},
      ])
    })

    it('and nowhere else', async () => {
      const script = handedOver()
      script.source.counters = failed(3, 4)
      await finished(script)
      assert.equal(script.state.remainingClients, undefined)
    })
  })

  describe('keeps the source closed', () => {
    it('to the end: what somebody else set in between is replaced once more', async () => {
      for (const [deny, words] of [
        [undefined, 'nothing'],
        ['timeout*write', 'timeout*write'],
      ] as const) {
        const script = handedOver()
        script.afterEffect = ({kind}) => {
          if (kind !== 'remove-duplication') return
          if (deny === undefined) script.source.envs.delete(DENY)
          else script.source.envs.set(DENY, deny)
        }

        assert.equal((await finished(script)).error, undefined)
        assert.deepEqual(script.kinds, ['remove-duplication', 'close-source'])
        assert.equal(script.source.envs.get(DENY), 'reconfig*all')
        const [warning] = script.state.warnings
        assert.equal(
          warning,
          `somebody replaced replica.deny_client_request=reconfig*all on the source's users by ${words}: it is closed again`,
        )
        assert.ok(script.words.includes(warning))
        assert.ok(script.told.includes('finish.closed_again'))
        // Whoever did it may do it again.
        assert.equal(script.clock.nowMs(), 3000)
      }
    })

    it('three times, against whoever sets something else each time', async () => {
      for (const [deny, words] of [
        [undefined, 'deleted'],
        ['timeout*write', 'timeout*write'],
      ] as const) {
        const script = handedOver()
        script.afterEffect = () => {
          if (deny === undefined) script.source.envs.delete(DENY)
          else script.source.envs.set(DENY, deny)
        }

        const {error} = await finished(script)
        assert.ok(isMigratorError(error, 'finish.reopened'))
        assert.match(error.message, new RegExp(`is ${words.replace('*', String.raw`\*`)} again and again`))
        assert.match(error.next!, /^b serves\. Find out who sets it/)
        assert.deepEqual(error.facts, {found: deny})
        assert.equal(script.kinds.filter((kind) => kind === 'close-source').length, 3)
      }
    })

    it('unless it was dropped', async () => {
      const script = handedOver()
      script.source.isThere = false
      assert.equal((await finished(script)).error, undefined)
      assert.deepEqual(script.kinds, ['remove-duplication'])
    })
  })

  it('is not one where a setting could not be put back', async () => {
    const script = handedOver()
    script.context.hints.settings.push(setting, {...setting, server: SECOND})
    script.onEffect = (effect) => {
      if (effect.kind === 'set-server-config' && effect.server === SECOND)
        throw new MigratorError('rpc.timeout', 'no answer')
    }

    const {error} = await finished(script)
    assert.ok(isMigratorError(error, 'finish.settings_left'))
    assert.match(error.message, /^users is moved, and .*duplicate_log_batch_bytes back to 4096 on 10\.0\.0\.2:34801/)
    assert.deepEqual(error.facts, {settings: 1})
    assert.equal(script.state.settingsPutBack.length, 1)
  })

  it('forgets that servers hear of envs within a second', async () => {
    const script = handedOver()
    script.state.timers = {configSyncMs: 1000, groupCheckMs: 10_000}
    script.state.fast = {metaMs: 1, servers: new Map([[FIRST, {loweredAtMs: 0, oldMs: 30_000}]])}
    await finished(script)
    assert.equal(script.state.timers.configSyncMs, 30_000)
  })

  it('stops where the duplication cannot be removed', async () => {
    const script = handedOver()
    script.onEffect = () => {
      throw new MigratorError('meta.error', 'no')
    }

    const {error} = await finished(script)
    assert.equal(error?.message, 'no')
    assert.deepEqual(script.kinds, [])
  })

  it('waits for a deny that may still come in the place of its own, and closes the source again', async () => {
    const script = handedOver()
    const {clock, source, state} = script
    state.denyLateUntilMs = clock.nowMs() + 30_000
    clock.setTimer(29_000, () => {
      source.envs.set(DENY, 'reconfig*write')
      source.answers = ['refusing', 'refusing']
    })
    assert.equal((await finished(script)).error, undefined)
    assert.equal(source.envs.get(DENY), 'reconfig*all')
    assert.deepEqual(
      script.told.filter((code) => code === 'finish.closed_again'),
      ['finish.closed_again'],
    )
    assert.ok(clock.nowMs() >= 30_000)
  })

  it('waits for nothing where its deny was answered at once', async () => {
    const script = handedOver()
    script.state.denyLateUntilMs = script.clock.nowMs()
    assert.equal((await finished(script)).error, undefined)
    assert.ok(script.clock.nowMs() < 10_000, String(script.clock.nowMs()))
  })
})
