import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {allowWrites, proveWrites, takeOwnDenyBack} from '../../../src/lib/migration/rollback/writes.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {entry, target} from '../../support/rollback-view.js'
import {DENY} from '../../support/scripted-migration.js'
import {type RollbackScript, ScriptedRollback} from '../../support/scripted-rollback.js'

const {DS_LOG, DS_PAUSE} = DuplicationStatus
const VALUE = 'reconfig*write'
const passing = () => new MigratorError('meta.error', 'no leader')

/** Writes are denied on the source. */
function denied(script: RollbackScript = {}): ScriptedRollback {
  const rollback = new ScriptedRollback({...script, seen: {deny: VALUE, ...script.seen}})
  deny(rollback)
  rollback.context.view.node = {record: rollback.script.node, side: 'source'}
  return rollback
}

function deny({script: {source}}: ScriptedRollback): void {
  source.envs.set(DENY, VALUE)
  source.answers = ['refusing', 'refusing']
}

const allow = (rollback: ScriptedRollback) => rollback.script.run(allowWrites(rollback.context))
const prove = (rollback: ScriptedRollback) => rollback.script.run(proveWrites(rollback.context))

describe('a rollback allows writes', () => {
  it('when no switch can come any more, and proves it on every primary', async () => {
    const rollback = denied()
    const {clock, source} = rollback.script
    await clock.advance(1000)
    rollback.script.afterEffect = ({kind}) => {
      if (kind !== 'lift-deny') return
      source.answers[1] = 'refusing'
      rollback.in(20_000, () => {
        source.answers[1] = 'open'
      })
    }

    const summary = await allow(rollback)
    assert.deepEqual(rollback.kinds, ['take-commit-away', 'lift-deny'])
    assert.ok(clock.nowMs() >= 21_000, `after ${clock.nowMs()} ms`)
    const afterMs = clock.nowMs()
    assert.equal(rollback.state.writableAfterMs, afterMs)
    assert.equal(summary, `every primary accepts writes, proved after ${(afterMs / 1000).toFixed(1)} s`)
  })

  it('counted from the beginning of the command', async () => {
    const rollback = denied()
    await rollback.script.clock.advance(5000)
    rollback.context.startMs = 2000
    await allow(rollback)
    assert.equal(rollback.state.writableAfterMs, rollback.script.clock.nowMs() - 2000)
  })

  it('and never where the node was switched just now', async () => {
    const rollback = denied()
    rollback.script.writeNode('b')
    await assert.rejects(allow(rollback), {
      code: 'rollback.switched',
      message: 'users was switched to b just now: nothing is lifted',
      next: 'Run the same command again: it sees the table on the target then.',
    })
    assert.deepEqual(rollback.kinds, [])
  })

  it('without a look at a node that there is not', async () => {
    const rollback = denied()
    rollback.context.view.node = {side: 'absent'}
    await allow(rollback)
    assert.deepEqual(rollback.kinds, ['lift-deny'])
    assert.ok(!rollback.script.asked.includes('node users'))
  })

  it('no longer than it was told to insist', async () => {
    const rollback = denied({asked: {limitMs: 30_000}})
    rollback.script.onEffect = ({kind}) => {
      if (kind === 'lift-deny') throw passing()
    }

    await assert.rejects(allow(rollback), MigratorError)
    const {clock} = rollback.script
    assert.ok(clock.nowMs() >= 30_000 && clock.nowMs() < 40_000, `after ${clock.nowMs()} ms`)
    const insisting = denied({asked: {limitMs: 30_000}})
    insisting.script.failing('node users', 100, passing())
    await assert.rejects(allow(insisting), MigratorError)
    assert.ok(insisting.script.clock.nowMs() < 40_000)
    assert.deepEqual(insisting.kinds, [])
  })

  describe('and a duplication that was paused', () => {
    const copy = {target: {...target}}
    const paused = (seen: RollbackScript['seen'] = {}) =>
      denied({seen: {...copy, entry: {...entry, status: DS_PAUSE}, ...seen}})

    it('goes on before that', async () => {
      const rollback = paused()
      await allow(rollback)
      assert.deepEqual(rollback.kinds, ['take-commit-away', 'resume-duplication', 'lift-deny'])
      assert.equal(rollback.context.view.entry!.status, DS_LOG)
    })

    it('stays paused, for what follows, where it could not be told in time', async () => {
      const rollback = paused()
      rollback.script.onEffect = ({kind}) => {
        if (kind === 'resume-duplication') throw passing()
      }

      await allow(rollback)
      assert.deepEqual(rollback.script.kinds, ['take-commit-away', 'lift-deny'])
      assert.equal(rollback.context.view.entry!.status, DS_PAUSE)
    })

    it('stays paused where its copy is gone', async () => {
      const rollback = paused({target: {cluster: 'b', metas: ['b:1']}})
      await allow(rollback)
      assert.deepEqual(rollback.kinds, ['take-commit-away', 'lift-deny'])
    })

    it('is no business of one that ships', async () => {
      const rollback = denied({seen: {...copy, entry: {...entry, status: DS_LOG}}})
      await allow(rollback)
      assert.deepEqual(rollback.kinds, ['take-commit-away', 'lift-deny'])
      assert.ok(!rollback.script.asked.includes('source duplications'))
    })
  })
})

