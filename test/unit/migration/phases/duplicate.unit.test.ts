import assert from 'node:assert/strict'

import {isMigratorError, MigratorError} from '../../../../src/lib/errors.js'
import type {MigrationContext} from '../../../../src/lib/migration/context.js'
import {distrustMoved, duplicate} from '../../../../src/lib/migration/phases/duplicate.js'
import type {MigrationRequest} from '../../../../src/lib/migration/request.js'
import {runPhases} from '../../../../src/lib/migration/runner.js'
import {DuplicationStatus} from '../../../../src/lib/rpc/structs/duplication.js'
import {DUPID, FIRST, ScriptedMigration, SECOND} from '../../../support/scripted-migration.js'

const {DS_APP, DS_INIT, DS_LOG, DS_PAUSE, DS_PREPARE} = DuplicationStatus
const noLeader = () => new MigratorError('meta.error', 'no leader', {facts: {err: 'ERR_FORWARD_TO_OTHERS'}})
const metaSays = (err: string) => new MigratorError('meta.error', err, {facts: {err}})
const limits = {...new ScriptedMigration().context.request.limits, duplicateMs: 600_000, stallMs: 60_000}

/** Nothing ships yet, and the target has no table. */
function fresh(request: Partial<MigrationRequest> = {}, more: Partial<MigrationContext> = {}): ScriptedMigration {
  const script = new ScriptedMigration({limits, ...request}, more)
  script.state.dupid = 0
  script.source.config.set('duplicate_log_batch_bytes', '4096')
  script.afterEffect = (effect) => {
    if (effect.kind === 'set-server-config') script.source.config.set(`${effect.server} ${effect.name}`, effect.value)
    if (effect.kind === 'set-meta-level') script.source.metaLevel = 400
  }

  return script
}

/** Ours, of an earlier run, in this state. */
function known(status: DuplicationStatus, request: Partial<MigrationRequest> = {}): ScriptedMigration {
  const script = fresh(request)
  script.source.status = status
  script.source.config.set('duplicate_log_batch_bytes', '0')
  script.context.hints.dupid = DUPID
  return script
}

/** Has the state of the duplication change at these times. */
function goes(script: ScriptedMigration, ...stages: [atMs: number, status: DuplicationStatus][]): void {
  for (const [atMs, status] of stages) {
    script.clock.setTimer(atMs, () => {
      script.source.status = status
    })
  }
}

async function run(script: ScriptedMigration) {
  const {error, timings} = await script.run(runPhases(script.context, [duplicate]))
  return {error: error as MigratorError | undefined, summary: timings[0]!.summary}
}

const progress = (script: ScriptedMigration) =>
  script.events.flatMap((event) => (event.type === 'progress' ? [event.progress] : []))
