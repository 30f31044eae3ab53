import assert from 'node:assert/strict'

import {PegasusClient} from '../../../src/lib/pegasus/client.js'
import type {MigratorError} from '../../../src/lib/errors.js'
import type {ReplicaServer} from '../../../src/lib/pegasus/replica-server.js'
import {serverCalls} from '../../../src/lib/rpc/calls.js'
import {PartitionStatus} from '../../../src/lib/rpc/structs/replica.js'
import {memoryNetwork} from '../../sandbox/network.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {FakeCluster} from '../../support/fake-cluster.js'
import {FakeServer} from '../../support/fake-server.js'
import {goldenHttp, goldenResult} from '../../support/golden.js'
import {httpResponse, rawHttp} from '../../support/raw-http.js'

type Outcome = {error: unknown} | {value: unknown}

/** Runs `ask` against a server that answers with `response`; also tells the path that was asked. */
async function over(
  response: string,
  ask: (server: ReplicaServer) => Promise<unknown>,
): Promise<{outcome: Outcome; path: string}> {
  const clock = new VirtualClock()
  const network = memoryNetwork()
  let path = ''
  const {address} = await network.listen(
    rawHttp((head) => {
      path = head.split(' ')[1]!
      return response
    }),
  )
  const client = new PegasusClient({clock, random: () => 0.5, transport: network.transport})
  const server = client.cluster([address]).server(address)
  const outcome = await clock.run(
    ask(server).then(
      (value) => ({value}),
      (error: unknown) => ({error}),
    ),
  )
  return {outcome, path}
}

const running = {failMode: 'FAIL_SLOW'}
const dup25 = (duplicating: boolean, notConfirmed: number, notDuplicated: number) => ({
  states: [
    {
      ...running,
      duplicating,
      dupid: 1_795_330_490,
      notConfirmedMutations: notConfirmed,
      notDuplicatedMutations: notDuplicated,
      partitionIndex: 2,
    },
  ],
})
const dupMaster = (duplicating: boolean, notConfirmed: number) => ({
  states: [
    {
      ...running,
      duplicating,
      dupid: 1_795_333_832,
      notConfirmedMutations: notConfirmed,
      notDuplicatedMutations: 0,
      partitionIndex: 1,
    },
  ],
})

