import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import {metaCalls} from '../../src/lib/rpc/calls.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {MASTER_CLUSTER, MASTER_METAS} from '../sandbox/meta/follower.js'
import {DENY_ENV} from '../sandbox/replica/deny.js'
import {keepWriting, onBed, smallTable, untilStatus, within, wrongOnTarget} from '../sandbox/test-bed.js'

const {DS_APP, DS_LOG, DS_PAUSE, DS_PREPARE} = DuplicationStatus

describe('sandbox: a duplication in special states', function () {
  this.timeout(60_000)

  it(
    'that is added again answers by its status, 2.5: success with dupid 0 (measured.md §5)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock} = bed
      await sleep(clock, 30_000)
      const first = await client.add('t')
      assert.deepEqual(await client.add('t'), first)
      const nothing = {appId: 0, dupid: 0, err: 'ERR_OK'}
      await untilStatus(bed, DS_APP, 60_000)
      assert.deepEqual(await client.add('t'), nothing)
      await client.until(() => client.allShip('t'), 60_000, 'all ship')
      assert.deepEqual(await client.add('t'), nothing)
      assert.equal((await client.add('t', false)).dupid, first.dupid)
      await client.modify('t', {status: DS_PAUSE})
      assert.deepEqual(await client.add('t'), nothing)
      assert.equal(await client.status('t'), DS_PAUSE)
    }),
  )

  it(
    'copies a deny that is set before the target exists (measured.md §6)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      await sleep(clock, 30_000)
      await client.add('t')
      await client.setEnv(sandbox.source, 't', DENY_ENV, 'reconfig*write')
      await untilStatus(bed, DS_APP, 60_000)
      assert.deepEqual(Object.fromEntries(sandbox.target.table('t').info.envs), {
        [DENY_ENV]: 'reconfig*write',
        [MASTER_CLUSTER]: 'onebox',
        [MASTER_METAS]: sandbox.source.metas.join(','),
      })
    }),
  )

  it(
    'of an empty partition hangs in DS_APP until a write and replica.trigger-checkpoint (measured.md §14)',
    onBed({profile: '2.5-stock'}, async (bed) => {
      const {client, clock, sandbox} = bed
      await sandbox.source.createTable('t', {partitionCount: 4, replicaCount: 3})
      await client.add('t')
      await untilStatus(bed, DS_APP, 60_000)
      await sleep(clock, 240_000)
      assert.equal(await client.status('t'), DS_APP)
      assert.ok(sandbox.target.table('t').memberships.some((m) => m.primary === undefined))
      for (let partition = 0; partition < 4; partition++) {
        await client.put(sandbox.source, 't', client.keyIn(sandbox.source, 't', partition), 'x')
      }

      for (const {address} of sandbox.source.servers) {
        assert.match(await client.command(address, 'replica.trigger-checkpoint', '1'), /^4 processed, 0 not found/)
      }

      within(await untilStatus(bed, DS_LOG, 70_000), 10_000, 60_000, 'DS_LOG')
    }),
  )

  it(
    'of master with empty partitions goes through (protocol.md §3.12)',
    onBed({profile: 'master'}, async (bed) => {
      await bed.sandbox.source.createTable('t', {partitionCount: 4, replicaCount: 3})
      await bed.client.add('t')
      await untilStatus(bed, DS_LOG, 80_000)
    }),
  )

  it(
    'stays in DS_PREPARE while the table exists on the target, and goes on when it is dropped (measured.md §5)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      await sandbox.target.createTable('t', {partitionCount: 4, replicaCount: 3})
      await sleep(clock, 30_000)
      await client.add('t')
      await sleep(clock, 105_000)
      assert.equal(await client.status('t'), DS_PREPARE)
      await client.meta(sandbox.target, metaCalls.dropApp, {appName: 't', options: {successIfNotExist: false}})
      within(await untilStatus(bed, DS_APP, 30_000), 0, 10_500, 'DS_APP')
    }),
  )

  it(
    'stays in DS_PREPARE while the target has no meta (measured.md §5)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      await sandbox.target.killMeta(0)
      await sleep(clock, 30_000)
      assert.equal((await client.add('t')).err, 'ERR_OK')
      await sleep(clock, 75_000)
      assert.equal(await client.status('t'), DS_PREPARE)
      await sandbox.target.startMeta(0)
      within(await untilStatus(bed, DS_APP, 30_000), 1000, 14_000, 'DS_APP')
    }),
  )

  it(
    'with one replica never leaves DS_APP on 2.5; a second replica on the target mends it (measured.md §5)',
    onBed({}, async (bed) => {
      const {client, clock, sandbox} = bed
      await sandbox.source.createTable('t', {partitionCount: 4, replicaCount: 1})
      sandbox.source.loadRows(
        't',
        [0, 1, 2, 3].map((i) => ({hashKey: client.keyIn(sandbox.source, 't', i), value: 'x'})),
      )
      await sleep(clock, 30_000)
      await client.add('t')
      await sleep(clock, 180_000)
      assert.equal(await client.status('t'), DS_APP)
      await client.meta(sandbox.target, metaCalls.setMaxReplicaCount, {appName: 't', maxReplicaCount: 3})
      within(await untilStatus(bed, DS_LOG, 30_000), 5000, 21_000, 'DS_LOG')
    }),
  )

  it(
    'with one replica reaches DS_LOG on master (measured-master.md §5)',
    onBed({profile: 'master'}, async (bed) => {
      await bed.sandbox.source.createTable('t', {partitionCount: 4, replicaCount: 1})
      await bed.client.add('t')
      await untilStatus(bed, DS_LOG, 80_000)
    }),
  )

  it(
    'back to a cluster whose envs still name it waits for itself (measured.md §6)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      const {source, target} = sandbox
      await sleep(clock, 30_000)
      await client.duplicate('t')
      await client.modify('t', {status: DuplicationStatus.DS_REMOVED})
      await sleep(clock, 60_000)
      await client.meta(source, metaCalls.dropApp, {appName: 't', options: {successIfNotExist: false}})
      await client.add('t', true, target, source)
      await sleep(clock, 150_000)
      assert.equal(await client.status('t', target), DS_APP)
      assert.ok(source.table('t').memberships.every((m) => m.primary === undefined))
      assert.equal(source.table('t').info.envs.get(MASTER_CLUSTER), 'onebox')
    }),
  )

  it(
    'says nothing when its target is dropped: DS_LOG, and the gap grows (measured.md §10)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      await sleep(clock, 30_000)
      await client.duplicate('t')
      await client.meta(sandbox.target, metaCalls.dropApp, {appName: 't', options: {successIfNotExist: false}})
      const writing = keepWriting(bed)
      await sleep(clock, 60_000)
      await writing.stop()
      assert.equal(await client.status('t'), DS_LOG)
      const gaps = client.duplicators('t').map((d) => d!.notDuplicated)
      assert.ok(
        gaps.every((gap) => gap > 50),
        String(gaps),
      )
      assert.ok(client.allShip('t'))
    }),
  )

  it(
    'whose target refuses with reconfig retries each second, with timeout hangs for 100 s (measured.md §6)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      await sleep(clock, 30_000)
      await client.duplicate('t')
      for (const [how, low, high] of [
        ['reconfig*write', 0, 2500],
        ['timeout*write', 30_000, 101_500],
      ] as const) {
        await client.setEnv(sandbox.target, 't', DENY_ENV, how)
        await sleep(clock, 31_000)
        const writing = keepWriting(bed)
        await sleep(clock, 25_000)
        const acked = await writing.stop()
        const fences = client.fences('t')
        await client.deleteEnv(sandbox.target, 't', DENY_ENV)
        await client.until(() => sandbox.target.servers.every((s) => s.replicas.every((r) => !r.deny)), 31_000, 'lift')
        // All but the last mutation, which waits for an empty write.
        const before = fences.map((fence) => fence - 1)
        within(
          await client.until(() => client.shipped('t', before), 120_000, 'backlog'),
          low,
          high,
          `backlog of ${how}`,
        )
        await client.until(() => client.shipped('t', fences), 30_000, 'last')
        assert.deepEqual(wrongOnTarget(bed, acked), [])
      }
    }),
  )

  it(
    'takes its source server down when the target does not know the cluster id (protocol.md §3.12)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      for (const {address} of sandbox.target.servers) sandbox.target.removeDuplicationConfig(address, 'onebox')
      await sleep(clock, 30_000)
      await client.duplicate('t')
      const writing = keepWriting(bed)
      await sleep(clock, 25_000)
      await writing.stop()
      const dead = sandbox.source.servers.filter((s) => !s.alive)
      assert.ok(dead.length > 0)
      assert.equal(dead[0]!.aborted, 'request cluster id is unconfigured')
      const dump = await client.command(sandbox.target.servers[0]!.address, 'config-dump')
      assert.match(dump, /\[duplication-group]\n; \nonebox2 = 2\n/)
    }),
  )

  it(
    'that is removed is forgotten at the next dup sync, and atomic writes work again after a config sync',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      await sleep(clock, 30_000)
      await client.duplicate('t')
      await sleep(clock, 31_000)
      const key = client.keyIn(sandbox.source, 't', 0)
      assert.equal(await client.outcome(client.checkAndSet(sandbox.source, 't', key)), 'ERR_OPERATION_DISABLED')
      await client.modify('t', {status: DuplicationStatus.DS_REMOVED})
      assert.equal(await client.status('t'), undefined)
      const forgotten = async () => {
        const paths = sandbox.source.servers.map((s) => client.http(s.address, '/replica/duplication?appid=1'))
        return (await Promise.all(paths)).every((answer) => answer.status === 404)
      }

      within(await client.until(forgotten, 15_000, 'forgotten'), 100, 10_200, 'forgotten')
      await sleep(clock, 31_000)
      assert.equal(await client.outcome(client.checkAndSet(sandbox.source, 't', key)), 'OK/13')
    }),
  )

  it(
    'that is stopped under load can take a server down, when the hazard is on (measured.md §14)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      sandbox.source.hazards.crashWhenStoppedUnderLoad = true
      await sleep(clock, 30_000)
      await client.duplicate('t')
      await client.setEnv(sandbox.target, 't', DENY_ENV, 'timeout*write')
      await sleep(clock, 31_000)
      const writing = keepWriting(bed)
      await sleep(clock, 5000)
      await client.modify('t', {status: DS_PAUSE})
      await sleep(clock, 11_000)
      await writing.stop()
      assert.ok(sandbox.source.servers.some((s) => s.aborted?.startsWith('double free')))
    }),
  )
})
