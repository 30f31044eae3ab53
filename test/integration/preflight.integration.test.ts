import assert from 'node:assert/strict'

import {type Clock, scaledClock, sleep, systemClock} from '../../src/lib/clock.js'
import {MigratorError} from '../../src/lib/errors.js'
import type {CheckResult, PreflightFacts} from '../../src/lib/migration/preflight/check.js'
import {gatherFacts, type GatherOptions} from '../../src/lib/migration/preflight/gather.js'
import {runPreflight} from '../../src/lib/migration/preflight/index.js'
import type {MigrationRequest} from '../../src/lib/migration/request.js'
import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import {encodeKey, hashKeyFor} from '../../src/lib/pegasus/key-hash.js'
import {dataCalls} from '../../src/lib/rpc/calls.js'
import {type Profile, type Sandbox, type SandboxOptions, startSandbox} from '../sandbox/index.js'
import {MemoryNodes} from '../sandbox/memory-nodes.js'
import {SimulatedMetaproxy} from '../sandbox/metaproxy.js'
import {WatchedClient} from '../support/watched-client.js'
import {requestOf} from '../unit/preflight/healthy-facts.js'

interface Look {
  client: WatchedClient
  facts: PreflightFacts
  results: Map<string, CheckResult>
  tookMs: number
}

interface LookOptions extends Partial<GatherOptions> {
  clock: Clock
  request?: Partial<MigrationRequest>
}

/** Gathers and judges over sockets. */
async function look(sandbox: Sandbox, {clock, request, ...options}: LookOptions): Promise<Look> {
  const client = new WatchedClient(clock, sandbox.transport)
  try {
    const beginMs = clock.nowMs()
    const facts = await gatherFacts(
      requestOf({
        maxWriteDenyMs: 600_000,
        metaproxy: undefined,
        proxies: [],
        sourceMetas: sandbox.source.metas,
        targetMetas: sandbox.target.metas,
        ...request,
      }),
      client,
      {signal: new AbortController().signal, ...options},
    )
    const results = await runPreflight(facts)
    const tookMs = clock.nowMs() - beginMs
    return {client, facts, results: new Map(results.map((result) => [result.id, result])), tookMs}
  } finally {
    await client.close()
  }
}

function stopping(results: Map<string, CheckResult>): string[] {
  return [...results.values()]
    .filter(({severity}) => severity === 'error' || severity === 'confirm')
    .map(({evidence, id}) => `${id}: ${evidence}`)
}

/** Everything that may be asked of a cluster without changing it. */
const readOnly = [
  /^RPC_CM_(CLUSTER_INFO|LIST_APPS|LIST_DUPLICATION|LIST_NODES|QUERY_DUPLICATION|QUERY_PARTITION_CONFIG_BY_INDEX)$/,
  /^RPC_QUERY_REPLICA_INFO$/,
  /^RPC_CLI_CLI_CALL (config-dump|perf-counters-by-substr|server-info)$/,
  /^GET \/(config|metrics|replica\/data_version|version)$/,
]