/** What each captured answer must be read as; several answers of one case in their order. */
const expected: Record<string, Record<string, unknown[]>> = {
  '2.5.0': {
    'config.config_sync_interval_ms.changed': ['1000'],
    'config.config_sync_interval_ms.replica': ['30000'],
    'config.unknown': [undefined],
    recentStartTime: ['2026-11-22 06:42:56'],
    'replica.data_version': [new Map([0, 1, 2, 3].map((index) => [index, '1']))],
    'replica.data_version.missing': [new Map()],
    'replica.duplication.app': [dup25(false, 5, 5)],
    'replica.duplication.app.at_once': [dup25(false, 5, 5)],
    'replica.duplication.log': [dup25(true, 8, 8), dup25(true, 1, 1)],
    'replica.duplication.log.at_once': [dup25(false, 7, 7)],
    'replica.duplication.log_not_started': [dup25(false, 7, 7)],
    'replica.duplication.no_primary': [{reason: 'no-primary', states: []}],
    'replica.duplication.none': [{reason: 'no-duplication', states: []}],
    'replica.duplication.pause': [dup25(false, 1, 1)],
    'replica.duplication.prepare': [dup25(false, 85, 1)],
    'replica.duplication.prepare.at_once': [{reason: 'no-duplication', states: []}],
    'replica.duplication.removed': [{reason: 'no-duplication', states: []}],
    'updateConfig.bad_value': ['ERR_INVALID_PARAMETERS: abc is invalid'],
    'updateConfig.immutable': ['ERR_INVALID_PARAMETERS: group_check_interval_ms is not mutable'],
    'updateConfig.ok': [undefined],
    'updateConfig.same': [undefined],
    'updateConfig.unknown': ['ERR_OBJECT_NOT_FOUND: no_such_flag is not found'],
    'updateConfig.zero': ['ERR_INVALID_PARAMETERS: value validation failed'],
    'version.replica': [{gitCommit: '0ca31b70eac7321bb17fb034105695597245d47b', version: '2.5.0'}],
  },
  master: {
    'config.config_sync_interval_ms.replica': ['30000'],
    'config.unknown': [undefined],
    recentStartTime: ['2026-11-22 07:40:06'],
    'replica.data_version': [new Map([0, 1, 2, 3].map((index) => [index, '1']))],
    'replica.data_version.missing': [new Map()],
    'replica.duplication.app': [dupMaster(false, 0)],
    'replica.duplication.app.at_once': [dupMaster(false, 0)],
    'replica.duplication.log': [dupMaster(true, 0), dupMaster(true, 0)],
    'replica.duplication.log.at_once': [dupMaster(false, 0)],
    'replica.duplication.log_not_started': [dupMaster(false, 0)],
    'replica.duplication.no_primary': [{reason: 'no-primary', states: []}],
    'replica.duplication.none': [{reason: 'no-duplication', states: []}],
    'replica.duplication.pause': [dupMaster(false, 0)],
    'replica.duplication.prepare': [dupMaster(false, 51)],
    'replica.duplication.prepare.at_once': [{reason: 'no-duplication', states: []}],
    'replica.duplication.removed': [{reason: 'no-duplication', states: []}],
    'updateConfig.bad_value': ['ERR_INVALID_PARAMETERS: abc is invalid'],
    'updateConfig.immutable': ['ERR_INVALID_PARAMETERS: group_check_interval_ms is not mutable'],
    'updateConfig.same': [undefined],
    'updateConfig.unknown': ['ERR_OBJECT_NOT_FOUND: no_such_flag is not found'],
    'updateConfig.zero': ['ERR_INVALID_PARAMETERS: value validation failed'],
    'version.replica': [{gitCommit: 'db756dcdf24e2af6169659a67548501ed61f106c', version: '2.6.0-SNAPSHOT'}],
  },
}

/** The method that sends this request. */
function methodOf(path: string): (server: ReplicaServer) => Promise<unknown> {
  const url = new URL(path, 'http://server')
  const [key, value] = [...url.searchParams][0] ?? ['', '']
  switch (url.pathname) {
    case '/config': {
      return (server) => server.config(value)
    }

    case '/recentStartTime': {
      return (server) => server.startTime()
    }

    case '/replica/data_version': {
      return (server) => server.dataVersions(Number(value))
    }

    case '/replica/duplication': {
      return (server) => server.duplicationStates(Number(value))
    }

    case '/updateConfig': {
      return (server) => server.updateConfig(key, value)
    }

    case '/version': {
      return (server) => server.version()
    }

    default: {
      throw new Error(`no method for ${path}`)
    }
  }
}