describe('a rollback proves writes', () => {
  it('where nothing is denied', async () => {
    const rollback = new ScriptedRollback()
    const {clock, source} = rollback.script
    source.answers = ['open', 'refusing']
    rollback.in(20_000, () => {
      source.answers[1] = 'open'
    })
    await clock.advance(0)
    assert.equal(await prove(rollback), 'every primary accepts writes')
    assert.ok(clock.nowMs() >= 20_000, `after ${clock.nowMs()} ms`)
    assert.deepEqual([rollback.kinds, rollback.state.writableAfterMs], [[], clock.nowMs()])
  })

  it('and takes off a deny of the journal’s that was still on its way', async () => {
    const rollback = new ScriptedRollback()
    const {clock} = rollback.script
    await clock.advance(1000)
    const denySentAtMs = clock.wallMs()
    rollback.context.view.journal = {deny: VALUE, denySentAtMs, handedOver: false}
    rollback.in(5000, () => deny(rollback))
    assert.equal(
      await prove(rollback),
      'a deny that was still on its way came, and was taken off; every primary accepts writes',
    )
    assert.deepEqual(rollback.kinds, ['lift-deny'])
    assert.ok(clock.nowMs() >= 6000)
  })

  it('and waits for none that the journal does not know of, or that is too old', async () => {
    for (const journal of [
      {handedOver: false},
      {deny: VALUE, denySentAtMs: 0, handedOver: false},
      {deny: VALUE, handedOver: false},
    ]) {
      const rollback = new ScriptedRollback()
      rollback.context.view.journal = journal
      assert.equal(await prove(rollback), 'every primary accepts writes')
      assert.ok(rollback.script.clock.nowMs() < 1000)
    }
  })
})

describe('a rollback’s own deny', () => {
  const back = (rollback: ScriptedRollback) => rollback.script.run(takeOwnDenyBack(rollback.context))

  it('is taken back and proved, whatever happened to its signal', async () => {
    const rollback = denied()
    rollback.state.deniesSource = true
    rollback.script.abort.abort(new Error('Ctrl-C'))
    await back(rollback)
    assert.deepEqual(rollback.kinds, ['lift-deny'])
    assert.equal(rollback.state.deniesSource, false)
    assert.ok(rollback.script.asked.some((question) => question.startsWith('write ')))
  })

  it('is nobody else’s', async () => {
    const rollback = denied()
    await back(rollback)
    assert.deepEqual([rollback.kinds, rollback.script.asked], [[], []])
  })

  it('is remembered where it could not be taken back', async () => {
    const rollback = denied({asked: {limitMs: 10_000}})
    rollback.state.deniesSource = true
    rollback.script.onEffect = () => {
      throw passing()
    }

    await assert.rejects(back(rollback), MigratorError)
    assert.equal(rollback.state.deniesSource, true)
  })
})