describe('preflight over sockets', () => {
  let sandbox: Sandbox
  const clock = scaledClock(5)
  const start = async (options: Partial<SandboxOptions> = {}) => {
    sandbox = await startSandbox({clock, listen: 'tcp', profile: '2.5', ...options})
    return sandbox.source.createTable('users', {partitionCount: 8, replicaCount: 3})
  }

  afterEach(() => sandbox.stop())

  for (const profile of ['2.4', '2.5', '2.5-stock', 'master'] satisfies Profile[]) {
    it(`${profile}: finds nothing that stops a healthy table, and only reads`, async () => {
      await start({profile})
      const {client, facts, results, tookMs} = await look(sandbox, {clock})
      assert.deepEqual(stopping(results), [])
      assert.equal(facts.source.generation, profile === '2.5-stock' ? '2.5' : profile)
      assert.equal(facts.target.generation, facts.source.generation)
      assert.match(results.get('data-version')!.evidence, /^24 replicas on 3 servers/)
      const drain = {'2.4': /10 s to 22 s/, '2.5': /10 s to 22 s/, '2.5-stock': /100 s to 202 s/, master: /up to 2 s/}
      assert.match(results.get('write-deny-bound')!.evidence, drain[profile])
      assert.ok(tookMs < 10_000, `${tookMs} ms`)
      assert.equal(client.mostAtOnce, 1)
      const others = client.asked.filter(({what}) => !readOnly.some((pattern) => pattern.test(what)))
      assert.deepEqual(others, [])
    })
  }

  it('says the known sentence for an old table', async () => {
    await start()
    sandbox.source.setDataVersion('users', 0)
    const {evidence, severity} = (await look(sandbox, {clock})).results.get('data-version')!
    assert.equal(severity, 'error')
    assert.match(evidence, /^not support migrate table with data_version = 0 by duplication: found on partition \d of /)
  })

  it('asks neither a dead server nor one without a replica for data versions', async () => {
    await start({servers: 5})
    const dead = sandbox.source.servers.find(({replicas}) => replicas.length > 0)
    const idle = sandbox.source.servers.filter(({replicas}) => replicas.length === 0)
    await sandbox.source.killServer(dead!.address)
    await sleep(clock, 45_000) // until it is listed unalive and replaced everywhere
    const {client, facts, results} = await look(sandbox, {clock})
    assert.deepEqual(client.askedOf(dead!.address), [])
    assert.equal(results.get('source-servers')!.severity, 'warning')
    assert.match(results.get('source-servers')!.evidence, new RegExp(`${dead!.address} \\(listed unalive\\)`))
    assert.deepEqual(
      facts.source.otherServers.map(({address}) => address).sort(),
      idle
        .filter(({replicas}) => replicas.length === 0)
        .map(({address}) => address)
        .sort(),
    )
    for (const {address} of facts.source.otherServers) {
      assert.ok(!client.askedOf(address).includes('GET /replica/data_version'))
    }
  })

  it('is not held up by servers that take everything and answer nothing', async () => {
    await start({servers: 6})
    const silent = [...sandbox.source.servers.slice(0, 3), ...sandbox.target.servers.slice(0, 3)]
    for (const {address} of silent) {
      const cluster = sandbox.source.serverAt(address) ? sandbox.source : sandbox.target
      cluster.setSilent(address, true)
    }

    const {client, results, tookMs} = await look(sandbox, {clock})
    assert.ok(tookMs < 10_000, `${tookMs} ms`)
    for (const {address} of silent) assert.ok(client.askedOf(address).length <= 2, client.askedOf(address).join(', '))
    for (const id of [
      'source-servers',
      'data-version',
      'source-servers-know-target',
      'target-knows-source',
      'batch-bytes',
    ]) {
      assert.equal(results.get(id)!.severity, 'error', id)
    }

    assert.equal(results.get('target-cluster')!.severity, 'ok')
    assert.match(results.get('target-knows-source')!.evidence, /did not answer RPC_CLI_CLI_CALL within \d+ ms/)
  })

  it('tells the rest although the target has no leader', async () => {
    await start()
    await sandbox.target.killMetaLeader()
    const {results, tookMs} = await look(sandbox, {clock})
    assert.ok(tookMs < 10_000, `${tookMs} ms`)
    for (const id of ['target-cluster', 'target-table', 'target-servers', 'target-meta-level']) {
      assert.equal(results.get(id)!.severity, 'error', id)
      assert.match(results.get(id)!.evidence, /could not be read/)
    }

    assert.equal(results.get('data-version')!.severity, 'ok')
  })

  it('finds the one server that lacks the configuration, on either side', async () => {
    await start()
    const [onSource, onTarget] = [sandbox.source.servers[1]!.address, sandbox.target.servers[2]!.address]
    sandbox.source.removeDuplicationConfig(onSource, 'onebox2')
    sandbox.target.removeDuplicationConfig(onTarget, 'onebox')
    const {results} = await look(sandbox, {clock})
    assert.deepEqual(stopping(results), [
      `source-servers-know-target: [duplication-group] has no onebox2 on ${onSource}; [pegasus.clusters] has no onebox2 on ${onSource}`,
      `target-knows-source: [duplication-group] has no onebox on ${onTarget}`,
    ])
  })

  it('finds a flag that was changed at run time, which the file does not tell', async () => {
    await start()
    const {address} = sandbox.source.servers[0]!
    sandbox.source.setFlag(address, 'empty_write_disabled', 'true')
    assert.match(
      stopping((await look(sandbox, {clock})).results).join('; '),
      new RegExp(`^empty-writes: .* on ${address}`),
    )
  })

  it('adopts what an earlier run began, and nothing that somebody else began', async () => {
    await start()
    const client = new WatchedClient(clock, sandbox.transport)
    const source = client.cluster(sandbox.source.metas)
    const add = {checkpoint: true, remoteCluster: 'onebox2', table: 'users'}
    const {dupid} = await source.addDuplication(add)
    await source.setEnvs('users', {'replica.deny_client_request': 'reconfig*write'})
    await client.close()
    const own = await look(sandbox, {clock, ownDeny: 'reconfig*write', ownDupid: dupid})
    assert.deepEqual(stopping(own.results), [])
    assert.match(own.results.get('foreign-duplication')!.evidence, new RegExp(`^ours: duplication ${dupid} to onebox2`))
    const foreign = await look(sandbox, {clock, request: {verify: 'full'}})
    assert.equal(foreign.results.get('foreign-duplication')!.severity, 'confirm')
    assert.equal(foreign.results.get('source-deny')!.severity, 'error')
  })

  for (const profile of ['2.5', 'master'] satisfies Profile[]) {
    it(`${profile}: sees atomic writes in the figures of the servers`, async () => {
      const appId = await start({profile})
      const client = new WatchedClient(clock, sandbox.transport)
      const key = encodeKey(hashKeyFor(3, 8, 'counter'), Buffer.alloc(0))
      const options = {pid: {appId, partitionIndex: 3}, timeoutMs: 5000}
      const primary = sandbox.source.primaryOf('users', 3)!
      for (let n = 0; n < 30; n++) {
        await client.pool.call(primary, dataCalls.incr, {expireTsSeconds: 0, increment: 1n, key}, options)
        await sleep(clock, 500) // counters are renewed every 10 s
      }

      await client.close()
      const {evidence, severity} = (await look(sandbox, {clock})).results.get('atomic-writes')!
      assert.equal(severity, 'confirm', evidence)
      assert.match(
        evidence,
        profile === 'master' ? /since the servers started: incr 30\)/ : /per second: incr [\d.]+\)/,
      )
    })
  }

  it('looks at the node of metaproxy and asks every proxy', async () => {
    await start()
    const nodes = new MemoryNodes('/pegasus-metaproxy')
    nodes.put('/pegasus-metaproxy/users', formatNodeData('onebox', sandbox.source.metas))
    const proxy = await SimulatedMetaproxy.start({clock, root: '/pegasus-metaproxy', zookeeper: () => nodes.watched()})
    try {
      const metaproxy = {hosts: 'a model', root: '/pegasus-metaproxy'}
      const request = {metaproxy, proxies: [proxy.address]}
      const well = await look(sandbox, {clock, request, store: nodes})
      assert.deepEqual(stopping(well.results), [])
      assert.match(well.results.get('metaproxy-node')!.evidence, /names onebox with metas/)
      const missing = await look(sandbox, {clock, request: {...request, table: 'absent'}, store: nodes})
      assert.deepEqual(
        stopping(missing.results).map((line) => line.split(':')[0]),
        ['source-table', 'metaproxy-node'],
      )
    } finally {
      await proxy.stop()
    }
  })

  it('ends at once with the reason when it is aborted', async () => {
    await start()
    sandbox.source.setSilent(sandbox.source.servers[0]!.address, true)
    const controller = new AbortController()
    const looking = look(sandbox, {clock, signal: controller.signal})
    await sleep(clock, 500)
    const stopped = new MigratorError('stopped', 'by the operator')
    controller.abort(stopped)
    await assert.rejects(looking, (error) => error === stopped)
  })
})