const texts = (script: ScriptedMigration) => [...new Set(progress(script).map(({text}) => text))]

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

  describe('comes', () => {
    it('in stages, of which each is told with what is left', async () => {
      const script = known(DS_INIT)
      goes(script, [1500, DS_PREPARE], [3500, DS_APP], [7500, DS_LOG])
      script.target.primaries = [null, null]
      script.clock.setTimer(5500, () => {
        script.target.primaries = ['10.0.1.1:34801', null]
        script.target.secondaries = [['10.0.1.2:34801'], ['10.0.1.1:34801']]
      })
      assert.equal((await run(script)).error, undefined)
      assert.deepEqual(texts(script), [
        'DS_INIT: the source makes its checkpoints, then creates the table on the target',
        'DS_PREPARE: the source makes its checkpoints, then creates the table on the target',
        'DS_APP: the target copies the checkpoint: 0 of 2 partitions with a primary, 0 with a secondary too',
        'DS_APP: the target copies the checkpoint: 1 of 2 partitions with a primary, 1 with a secondary too',
        'DS_LOG: every primary ships its log',
      ])
      const told = progress(script)
      assert.deepEqual(
        told.map(({etaMs, partitionsDone}) => [etaMs, partitionsDone]),
        [
          [45_000 + 80_000, 0],
          [44_000 + 80_000, 0],
          [45_000 + 35_000, 0],
          [44_000 + 35_000, 0],
          [25_000 + 10_000, 0],
          [24_000 + 10_000, 0],
          [23_000 + 10_000, 1],
          [22_000 + 10_000, 1],
          [10_000, 2],
        ],
      )
      assert.equal(told[0]?.partitionCount, 2)
    })

    it('with a second to go at least, however long it takes', async () => {
      const script = known(DS_APP, {limits: {...limits, stallMs: 200_000}})
      goes(script, [60_500, DS_LOG])
      await run(script)
      assert.equal(progress(script).at(-2)?.etaMs, 11_000)
    })

    it('over metas that do not answer', async () => {
      const script = known(DS_APP)
      script.clock.setTimer(1500, () => script.failing('source duplications', 2, noLeader()))
      script.clock.setTimer(4500, () => script.failing('target configuration', 1, noLeader()))
      goes(script, [7500, DS_LOG])
      assert.equal((await run(script)).error, undefined)
      assert.equal(progress(script).filter(({text}) => text === 'waiting: no leader').length, 3)
    })

    it('to a target that has no table yet, or is making it', async () => {
      for (const err of ['ERR_OBJECT_NOT_FOUND', 'ERR_BUSY_CREATING']) {
        const script = known(DS_PREPARE)
        script.failing('target configuration', 3, metaSays(err))
        goes(script, [2500, DS_APP], [5500, DS_LOG])
        assert.equal((await run(script)).error, undefined)
        assert.equal(
          progress(script).some(({text}) => text.startsWith('waiting')),
          false,
        )
      }
    })

    it('and is watched: a balancer is stopped, batches are put in order, every 10 s', async () => {
      const script = known(DS_APP)
      script.clock.setTimer(5500, () => {
        script.source.metaLevel = 500
        script.source.config.set(`${FIRST} duplicate_log_batch_bytes`, '4096')
      })
      const atMs: number[] = []
      script.onEffect = () => void atMs.push(script.clock.nowMs())
      goes(script, [25_500, DS_LOG])
      await run(script)
      assert.deepEqual(script.kinds, ['set-meta-level', 'set-server-config'])
      assert.deepEqual(atMs, [10_000, 10_000])
      // Nothing was shipped yet, so that nothing is out of order.
      assert.equal(script.state.fullVerifyBecause, undefined)
    })

    it('and is out of order where a server ships in batches in DS_LOG', async () => {
      const script = known(DS_LOG)
      script.source.duplicating = false
      script.clock.setTimer(5500, () => script.source.config.set(`${FIRST} duplicate_log_batch_bytes`, '4096'))
      script.clock.setTimer(12_500, () => {
        script.source.duplicating = true
      })
      await run(script)
      assert.match(script.state.fullVerifyBecause!, /was not 0 on 10\.0\.0\.1:34801 for a while/)
    })

    it('not when somebody pauses it', async () => {
      const script = known(DS_APP)
      goes(script, [2500, DS_PAUSE])
      const {error} = await run(script)
      assert.ok(isMigratorError(error, 'duplicate.paused'))
      assert.match(error.message, /somebody else.* duplication 7|duplication 7 .*somebody else/)
      assert.match(error.next!, /running the same command again lets it go on/)
    })

    it('not over a table of the target that was there, whose making nobody will answer any more', async () => {
      for (const [cluster, ours] of [
        ['a', ', made by this duplication whose answer was lost'],
        ['x', ''],
      ] as const) {
        const script = known(DS_PREPARE, {limits: {...limits, stallMs: 200_000}})
        script.target.envs.set('duplication.master_cluster', cluster)
        const {error} = await run(script)
        assert.ok(isMigratorError(error, 'duplicate.target_exists'))
        assert.equal(script.clock.nowMs(), 60_000)
        assert.ok(
          error.message.startsWith(`the target has a table users already${ours}: the duplication stays in DS_PREPARE`),
        )
        assert.deepEqual(error.facts, {targetTableId: 5})
        assert.match(error.next!, /^Drop users on b if nobody needs it/)
      }
    })

    it('and counts that minute anew when the table is gone in between', async () => {
      const script = known(DS_PREPARE, {limits: {...limits, stallMs: 200_000}})
      script.clock.setTimer(30_500, () => script.failing('target configuration', 1, metaSays('ERR_OBJECT_NOT_FOUND')))
      await run(script)
      assert.equal(script.clock.nowMs(), 92_000)
    })
  })

  describe('has the config sync shortened', () => {
    const fast = (status: DuplicationStatus) => {
      const script = known(status, {fastCutover: 'on'})
      script.source.config.set('config_sync_interval_ms', '30000')
      return script
    }

    const loweredAt = (script: ScriptedMigration) => {
      const atMs: number[] = []
      script.onEffect = ({kind}) => void (kind === 'set-server-config' && atMs.push(script.clock.nowMs()))
      return atMs
    }

    it('once the target has all of its primaries', async () => {
      const script = fast(DS_PREPARE)
      script.target.primaries[1] = null
      script.source.partitions[1]!.durable = 5
      const atMs = loweredAt(script)
      goes(script, [2500, DS_APP], [9500, DS_LOG])
      script.clock.setTimer(5500, () => {
        script.target.primaries[1] = '10.0.1.2:34801'
      })
      await run(script)
      assert.deepEqual(atMs, [6000, 6000])
      assert.notEqual(script.state.fast, undefined)
    })

    it('in DS_LOG at the latest', async () => {
      const script = fast(DS_PREPARE)
      const atMs = loweredAt(script)
      goes(script, [2500, DS_LOG])
      await run(script)
      assert.deepEqual(atMs, [3000, 3000])
    })

    it('again on a server that came back, 10 s later', async () => {
      const script = fast(DS_APP)
      const atMs = loweredAt(script)
      goes(script, [15_500, DS_LOG])
      script.clock.setTimer(3500, () => script.source.config.set(`${FIRST} config_sync_interval_ms`, '30000'))
      await run(script)
      assert.deepEqual(atMs, [0, 0, 10_000])
    })

    it('never before', async () => {
      const script = fast(DS_PREPARE)
      const atMs = loweredAt(script)
      script.clock.setTimer(15_500, () => script.abort.abort(new Error('enough')))
      assert.equal((await run(script)).error?.message, 'enough')
      assert.deepEqual([atMs, script.state.fast], [[], undefined])
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

  describe('moves', () => {
    const slowly = () => {
      const script = known(DS_APP)
      script.source.partitions[1]!.durable = 5
      script.target.primaries = [null, null]
      return script
    }

    it('with each primary and each secondary of the target', async () => {
      const script = slowly()
      const {clock, target} = script
      clock.setTimer(50_000, () => {
        target.primaries[0] = '10.0.1.1:34801'
      })
      clock.setTimer(100_000, () => {
        target.secondaries[0] = ['10.0.1.2:34801']
      })
      clock.setTimer(150_000, () => {
        target.primaries[1] = '10.0.1.2:34801'
      })
      goes(script, [200_500, DS_LOG])
      assert.equal((await run(script)).error, undefined)
      assert.equal(
        texts(script)[2],
        'DS_APP: the target copies the checkpoint: 1 of 2 partitions with a primary, 1 with a secondary too',
      )
      assert.equal(
        texts(script)[3],
        'DS_APP: the target copies the checkpoint: 2 of 2 partitions with a primary, 1 with a secondary too',
      )
    })

    it('not with a secondary that has no primary', async () => {
      const script = slowly()
      script.clock.setTimer(50_000, () => {
        script.target.secondaries[0] = ['10.0.1.2:34801']
      })
      assert.ok(isMigratorError((await run(script)).error, 'duplicate.stalled'))
    })

    it('with what partitions report that ship', async () => {
      const script = known(DS_LOG)
      const {clock, source} = script
      // Nobody reports our duplication.
      source.dupid = 99
      const entries = script.context.source.duplications.bind(script.context.source)
      script.context.source.duplications = async (table, asked) =>
        (await entries(table, asked)).map((entry) => ({...entry, dupid: DUPID}))
      clock.setTimer(50_000, () => {
        source.dupid = DUPID
        source.duplicating = false
      })
      clock.setTimer(100_000, () => {
        source.duplicating = true
      })
      assert.equal((await run(script)).error, undefined)
    })
  })

  it('is not made on a target that is making a table all the time', async () => {
    const script = known(DS_PREPARE, {limits: {...limits, stallMs: 200_000}})
    script.failing('target configuration', Number.POSITIVE_INFINITY, metaSays('ERR_BUSY_CREATING'))
    assert.ok(isMigratorError((await run(script)).error, 'duplicate.target_exists'))
    assert.equal(script.clock.nowMs(), 60_000)
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

  describe('helps partitions that have nothing to copy', () => {
    const stuck = () => {
      const script = known(DS_APP, {limits: {...limits, stallMs: 500_000}})
      script.target.primaries = ['10.0.1.1:34801', null]
      script.source.partitions[0]!.durable = 50
      return script
    }

    it('with a checkpoint, after half a minute and once a minute', async () => {
      const script = stuck()
      const atMs: number[] = []
      script.onEffect = () => void atMs.push(script.clock.nowMs())
      goes(script, [160_500, DS_LOG])
      await run(script)
      assert.deepEqual(script.performed[0], {appId: 2, kind: 'trigger-checkpoint', server: SECOND})
      assert.deepEqual([...new Set(script.performed.map((effect) => 'server' in effect && effect.server))], [SECOND])
      assert.deepEqual(atMs, [30_000, 90_000, 150_000])
    })

    it('and leaves those alone that have one', async () => {
      const script = stuck()
      script.source.partitions[1]!.durable = 50
      goes(script, [40_500, DS_LOG])
      await run(script)
      assert.deepEqual(script.performed, [])
    })

    it('and needs none where every partition has its primary', async () => {
      const script = stuck()
      script.target.primaries = ['10.0.1.1:34801', '10.0.1.2:34801']
      goes(script, [40_500, DS_LOG])
      await run(script)
      assert.equal(
        script.asked.some((question) => question.includes('replicas')),
        false,
      )
    })
  })

  describe('that stands still is given up', () => {
    const causes = [
      [DS_INIT, /nothing moved for (?:60 s|1 min) in DS_INIT; DS_INIT: the source makes its checkpoints/, /NFS/],
      [
        DS_APP,
        /nothing moved for (?:60 s|1 min) in DS_APP; partitions without a primary on b: 1$/,
        /^Look at the logs of the servers named here; .* The duplication is kept; the same command goes on from here\.$/,
      ],
    ] as const
    for (const [status, message, next] of causes) {
      it(`in ${DuplicationStatus[status]}`, async () => {
        const script = known(status)
        script.target.primaries[1] = null
        script.source.partitions[1]!.durable = 5
        const {error} = await run(script)
        assert.ok(isMigratorError(error, 'duplicate.stalled'), String(error))
        assert.match(error.message, message)
        assert.match(error.next!, next)
        assert.deepEqual(error.facts, {
          dupid: DUPID,
          status: DuplicationStatus[status],
          withoutPrimary: '1',
        })
      })
    }

    it('in DS_APP, where only secondaries are missing', async () => {
      const {error} = await run(known(DS_APP))
      assert.match(error!.message, /partitions without a primary on b: none; some lack a secondary$/)
    })

    it('in DS_PREPARE, longer than the rounds of its checkpoints take', async () => {
      const script = known(DS_PREPARE)
      script.failing('target configuration', Number.POSITIVE_INFINITY, metaSays('ERR_OBJECT_NOT_FOUND'))
      const {error} = await run(script)
      assert.ok(isMigratorError(error, 'duplicate.stalled'))
      assert.match(error.next!, /^The source could not create the table on the target: are the target metas up/)
      assert.ok(
        texts(script).includes('DS_PREPARE: a server makes 10 checkpoints at a time, one of them has 1 to make'),
      )
      assert.equal(script.clock.nowMs(), 120_000)
    })

    it('where nothing can be read', async () => {
      const script = known(DS_APP)
      script.clock.setTimer(0, () => script.failing('source duplications', Number.POSITIVE_INFINITY, noLeader()))
      script.failing('target configuration', 1, noLeader())
      const {error} = await run(script)
      assert.ok(isMigratorError(error, 'duplicate.stalled'))
      assert.match(error.message, /^the duplication of users could not be read for (?:60 s|1 min)$/)
    })

    it('and at its limit, telling what it waited for', async () => {
      const {error} = await run(known(DS_APP, {limits: {...limits, duplicateMs: 10_000}}))
      assert.ok(isMigratorError(error, 'wait.limit'))
      assert.match(error.message, /^duplication of users: not there after 10 s; last seen: DS_APP: the target copies/)
    })
  })
})
