import assert from 'node:assert/strict'

import {isMigratorError, MigratorError} from '../../../../src/lib/errors.js'
import {distrustMoved} from '../../../../src/lib/migration/phases/duplicate.js'
import {DuplicationStatus} from '../../../../src/lib/rpc/structs/duplication.js'
import {fresh, goes, known, metaSays, noLeader, progress, run, texts} from '../../../support/scripted-duplicate.js'
import {DUPID, FIRST, ScriptedMigration, SECOND} from '../../../support/scripted-migration.js'

const {DS_APP, DS_LOG, DS_PAUSE, DS_PREPARE} = DuplicationStatus

describe('the duplication', () => {
  describe('that is made', () => {
    it('is added once servers ship in order, and written down before and after', async () => {
      const script = fresh()
      script.source.metaLevel = 500
      const {error, summary} = await run(script)
      assert.equal(error, undefined)
      assert.deepEqual(script.kinds, ['set-meta-level', 'set-server-config', 'set-server-config', 'add-duplication'])
      assert.deepEqual(script.performed.at(-1), {kind: 'add-duplication', remoteCluster: 'b'})
      assert.deepEqual(
        script.records.filter(({kind}) => kind !== 'phase'),
        [
          {ballots: {0: 3, 1: 3}, kind: 'adding'},
          {dupid: DUPID, kind: 'duplication'},
        ],
      )
      const {addedAtMs, adoptedForeign, ballotsAtAdd, dupid, fullVerifyBecause} = script.state
      assert.deepEqual(
        {addedAtMs, adoptedForeign, ballotsAtAdd, dupid, fullVerifyBecause},
        {addedAtMs: 0, adoptedForeign: false, ballotsAtAdd: {0: 3, 1: 3}, dupid: DUPID, fullVerifyBecause: undefined},
      )
      assert.equal(script.context.hints.dupid, DUPID)
      assert.equal(summary, 'ships to b, duplication 7')
    })

    it('is nobody’s after a refusal, and perhaps ours after silence', async () => {
      for (const [error, refused] of [
        [metaSays('ERR_INVALID_PARAMETERS'), true],
        [new MigratorError('duplicate.exists', 'x'), true],
        [new MigratorError('effect.unknown', 'x'), false],
      ] as const) {
        const script = fresh()
        script.onEffect = ({kind}) => {
          if (kind === 'add-duplication') throw error
        }

        assert.equal((await run(script)).error, error)
        const kinds = new Set(script.records.map(({kind}) => kind))
        assert.equal(kinds.has('adding'), true)
        assert.equal(kinds.has('not-added'), refused)
        assert.equal(script.state.dupid, 0)
      }
    })

    it('is told in a rehearsal', async () => {
      const script = fresh({}, {dryRun: true})
      script.onEffect = () => {}
      script.context.effects = {
        async perform(effect) {
          script.performed.push(effect)
          return {}
        },
      }
      const {error} = await run(script)
      assert.equal(error, undefined)
      assert.equal(script.kinds.at(-1), 'add-duplication')
      assert.equal(script.state.dupid, 0)
    })

    it('is not awaited by an operator who leaves', async () => {
      const script = fresh()
      script.afterEffect = ({kind}) => {
        if (kind === 'add-duplication') script.source.status = DS_PREPARE
      }

      script.clock.setTimer(7000, () => script.abort.abort(new Error('Ctrl-C')))
      assert.equal((await run(script)).error?.message, 'Ctrl-C')
    })
  })

  describe('that is there', () => {
    it('of this journal, and ships, needs nothing more', async () => {
      const script = known(DS_LOG)
      script.context.hints.ballotsAtAdd = {0: 3, 1: 3}
      script.context.hints.inDoubt = 'for a while'
      const {summary} = await run(script)
      assert.equal(summary, 'duplication 7 ships already')
      assert.deepEqual(script.performed, [])
      const {adoptedForeign, ballotsAtAdd, dupid, fullVerifyBecause} = script.state
      assert.deepEqual(
        {adoptedForeign, ballotsAtAdd, dupid, fullVerifyBecause},
        {adoptedForeign: false, ballotsAtAdd: {0: 3, 1: 3}, dupid: DUPID, fullVerifyBecause: 'for a while'},
      )
    })

    it('and ships from another server than when rows were compared: those rows are compared again', async () => {
      const script = known(DS_LOG)
      script.context.hints.shippers = {0: FIRST, 1: '10.0.0.3:34801'}
      await run(script)
      assert.deepEqual(script.state.compareAgain, [1])
      assert.deepEqual([...script.state.shippers!.values()], [FIRST, SECOND])
    })

    it('of somebody else, and was judged by Preflight, is adopted', async () => {
      const script = known(DS_LOG)
      script.context.hints.dupid = 3
      script.context.hints.ballotsAtAdd = {0: 1, 1: 1}
      script.state.facts!.source.duplications.push({dupid: DUPID} as never)
      assert.equal((await run(script)).error, undefined)
      assert.deepEqual(
        [script.state.adoptedForeign, script.state.ballotsAtAdd, script.state.dupid],
        [true, undefined, DUPID],
      )
    })

    it('of somebody else, made just now, is not', async () => {
      const script = known(DS_LOG)
      script.context.hints.dupid = undefined
      script.state.facts!.source.duplications.push({dupid: 3} as never)
      const {error} = await run(script)
      assert.ok(isMigratorError(error, 'duplicate.exists'))
      assert.equal(error.message, 'somebody has just made a duplication of users to b (dupid 7, DS_LOG)')
      assert.match(error.next!, /--accept foreign-duplication/)
      assert.equal(script.state.dupid, 0)
    })

    it('to another cluster is none', async () => {
      const script = known(DS_LOG)
      script.source.remote = 'c'
      script.afterEffect = ({kind}) => {
        if (kind === 'add-duplication') script.source.remote = 'b'
      }

      await run(script)
      assert.equal(script.kinds.includes('add-duplication'), true)
    })

    it('and paused goes on', async () => {
      const script = known(DS_PAUSE)
      assert.equal((await run(script)).error, undefined)
      assert.deepEqual(script.performed, [{dupid: DUPID, kind: 'resume-duplication'}])
    })

    it('and ships in batches is put in order; all rows must be compared', async () => {
      const script = known(DS_LOG)
      script.source.config.set(`${SECOND} duplicate_log_batch_bytes`, '4096')
      const {summary} = await run(script)
      assert.deepEqual(script.kinds, ['set-server-config'])
      assert.equal(
        script.state.fullVerifyBecause,
        'duplicate_log_batch_bytes was not 0 on 10.0.0.2:34801 while the duplication was there',
      )
      assert.equal(summary, 'ships to b, duplication 7')
    })

    it('and was somebody else’s needs no other reason for that', async () => {
      const script = known(DS_LOG)
      script.context.hints.dupid = undefined
      script.state.facts!.source.duplications.push({dupid: DUPID} as never)
      script.source.config.set(`${SECOND} duplicate_log_batch_bytes`, '4096')
      await run(script)
      assert.equal(script.state.fullVerifyBecause, undefined)
    })

    it('and does not ship from a partition yet is waited for', async () => {
      const script = known(DS_LOG)
      script.source.duplicating = false
      script.clock.setTimer(4500, () => {
        script.source.duplicating = true
      })
      assert.equal((await run(script)).error, undefined)
      assert.equal(script.clock.nowMs(), 5000)
      assert.equal(progress(script)[0]?.partitionsDone, 0)
      assert.equal(progress(script).at(-1)?.partitionsDone, 2)
      assert.equal(texts(script).at(-1), 'DS_LOG: every primary ships its log')
    })

    it('is looked at patiently', async () => {
      const script = known(DS_LOG)
      script.failing('source duplications', 3, noLeader())
      assert.equal((await run(script)).error, undefined)
      assert.equal(script.clock.nowMs(), 3000)
    })
  })

  describe('distrusts primaries that moved', () => {
    it('since it was added, when nobody saw it', async () => {
      const script = known(DS_LOG)
      script.context.hints.ballotsAtAdd = {0: 3, 1: 2}
      await run(script)
      const reason =
        'partition 1 changed primary since the duplication was added, perhaps before the checkpoint was copied'
      assert.equal(script.state.fullVerifyBecause, reason)
      assert.deepEqual(script.words, [`${reason}; all rows will be compared`])
      assert.deepEqual(
        script.told.filter((told) => told.startsWith('duplicate')),
        ['duplicate.moved_unseen'],
      )
    })

    it('and says so once, and not where all rows are compared anyway or nothing is known', () => {
      const script = new ScriptedMigration()
      const primaries = new Map([[0, {ballot: 4, partitionIndex: 0, server: FIRST}]])
      distrustMoved(script.context, primaries)
      script.state.ballotsAtAdd = {0: 3}
      script.state.fullVerifyBecause = 'known'
      distrustMoved(script.context, primaries)
      assert.deepEqual([script.state.fullVerifyBecause, script.events], ['known', []])
      script.state.fullVerifyBecause = undefined
      script.state.ballotsAtAdd = {0: 4}
      distrustMoved(script.context, primaries)
      assert.equal(script.state.fullVerifyBecause, undefined)
    })

    it('so much before the checkpoint was copied that it is given up', async () => {
      const script = fresh()
      script.afterEffect = ({kind}) => {
        if (kind === 'add-duplication') script.source.status = DS_PREPARE
      }

      script.clock.setTimer(2500, () => {
        script.source.ballots[1] = 4
      })
      const {error} = await run(script)
      assert.ok(isMigratorError(error, 'duplicate.primary_moved'))
      assert.equal(
        error.message,
        'partition 1 of users changed primary before the checkpoint was copied; the copy may lack writes',
      )
      assert.deepEqual(error.facts, {dupid: DUPID, partitions: '1'})
      assert.match(error.next!, /Drop the copy on the target/)
    })

    it('on a new server with the same ballot too; and not where nothing is known of them', async () => {
      const script = known(DS_APP)
      goes(script, [3500, DS_LOG])
      script.clock.setTimer(1500, () => {
        script.source.ballots[1] = 9
      })
      assert.equal((await run(script)).error, undefined)
    })
  })

  it('is not there any more when somebody removes it', async () => {
    const script = known(DS_APP)
    script.clock.setTimer(1500, () => {
      script.source.status = undefined
    })
    const {error} = await run(script)
    assert.ok(isMigratorError(error, 'duplicate.vanished'))
    assert.match(error.message, /duplication 7 of users to b is gone/)
    assert.match(error.next!, /drop the copy on the target and run the same command again/)
  })

  it('has its confirmed mutations counted where the metas tell them, and none for less than nothing', async () => {
    const states = (...decrees: number[]) =>
      new Map(decrees.map((confirmedDecree, index) => [index, {confirmedDecree}]))
    for (const [entry, wanted] of [
      [{partitionStates: states(40, -1, 2)}, 42],
      [
        {
          progress: new Map([
            [0, 30],
            [1, -1],
            [2, 3],
          ]),
        },
        33,
      ],
      [{}, 5],
    ] as const) {
      const script = known(DS_APP)
      script.state.confirmedMutations = 5
      script.source.entry = entry
      goes(script, [1500, DS_LOG])
      await run(script)
      assert.equal(script.state.confirmedMutations, wanted)
    }
  })

  it('names all partitions that moved too early', async () => {
    const script = known(DS_PREPARE)
    script.context.hints.ballotsAtAdd = {0: 1, 1: 1}
    const {error} = await run(script)
    assert.ok(isMigratorError(error, 'duplicate.primary_moved'))
    assert.equal(error.facts.partitions, '0,1')
    const unknown = known(DS_PREPARE)
    unknown.context.hints.ballotsAtAdd = {0: 3}
    assert.equal((await run(unknown)).error?.facts.partitions, '1')
  })
})