describe('preflight of a large table', () => {
  // Real files have some 330 sections, 600 KB; made once, because servers make theirs each by itself.
  const pad = (config: Sandbox['source']['processes'][number]['config']) => {
    for (let n = 0; n < 6600; n++)
      config.set(`task.RPC_NUMBER_${n % 330}`, `some_key_number_${n}`, 'some value of usual length')
    const text = config.dump()
    config.dump = () => text
  }

  for (const profile of ['2.5', 'master'] satisfies Profile[]) {
    it(`${profile}: takes less than 10 s for 1,000 partitions on 50 servers, and few questions`, async function () {
      this.timeout(60_000)
      const sandbox = await startSandbox({clock: systemClock, listen: 'tcp', profile, servers: 50})
      try {
        await sandbox.source.createTable('users', {partitionCount: 1000, replicaCount: 3})
        // As if the table had been there for a while.
        for (const {counters} of [...sandbox.source.servers, ...sandbox.target.servers]) counters.refresh(10_000)
        for (const {config} of [...sandbox.source.processes, ...sandbox.target.processes]) pad(config)
        const {client, results, tookMs} = await look(sandbox, {clock: systemClock})
        assert.deepEqual(stopping(results), [])
        assert.ok(tookMs < 10_000, `${Math.round(tookMs)} ms`)
        assert.equal(client.mostAtOnce, 1)
        const most = Math.max(...sandbox.source.servers.map(({address}) => client.askedOf(address).length))
        assert.ok(most <= 13, `${most} questions to one server`)
        assert.match(results.get('data-version')!.evidence, /^3000 replicas on 50 servers/)
        for (const id of ['atomic-writes', 'source-is-follower', 'target-disk']) {
          assert.equal(results.get(id)!.severity, 'ok', results.get(id)!.evidence)
        }

        console.log(`      ${Math.round(tookMs)} ms, at most ${most} questions to one server`)
      } finally {
        await sandbox.stop()
      }
    })
  }
})
