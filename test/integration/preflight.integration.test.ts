import assert from 'node:assert/strict'

import {scaledClock} from '../../src/lib/clock.js'
import {type Profile, type Sandbox, startSandbox, VirtualClock} from '../sandbox/index.js'
import {look, stopping} from '../support/preflight-look.js'

/** Everything that may be asked of a cluster without changing it. */
const readOnly = [
  /^RPC_CM_(CLUSTER_INFO|LIST_APPS|LIST_DUPLICATION|LIST_NODES|QUERY_DUPLICATION|QUERY_PARTITION_CONFIG_BY_INDEX)$/,
  /^RPC_QUERY_REPLICA_INFO$/,
  /^RPC_CLI_CLI_CALL (config-dump|perf-counters-by-substr|server-info)$/,
  /^GET \/(config|metrics|replica\/data_version|version)$/,
]

describe('preflight over the wire', () => {
  for (const profile of ['2.4', '2.5', '2.5-stock', 'master'] satisfies Profile[]) {
    it(`${profile}: finds nothing that stops a healthy table, and only reads`, async () => {
      const clock = scaledClock(2)
      const sandbox = await startSandbox({clock, listen: 'tcp', profile})
      await sandbox.source.createTable('users', {partitionCount: 8, replicaCount: 3})
      const {client, facts, results} = await look(sandbox, {clock}).finally(() => sandbox.stop())
      assert.deepEqual(stopping(results), [])
      assert.equal(facts.source.generation, profile === '2.5-stock' ? '2.5' : profile)
      assert.equal(facts.target.generation, facts.source.generation)
      assert.match(results.get('data-version')!.evidence, /^24 replicas on 3 servers/)
      const drain = {'2.4': /10 s to 22 s/, '2.5': /10 s to 22 s/, '2.5-stock': /100 s to 202 s/, master: /up to 2 s/}
      assert.match(results.get('write-deny-bound')!.evidence, drain[profile])
      assert.equal(client.mostAtOnce, 1)
      const others = client.asked.filter(({what}) => !readOnly.some((pattern) => pattern.test(what)))
      assert.deepEqual(others, [])
    })
  }

  // Real files have some 330 sections, 600 KB; made once, because servers make theirs each by itself.
  const pad = (config: Sandbox['source']['processes'][number]['config']) => {
    for (let n = 0; n < 6600; n++)
      config.set(`task.RPC_NUMBER_${n % 330}`, `some_key_number_${n}`, 'some value of usual length')
    const text = config.dump()
    config.dump = () => text
  }

  const slowCalls = [
    'GET /config',
    'GET /metrics',
    'GET /replica/data_version',
    'GET /version',
    'RPC_CLI_CLI_CALL',
    'RPC_QUERY_REPLICA_INFO',
  ]

  for (const profile of ['2.5', 'master'] satisfies Profile[]) {
    // Time that only passes while something is waited for: a loaded machine that runs 100 servers makes no difference.
    it(`${profile}: takes less than 10 s for 1,000 partitions on 50 servers, and few questions`, async function () {
      this.timeout(120_000)
      const clock = new VirtualClock()
      const sandbox = await clock.run(startSandbox({clock, listen: 'memory', profile, servers: 50}))
      try {
        await clock.run(sandbox.source.createTable('users', {partitionCount: 1000, replicaCount: 3}))
        // As if the table had been there for a while.
        for (const {counters} of [...sandbox.source.servers, ...sandbox.target.servers]) counters.refresh(10_000)
        for (const {config} of [...sandbox.source.processes, ...sandbox.target.processes]) pad(config)
        for (const cluster of [sandbox.source, sandbox.target]) {
          for (const call of slowCalls) cluster.delayReplies(call, 20, {count: 1_000_000})
        }

        const {client, results, tookMs} = await clock.run(look(sandbox, {clock}))
        assert.deepEqual(stopping(results), [])
        assert.ok(tookMs > 3000 && tookMs < 10_000, `${Math.round(tookMs)} ms`)
        assert.equal(client.mostAtOnce, 1)
        const most = Math.max(...sandbox.source.servers.map(({address}) => client.askedOf(address).length))
        assert.ok(most <= 13, `${most} questions to one server`)
        assert.match(results.get('data-version')!.evidence, /^3,000 replicas on 50 servers/)
        for (const id of ['atomic-writes', 'source-is-follower', 'target-disk']) {
          assert.equal(results.get(id)!.severity, 'ok', results.get(id)!.evidence)
        }
      } finally {
        await clock.run(sandbox.stop())
      }
    })
  }
})
