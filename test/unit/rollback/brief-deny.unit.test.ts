import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {removeDuplication} from '../../../src/lib/migration/rollback/duplication.js'
import type {RollbackRequest} from '../../../src/lib/migration/rollback/request.js'
import type {RollbackView} from '../../../src/lib/migration/rollback/view.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {entry} from '../../support/rollback-view.js'
import {DENY, FIRST, SECOND} from '../../support/scripted-migration.js'
import {ScriptedRollback} from '../../support/scripted-rollback.js'

const timers = (configSyncMs: number, groupCheckMs = 10_000) => ({timers: {configSyncMs, groupCheckMs}})
const removed = (rollback: ScriptedRollback) => rollback.script.run(removeDuplication(rollback.context))

/** Nine mutations are on their way, so that writes are denied after a second's look. */
function busy(seen: Partial<RollbackView> = {}, asked: Partial<RollbackRequest> = {}): ScriptedRollback {
  const rollback = new ScriptedRollback({asked: {briefDeny: true, ...asked}, seen})
  rollback.gaps(5, 6)
  return rollback
}

/** What is left is shipped so long after the deny, all but so many mutations of each partition. */
function ships(rollback: ScriptedRollback, afterMs: number, rest = 0): void {
  rollback.after('deny', afterMs, () => rollback.gaps(rest, rest))
}

/** How long after the deny it was removed. */
const drainMs = (rollback: ScriptedRollback) => rollback.atMs('remove-duplication')! - rollback.atMs('deny')!

/** It ended badly, and writes are allowed again. */
async function failed(rollback: ScriptedRollback, error: object | RegExp, kinds: string[]): Promise<void> {
  await assert.rejects(removed(rollback), error)
  assert.deepEqual(rollback.kinds, kinds)
  assert.equal(rollback.state.deniesSource, false)
  assert.equal(rollback.script.source.envs.get(DENY), undefined)
}

