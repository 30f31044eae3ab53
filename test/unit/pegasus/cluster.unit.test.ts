import assert from 'node:assert/strict'

import type {Cluster} from '../../../src/lib/pegasus/cluster.js'
import {metaErrorName} from '../../../src/lib/pegasus/meta-client.js'
import {type AnyCall, metaCalls, serverCalls} from '../../../src/lib/rpc/calls.js'
import {MetaFunctionLevel} from '../../../src/lib/rpc/structs/cluster.js'
import {DuplicationFailMode, DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {AppStatus, type PartitionConfiguration} from '../../../src/lib/rpc/structs/table.js'
import {assertAtRest} from '../../support/at-rest.js'
import {FakeCluster} from '../../support/fake-cluster.js'
import {FakeServer} from '../../support/fake-server.js'
import {goldenResult} from '../../support/golden.js'

const GOLDEN = ['2.5.0', 'master'] as const
type Version = (typeof GOLDEN)[number]

/** A leader that answers each call with the golden reply of a case, and remembers what it was asked. */
async function bed(version: Version, answers: Array<[AnyCall, string]>) {
  const fake = new FakeCluster()
  const requests: unknown[] = []
  const server = new FakeServer()
  // Every leader answers the question who leads.
  server.always(metaCalls.queryConfig, goldenResult(version, 'query_config.missing', metaCalls.queryConfig))
  for (const [call, name] of answers) {
    const reply = goldenResult(version, name, call)
    server.on(call, (received) => {
      const leaderQuestion = received.request.appName === '__who_is_the_leader__'
      if (!leaderQuestion) requests.push(received.request)
      received.reply(leaderQuestion ? goldenResult(version, 'query_config.missing', metaCalls.queryConfig) : reply)
    })
  }

  const {address} = await fake.listen(server)
  const cluster = fake.client.cluster([address])
  return {address, fake, ask: <T>(use: (cluster: Cluster) => Promise<T>) => fake.run(use(cluster)), requests, server}
}

describe('clusters', () => {
  for (const version of GOLDEN) {
    describe(`Cluster reads what metas of ${version} say`, () => {
      it('of themselves', async () => {
        const {ask} = await bed(version, [[metaCalls.clusterInfo, 'cluster_info']])
        const info = await ask((cluster) => cluster.info())
        const {clusterName, metaFunctionLevel, metaServers, primaryMetaServer, raw, zookeeperHosts, zookeeperRoot} =
          info
        assert.deepEqual([clusterName, metaFunctionLevel, zookeeperRoot], ['onebox', 'steady', '/pegasus/onebox'])
        assert.equal(metaServers.length, 2)
        assert.ok(metaServers.includes(primaryMetaServer))
        assert.match(zookeeperHosts, /^127\.0\.0\.1:\d+$/)
        assert.equal(raw.size, 9)
      })

      it('of servers, dead ones included', async () => {
        const {ask} = await bed(version, [[metaCalls.listNodes, 'list_nodes.one_dead']])
        const nodes = await ask((cluster) => cluster.nodes())
        assert.equal(nodes.length, 3)
        assert.equal(nodes.filter(({alive}) => alive).length, 2)
        for (const {address} of nodes) assert.match(address, /^127\.0\.0\.1:\d+$/)
      })

      it('of tables', async () => {
        const {ask, requests} = await bed(version, [[metaCalls.listApps, 'list_apps']])
        const tables = await ask((cluster) => cluster.tables())
        const table = await ask((cluster) => cluster.table('gt_plain'))
        assert.equal(table?.partitionCount, 4)
        assert.equal(table?.status, AppStatus.AS_AVAILABLE)
        assert.ok(tables.some(({appName}) => appName === 'gt_plain'))
        assert.equal(await ask((cluster) => cluster.table('no_such_table')), undefined)
        assert.deepEqual(requests[0], {status: AppStatus.AS_INVALID})
      })

      it('of partitions', async () => {
        const {ask, requests} = await bed(version, [[metaCalls.queryConfig, 'query_config']])
        const {partitionCount, partitions} = await ask((cluster) => cluster.configuration('gt_plain'))
        assert.equal(partitionCount, 4)
        assert.deepEqual(
          partitions.map(({pid}) => pid.partitionIndex),
          [0, 1, 2, 3],
        )
        for (const {primary} of partitions) assert.match(primary!, /^127\.0\.0\.1:\d+$/)
        assert.deepEqual(requests, [{appName: 'gt_plain', partitionIndices: []}])
      })

      it('of a table that is missing', async () => {
        const {ask} = await bed(version, [])
        await assert.rejects(
          ask((cluster) => cluster.configuration('no_such_table')),
          (error) => metaErrorName(error) === 'ERR_OBJECT_NOT_FOUND',
        )
      })

      it('of replica counts and levels', async () => {
        const {ask, requests} = await bed(version, [
          [metaCalls.getMaxReplicaCount, 'get_max_replica_count'],
          [metaCalls.controlMeta, 'control_meta.get'],
        ])
        assert.equal(await ask((cluster) => cluster.maxReplicaCount('gt_plain')), 3)
        assert.equal(await ask((cluster) => cluster.metaLevel()), MetaFunctionLevel.fl_steady)
        await ask((cluster) => cluster.setMetaLevel(MetaFunctionLevel.fl_lively))
        assert.deepEqual(requests, [
          {appName: 'gt_plain'},
          {level: MetaFunctionLevel.fl_invalid},
          {level: MetaFunctionLevel.fl_lively},
        ])
      })

      it('of env changes', async () => {
        const {ask, requests} = await bed(version, [[metaCalls.updateAppEnv, 'update_app_env.set']])
        await ask((cluster) =>
          cluster.setEnvs('t', {'replica.deny_client_request': 'reconfig*write', 'rocksdb.x': '1'}),
        )
        await ask((cluster) => cluster.deleteEnvs('t', ['a', 'b']))
        const keys = ['replica.deny_client_request', 'rocksdb.x']
        assert.deepEqual(requests, [
          {appName: 't', keys, op: 1, values: ['reconfig*write', '1']},
          {appName: 't', keys: ['a', 'b'], op: 2},
        ])
      })

      it('of an env that they do not know', async () => {
        const {address, ask} = await bed(version, [[metaCalls.updateAppEnv, 'update_app_env.bad_key']])
        await assert.rejects(
          ask((cluster) => cluster.setEnvs('t', {x: '1'})),
          (error: Error & {facts: Record<string, unknown>}) => {
            assert.equal(metaErrorName(error), 'ERR_INVALID_PARAMETERS')
            assert.equal(error.facts.meta, address)
            assert.match(String(error.facts.hint), /not supported/)
            return true
          },
        )
      })

      it('of duplications', async () => {
        const {ask} = await bed(version, [[metaCalls.queryDuplication, 'query_duplication.pause']])
        const [entry, ...others] = await ask((cluster) => cluster.duplications('gt_dup'))
        assert.deepEqual(others, [])
        assert.equal(entry?.remote, 'onebox2')
        assert.equal(entry?.status, DuplicationStatus.DS_PAUSE)
        assert.equal(entry?.failMode, DuplicationFailMode.FAIL_SLOW)
        assert.ok(entry!.dupid > 1_700_000_000 && entry!.createTsMs > 1_700_000_000_000)
      })

      it('of a duplication that was added and changed', async () => {
        const {ask, requests} = await bed(version, [
          [metaCalls.addDuplication, 'add_duplication'],
          [metaCalls.modifyDuplication, 'modify_duplication.pause'],
        ])
        const {appId, dupid} = await ask((cluster) =>
          cluster.addDuplication({checkpoint: true, remoteCluster: 'onebox2', table: 'gt_dup'}),
        )
        assert.ok(appId > 0 && dupid > 1_700_000_000)
        await ask((cluster) => cluster.modifyDuplication('gt_dup', dupid, {status: DuplicationStatus.DS_PAUSE}))
        assert.deepEqual(requests, [
          {appName: 'gt_dup', isDuplicatingCheckpoint: true, remoteClusterName: 'onebox2'},
          {appName: 'gt_dup', dupid, status: DuplicationStatus.DS_PAUSE},
        ])
      })

      it('of tables that come and go', async () => {
        const {ask, requests} = await bed(version, [
          [metaCalls.createApp, 'create_app'],
          [metaCalls.dropApp, 'drop_app'],
          [metaCalls.recallApp, 'recall_app.unknown'],
        ])
        const table = {envs: {'rocksdb.x': '1'}, name: 't', partitionCount: 4, replicaCount: 3}
        assert.ok((await ask((cluster) => cluster.createTable(table))) > 0)
        await ask((cluster) => cluster.dropTable('t', {reserveSeconds: 60}))
        await assert.rejects(
          ask((cluster) => cluster.recallTable(7, 'u')),
          (error) => metaErrorName(error) === 'ERR_APP_NOT_EXIST',
        )
        assert.deepEqual(requests, [
          {
            appName: 't',
            options: {
              appType: 'pegasus',
              envs: new Map([['rocksdb.x', '1']]),
              isStateful: true,
              partitionCount: 4,
              replicaCount: 3,
              successIfExist: false,
            },
          },
          {appName: 't', options: {reserveSeconds: 60, successIfNotExist: false}},
          {appId: 7, newAppName: 'u'},
        ])
      })
    })
  }

  describe('Cluster', () => {
    it('takes the progress that master has stored', async () => {
      const {ask, requests} = await bed('master', [[metaCalls.listDuplication, 'list_duplication.log_started']])
      const duplications = await ask((cluster) => cluster.listDuplications('gt_dup'))
      const [[dupid, partitions]] = [...duplications!] as [[number, Map<number, object>]]
      assert.equal(dupid, 1_795_333_832)
      assert.deepEqual([...partitions.keys()].sort(), [0, 1, 2, 3])
      assert.deepEqual(Object.keys(partitions.get(1)!).sort(), ['confirmedDecree', 'lastCommittedDecree'])
      assert.deepEqual(requests, [{appNamePattern: 'gt_dup', matchType: 2}])
    })

    it('has no such progress where the call does not exist, and none for a table without', async () => {
      const old = await bed('2.5.0', [])
      assert.equal(await old.ask((cluster) => cluster.listDuplications('gt_dup')), undefined)
      const none = await bed('master', [[metaCalls.listDuplication, 'list_duplication.missing']])
      assert.deepEqual(await none.ask((cluster) => cluster.listDuplications('gt_dup')), new Map())
    })

    it("passes on 2.5's dupid 0 for a duplication that exists, and master's error", async () => {
      const add = {checkpoint: true, remoteCluster: 'onebox2', table: 'gt_dup'}
      const old = await bed('2.5.0', [[metaCalls.addDuplication, 'add_duplication.repeated_in_log']])
      assert.deepEqual(await old.ask((cluster) => cluster.addDuplication(add)), {appId: 0, dupid: 0})
      const master = await bed('master', [[metaCalls.addDuplication, 'add_duplication.repeated_in_prepare']])
      await assert.rejects(
        master.ask((cluster) => cluster.addDuplication(add)),
        (error: Error & {facts: Record<string, unknown>}) => {
          assert.equal(metaErrorName(error), 'ERR_DUP_EXIST')
          assert.ok(Number(error.facts.dupid) > 1_700_000_000)
          return true
        },
      )
    })

    it('takes the table that is not dropped', async () => {
      const {ask, server} = await bed('2.5.0', [])
      const [any] = goldenResult('2.5.0', 'list_apps', metaCalls.listApps).infos
      const named = (status: AppStatus, appId: number) => ({...any!, appId, appName: 't', status})
      const infos = [named(AppStatus.AS_DROPPED, 1), named(AppStatus.AS_CREATING, 2), named(AppStatus.AS_AVAILABLE, 3)]
      server.on(metaCalls.listApps, (call) => call.reply({err: 'ERR_OK', infos}))
      assert.equal((await ask((cluster) => cluster.table('t')))?.appId, 3)
      infos.pop()
      assert.equal((await ask((cluster) => cluster.table('t')))?.appId, 2)
      infos.pop()
      assert.equal(await ask((cluster) => cluster.table('t')), undefined)
    })

    it('refuses a configuration with a partition missing, twice there, or of another table', async () => {
      const {ask, server} = await bed('2.5.0', [])
      const whole = goldenResult('2.5.0', 'query_config', metaCalls.queryConfig)
      const [first, second, ...rest] = whole.partitions as [
        PartitionConfiguration,
        PartitionConfiguration,
        ...PartitionConfiguration[],
      ]
      const other = {...second, pid: {appId: 99, partitionIndex: 1}}
      for (const partitions of [[first, ...rest], [first, first, ...rest], [first, other, ...rest], []]) {
        server.always(metaCalls.queryConfig, {...whole, partitions})
        await assert.rejects(
          ask((cluster) => cluster.configuration('t')),
          {code: 'meta.bad_answer', retrySafe: true},
        )
      }

      server.always(metaCalls.queryConfig, {...whole, partitions: [...whole.partitions].reverse()})
      assert.equal((await ask((cluster) => cluster.configuration('t'))).partitions[0]!.pid.partitionIndex, 0)
    })

    it('runs commands on a meta, leader or not', async () => {
      const {address, ask, server} = await bed('2.5.0', [[serverCalls.remoteCommand, 'cli.server-info.meta']])
      assert.match(await ask((cluster) => cluster.metaCommand(address, 'server-info', [])), /^Pegasus Server 2\.5\.0/)
      server.always(
        serverCalls.remoteCommand,
        goldenResult('2.5.0', 'cli.no-such-command.meta', serverCalls.remoteCommand),
      )
      await assert.rejects(
        ask((cluster) => cluster.metaCommand(address, 'x', [])),
        {code: 'server.unknown_command'},
      )
    })

    it('leaves nothing behind when its client is closed', async () => {
      const {ask, fake, server} = await bed('2.5.0', [[metaCalls.clusterInfo, 'cluster_info']])
      await ask((cluster) => cluster.info())
      await fake.run(fake.client.close())
      await fake.clock.advance(0)
      assert.equal(server.open.size, 0)
      await assertAtRest(fake.clock)
    })
  })
})
