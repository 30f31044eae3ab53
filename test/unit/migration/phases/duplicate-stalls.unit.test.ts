import assert from 'node:assert/strict'

import {isMigratorError} from '../../../../src/lib/errors.js'
import {DuplicationStatus} from '../../../../src/lib/rpc/structs/duplication.js'
import {goes, known, limits, metaSays, noLeader, run, texts} from '../../../support/scripted-duplicate.js'
import {DUPID, SECOND} from '../../../support/scripted-migration.js'

const {DS_APP, DS_INIT, DS_LOG, DS_PREPARE} = DuplicationStatus

describe('the duplication', () => {
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

    it('half a minute after they could have been copied, not after they were looked at first', async () => {
      const script = stuck()
      script.source.status = DS_PREPARE
      const atMs: number[] = []
      script.onEffect = () => void atMs.push(script.clock.nowMs())
      goes(script, [40_500, DS_APP], [80_500, DS_LOG])
      await run(script)
      assert.deepEqual(atMs, [71_000])
    })

    it('and not because a replica of another table, or of a partition that was copied, has none', async () => {
      const script = stuck()
      script.source.partitions[0]!.durable = 0
      script.source.partitions[1]!.durable = 50
      script.source.otherReplicas = [{appId: 3, durable: 0, partitionIndex: 1}]
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
