import assert from 'node:assert/strict'

import {isMigratorError} from '../../../../src/lib/errors.js'
import {DuplicationStatus} from '../../../../src/lib/rpc/structs/duplication.js'
import {goes, known, limits, metaSays, noLeader, progress, run, texts} from '../../../support/scripted-duplicate.js'
import {FIRST, ScriptedMigration} from '../../../support/scripted-migration.js'

const {DS_APP, DS_INIT, DS_LOG, DS_PAUSE, DS_PREPARE} = DuplicationStatus

describe('the duplication', () => {
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

    it('with its settings looked at each 10 s, not at each look', async () => {
      const script = known(DS_APP)
      goes(script, [45_500, DS_LOG])
      await run(script)
      assert.equal(
        script.asked.filter((question) => question === `source config ${FIRST} duplicate_log_batch_bytes`).length,
        5,
      )
    })

    it('and may have its primaries moved once the log is shipped: rows tell then', async () => {
      const script = known(DS_LOG)
      script.source.duplicating = false
      script.context.hints.ballotsAtAdd = {0: 3, 1: 3}
      script.clock.setTimer(2500, () => {
        script.source.ballots[1] = 4
      })
      script.clock.setTimer(4500, () => {
        script.source.duplicating = true
      })
      assert.equal((await run(script)).error, undefined)
      assert.match(script.state.fullVerifyBecause!, /^partition 1 changed primary/)
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
})