describe('removal of a duplication under a brief deny', () => {
  it('denies, ships what is left, removes, waits until it is forgotten, and allows writes again', async () => {
    const rollback = busy()
    ships(rollback, 2800)
    rollback.forgettingTakes(4000)
    const denied: boolean[] = []
    rollback.script.onEffect = () => {
      denied.push(rollback.state.deniesSource)
    }

    assert.equal(
      await removed(rollback),
      'duplication 7 is removed and forgotten; writes were denied for at most 8.0 s',
    )
    assert.deepEqual(rollback.acts, [
      ['send-guard-away', 1000],
      ['deny', 1000],
      ['remove-duplication', 5000],
      ['lift-deny', 9000],
    ])
    assert.deepEqual(rollback.script.performed, [
      {before: null, kind: 'deny', value: 'reconfig*write'},
      {dupid: 7, kind: 'remove-duplication'},
      {before: null, kind: 'lift-deny'},
    ])
    assert.deepEqual(denied, [true, true, true])
    assert.equal(rollback.state.deniesSource, false)
    assert.equal(rollback.state.forgottenAtMs, 9000)
  })

  it('tells how it goes on', async () => {
    const rollback = busy()
    ships(rollback, 700)
    await removed(rollback)
    const {reports} = rollback.script
    assert.deepEqual(reports.slice(2), [
      {partitionCount: 2, partitionsDone: 1, text: `${FIRST} (1 partition) refuses writes`},
      {partitionCount: 2, partitionsDone: 2, text: `${SECOND} (1 partition) refuses writes`},
      {text: '9 mutations left to ship'},
      {text: '9 mutations left to ship'},
      {text: '0 mutations left to ship'},
      {text: '0 mutations left to ship'},
      {text: '0 mutations left to ship'},
      {text: 'every server has forgotten it'},
    ])
  })

  describe('bound', () => {
    it('must hold all of it', async () => {
      const rollback = busy({}, {maxWriteDenyMs: 93_999})
      await failed(
        rollback,
        {
          code: 'rollback.bound',
          message:
            'denying writes to users briefly takes up to 94 s: deny 31 s + ship what is left 20 s + forget 12 s + allow again 31 s; the bound is 93.999 s',
          next: 'Say --max-write-deny 94s, or leave the duplication where it is.',
        },
        [],
      )
    })

    it('is what a config sync takes, twice, and half a minute', async () => {
      const fits = busy({}, {maxWriteDenyMs: 94_000})
      ships(fits, 0)
      await removed(fits)
      assert.equal(fits.kinds.at(-1), 'lift-deny')

      const slow = busy(timers(30_250), {maxWriteDenyMs: 94_000})
      await failed(slow, {next: 'Say --max-write-deny 95s, or leave the duplication where it is.'}, [])
      const quick = busy(timers(1000), {maxWriteDenyMs: 36_000})
      ships(quick, 0)
      await removed(quick)
      assert.equal(quick.kinds.at(-1), 'lift-deny')
    })

    it('leaves the time that it takes to allow writes again', async () => {
      const rollback = busy()
      await failed(
        rollback,
        {
          code: 'rollback.bound_reached',
          message: 'duplication 7 of users could not be removed within the bound of 120 s',
          next: 'Writes are allowed again, and the duplication is kept. See that the target takes what is shipped, then run the same command again, or at a quieter time.',
        },
        ['send-guard-away', 'deny', 'lift-deny'],
      )
      assert.equal(rollback.atMs('lift-deny'), 1000 + 120_000 - 31_000)
      assert.equal(rollback.state.forgottenAtMs, undefined)
    })

    it('also ends the proof, and the wait for servers that do not forget', async () => {
      const unproved = busy()
      unproved.script.afterEffect = ({kind}) => {
        if (kind === 'deny') unproved.script.source.answers = ['refusing', 'open']
      }

      await failed(unproved, {code: 'rollback.bound_reached'}, ['send-guard-away', 'deny', 'lift-deny'])
      assert.equal(unproved.atMs('lift-deny'), 90_000)

      const known = busy()
      ships(known, 0)
      known.forgettingTakes(3_600_000)
      await failed(
        known,
        {
          code: 'rollback.bound_reached',
          message:
            'duplication 7 of users is removed, and not every server was seen to have forgotten it within the bound of 120 s',
          next: 'Writes are allowed again; servers forget it with their next duplication sync. The same command does what is left.',
        },
        ['send-guard-away', 'deny', 'remove-duplication', 'lift-deny'],
      )
      assert.equal(known.atMs('lift-deny'), 90_000)
    })
  })

  describe('taken back', () => {
    it('is nothing where a guard does not go', async () => {
      const rollback = busy()
      rollback.onGuard = () => {
        throw new MigratorError('guard.busy', 'it is at work')
      }

      await failed(rollback, {code: 'guard.busy'}, ['send-guard-away'])
    })

    for (const kind of ['deny', 'resume-duplication', 'remove-duplication']) {
      it(`is the deny where the answer of ${kind} is lost`, async () => {
        const rollback = busy({entry: {...entry, status: DuplicationStatus.DS_PAUSE}})
        ships(rollback, 0)
        rollback.script.onEffect = (effect) => {
          if (effect.kind === kind) throw new MigratorError('rpc.timeout', `${kind} was not answered`)
        }

        const all = ['send-guard-away', 'deny', 'resume-duplication', 'remove-duplication']
        const sent = all.slice(0, all.indexOf(kind) + 1)
        await failed(rollback, {message: `${kind} was not answered`}, [...sent, 'lift-deny'])
      })
    }

    it('is the deny where the operator leaves', async () => {
      const rollback = busy()
      rollback.after('deny', 5000, () => rollback.script.abort.abort(new Error('Ctrl-C')))
      await failed(rollback, /Ctrl-C/, ['send-guard-away', 'deny', 'lift-deny'])
      assert.equal(rollback.atMs('lift-deny'), 6000)
    })
  })

  it('lets a paused duplication go on: else it ships nothing', async () => {
    const rollback = busy({entry: {...entry, status: DuplicationStatus.DS_PAUSE}})
    ships(rollback, 3000)
    await removed(rollback)
    assert.deepEqual(rollback.kinds, [
      'send-guard-away',
      'deny',
      'resume-duplication',
      'remove-duplication',
      'lift-deny',
    ])
    assert.equal(rollback.script.source.status, undefined)
  })

  describe('waits for what is left', () => {
    /** The last mutation of each partition rests, as on 2.4/2.5 until the next empty write. */
    function resting(seen: Partial<RollbackView> = {}, asked: Partial<RollbackRequest> = {}): ScriptedRollback {
      const rollback = busy(seen, asked)
      ships(rollback, 0, 1)
      return rollback
    }

    it('until three readings in a row find nothing', async () => {
      const rollback = busy()
      ships(rollback, 800)
      rollback.after('deny', 1800, () => rollback.gaps(0, 4))
      ships(rollback, 2800)
      await removed(rollback)
      assert.equal(drainMs(rollback), 4000)
    })

    it('until an empty write has let the last mutation of every partition go', async () => {
      const rollback = resting()
      rollback.after('deny', 5000, () => rollback.grow(0))
      rollback.after('deny', 8000, () => rollback.grow(1))
      await removed(rollback)
      assert.equal(drainMs(rollback), 9000)
    })

    it('for two group checks and a little more where none is seen', async () => {
      const rollback = resting()
      await removed(rollback)
      assert.equal(drainMs(rollback), 22_500 + 1000)
      const often = resting(timers(30_000, 5000))
      await removed(often)
      assert.equal(drainMs(often), 12_500 + 1000)
    })

    it('for what the bound leaves where group checks are far apart', async () => {
      const rollback = resting(timers(30_000, 60_000))
      await removed(rollback)
      assert.equal(drainMs(rollback), 120_000 - 2 * 31_000 - 12_000 + 500 + 1000)
    })

    it('counts none that rests on master', async () => {
      const rollback = resting({generation: 'master'})
      await failed(rollback, {code: 'rollback.bound_reached'}, ['send-guard-away', 'deny', 'lift-deny'])
      const shipped = busy({generation: 'master'})
      ships(shipped, 800)
      await removed(shipped)
      assert.equal(drainMs(shipped), 2000)
    })

    it('takes a pipeline that does not run everywhere for no rest', async () => {
      for (const still of ['idle', 'silent'] as const) {
        const rollback = busy()
        ships(rollback, 0)
        rollback[still].add(1)
        rollback.after('deny', 2800, () => rollback[still].clear())
        await removed(rollback)
        assert.equal(drainMs(rollback), 4000, still)
      }
    })

    it('counts what was accepted from when it runs', async () => {
      const rollback = resting()
      rollback.idle.add(0).add(1)
      rollback.after('deny', 2800, () => {
        rollback.grow(0, 5)
        rollback.grow(1, 5)
        rollback.idle.clear()
      })
      await removed(rollback)
      assert.equal(drainMs(rollback), 22_500 + 1000)
    })
  })
})