describe('replica-server', () => {
  for (const version of ['2.5.0', 'master'] as const) {
    describe(`ReplicaServer reads the HTTP answers of ${version}`, () => {
      const cases = goldenHttp(version)

      it('that it is expected to read', () => {
        const captured = new Set(cases.map((line) => line.case))
        assert.deepEqual(
          Object.keys(expected[version]!).filter((name) => !captured.has(name)),
          [],
        )
        const duplication = cases.filter((line) => line.request.startsWith('GET /replica/duplication?appid='))
        const read = duplication.filter((line) => line.case in expected[version]!)
        assert.equal(read.length, duplication.length - 1, 'all but the one with a bad table id')
      })

      for (const [name, answers] of Object.entries(expected[version]!)) {
        const captured = cases.filter((line) => line.case === name)
        for (const [index, answer] of answers.entries()) {
          it(`${name}${answers.length > 1 ? ` (${index + 1})` : ''}`, async () => {
            const {request, response} = captured[index]!
            const wanted = request.split(' ')[1]!
            const {outcome, path} = await over(response, methodOf(wanted))
            assert.equal(path, wanted)
            if (name.startsWith('updateConfig') && answer !== undefined) {
              const {code, facts, message} = (outcome as {error: MigratorError}).error
              assert.equal(code, 'server.config_refused')
              assert.equal(facts.status, answer)
              assert.match(message, /refused/)
            } else {
              assert.deepEqual(outcome, {value: answer})
            }
          })
        }
      }

      for (const line of goldenHttp(version).filter(
        ({case: name}) => name.startsWith('metrics.') && !/server|meta$/.test(name),
      )) {
        it(`${line.case} (${line.note || 'as metrics'})`, async () => {
          const {outcome} = await over(line.response, (server) => server.metrics(5, ['dup_pending_mutations']))
          if (line.response.startsWith('HTTP/1.1 200')) {
            const {value} = outcome as {
              value: Array<{attributes: Map<string, string>; id: string; values: Map<string, number>}>
            }
            for (const {attributes, id, values} of value) {
              assert.equal(id, `replica@${attributes.get('table_id')}.${attributes.get('partition_id')}`)
              assert.equal(values.get('dup_pending_mutations'), 0)
            }

            assert.equal(value.length, line.case === 'metrics.no_match' ? 0 : 4)
          } else {
            assert.equal((outcome as {error: {code: string}}).error.code, 'http.status')
          }
        })
      }
    })
  }

  describe('ReplicaServer over HTTP', () => {
    it('has no metrics on 2.4 and 2.5', async () => {
      const answer = goldenHttp('2.5.0').find((line) => line.case === 'unknown_path.replica')!.response
      assert.deepEqual((await over(answer, (server) => server.metrics(1, ['x']))).outcome, {value: undefined})
    })

    it('knows that duplication may be switched off', async () => {
      const text = 'duplication is not enabled [FLAGS_duplication_enabled=false]'
      const {outcome} = await over(httpResponse(404, text), (server) => server.duplicationStates(1))
      assert.deepEqual(outcome, {value: {reason: 'disabled', states: []}})
    })

    const odd: Array<[string, string, (server: ReplicaServer) => Promise<unknown>, string]> = [
      [
        'another 404',
        httpResponse(404, 'service not found for "replica/duplication"'),
        (s) => s.duplicationStates(1),
        'http.status',
      ],
      ['another 404', httpResponse(404, 'app_id=10 not found'), (s) => s.dataVersions(1), 'http.status'],
      [
        'the text of a 404 with another status',
        httpResponse(500, 'no primary for app [appid=1]'),
        (s) => s.duplicationStates(1),
        'http.status',
      ],
      ['a redirect', httpResponse(307, ''), (s) => s.version(), 'http.status'],
      ['an error page', httpResponse(500, `\u001B[2J${'x'.repeat(5000)}`), (s) => s.startTime(), 'http.status'],
      ['no JSON', httpResponse(200, 'oops'), (s) => s.config('x'), 'rpc.malformed'],
      ['no JSON', httpResponse(200, ''), (s) => s.updateConfig('x', '1'), 'rpc.malformed'],
      [
        'other JSON',
        httpResponse(200, '{"7":{"1.0":{"duplicating":1}}}'),
        (s) => s.duplicationStates(1),
        'rpc.malformed',
      ],
      ['other JSON', httpResponse(200, '{"x":{"data_version":"1"}}'), (s) => s.dataVersions(1), 'rpc.malformed'],
      ['other JSON', httpResponse(200, 'null'), (s) => s.version(), 'rpc.malformed'],
    ]
    for (const [index, [what, response, ask, code]] of odd.entries()) {
      it(`${what} is ${code} (${index + 1})`, async () => {
        const {outcome} = await over(response, ask)
        const {error} = outcome as {error: Error & {code: string}}
        assert.equal(error.code, code)
        assert.ok(error.message.length < 400)
        // eslint-disable-next-line no-control-regex
        assert.doesNotMatch(error.message, /[\u0000-\u001F]/)
      })
    }
  })

  describe('ReplicaServer over RPC', () => {
    async function bed(server = new FakeServer()) {
      const cluster = new FakeCluster()
      const {address} = await cluster.listen(server)
      return {cluster, fake: server, server: cluster.client.cluster([address]).server(address)}
    }

    it('lists replicas', async () => {
      const {cluster, fake, server} = await bed()
      let node: unknown
      fake.on(serverCalls.queryReplicaInfo, (call) => {
        node = call.request.node
        call.reply(goldenResult('2.5.0', 'query_replica_info', serverCalls.queryReplicaInfo))
      })
      const replicas = await cluster.run(server.replicas())
      assert.ok(replicas.length > 10)
      assert.ok(replicas.some(({status}) => status === PartitionStatus.PS_PRIMARY))
      assert.equal(node, server.address)
    })

    it('names no server by host name, which would make it abort', async () => {
      const cluster = new FakeCluster()
      let node: unknown
      const fake = new FakeServer().on(serverCalls.queryReplicaInfo, (call) => {
        node = call.request.node
        call.reply({err: 'ERR_OK', replicas: []})
      })
      const {address} = await cluster.listen(fake)
      await cluster.run(cluster.client.cluster([address]).server(address.replace('127.0.0.1', 'localhost')).replicas())
      assert.equal(node, null)
    })

    it('reads one decree', async () => {
      const {cluster, fake, server} = await bed()
      fake.on(serverCalls.queryReplicaDecree, ({reply, request}) =>
        reply(
          request.pid.partitionIndex === 3
            ? {err: 'ERR_OK', lastDecree: 77}
            : {err: 'ERR_OBJECT_NOT_FOUND', lastDecree: 0},
        ),
      )
      assert.equal(await cluster.run(server.lastCommittedDecree({appId: 2, partitionIndex: 3})), 77)
      const call = serverCalls.queryReplicaDecree.name
      await assert.rejects(cluster.run(server.lastCommittedDecree({appId: 2, partitionIndex: 0})), {
        code: 'server.error',
        facts: {address: server.address, call, err: 'ERR_OBJECT_NOT_FOUND'},
      })
    })

    it('runs commands, once, and knows when there is none', async () => {
      const {cluster, fake, server} = await bed()
      fake.on(serverCalls.remoteCommand, ({cut, reply, request}) => {
        if (request.cmd === 'cut') cut()
        else reply(request.cmd === 'flush-log' ? `done ${request.args.join('|')}` : `unknown command '${request.cmd}'`)
      })
      assert.equal(await cluster.run(server.command('flush-log', ['a', 'b'])), 'done a|b')
      await assert.rejects(cluster.run(server.command('nothing', [])), {code: 'server.unknown_command'})
      assert.equal(await cluster.run(server.progress(5)), undefined)
      await assert.rejects(cluster.run(server.command('cut', [])), {code: 'rpc.connection_lost', retrySafe: false})
      assert.equal(fake.received.filter((name) => name === serverCalls.remoteCommand.name).length, 4)
    })

    it('asks config-dump without arguments, again after a lost connection', async () => {
      const {cluster, fake, server} = await bed()
      const seen: string[][] = []
      fake.on(serverCalls.remoteCommand, ({cut, reply, request}) => {
        seen.push([request.cmd, ...request.args])
        if (seen.length === 1) cut()
        else reply('[replication]\n; \ncluster_name = onebox\n')
      })
      const dump = await cluster.run(server.configDump())
      assert.equal(dump.get('replication', 'cluster_name'), 'onebox')
      assert.deepEqual(seen, [['config-dump'], ['config-dump']])
    })

    it('reads progress of one table and counters by substring', async () => {
      const {cluster, fake, server} = await bed()
      const seen: string[][] = []
      fake.on(serverCalls.remoteCommand, ({reply, request}) => {
        seen.push([request.cmd, ...request.args])
        const name =
          request.cmd === 'replica.query-progress'
            ? 'cli.query-progress.log.replica'
            : 'cli.perf-counters-by-substr.replica'
        reply(goldenResult('master', name, serverCalls.remoteCommand))
      })
      const progress = await cluster.run(server.progress(5))
      assert.deepEqual(
        progress?.map(({isPrimary, partitionIndex}) => [partitionIndex, isPrimary]),
        [
          [0, false],
          [1, true],
          [2, false],
          [3, false],
        ],
      )
      assert.equal((await cluster.run(server.counters('dup'))).size, 0)
      assert.deepEqual(seen, [
        ['replica.query-progress', '5'],
        ['perf-counters-by-substr', 'dup'],
      ])
    })
  })
})
