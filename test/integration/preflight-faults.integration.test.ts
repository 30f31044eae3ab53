import assert from 'node:assert/strict'

import {MigratorError} from '../../src/lib/errors.js'
import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import {encodeKey, hashKeyFor} from '../../src/lib/pegasus/key-hash.js'
import {dataCalls} from '../../src/lib/rpc/calls.js'
import {type Profile, type Sandbox, type SandboxOptions, startSandbox, VirtualClock} from '../sandbox/index.js'
import {MemoryNodes} from '../sandbox/memory-nodes.js'
import {SimulatedMetaproxy} from '../sandbox/metaproxy.js'
import {look, type LookOptions, stopping} from '../support/preflight-look.js'
import {WatchedClient} from '../support/watched-client.js'

describe('preflight of clusters with faults', () => {
  let clock: VirtualClock
  let sandbox: Sandbox
  const start = async (options: Partial<SandboxOptions> = {}) => {
    clock = new VirtualClock()
    sandbox = await clock.run(startSandbox({clock, listen: 'memory', profile: '2.5', ...options}))
    return clock.run(sandbox.source.createTable('users', {partitionCount: 8, replicaCount: 3}))
  }

  const lookAt = (options: Omit<LookOptions, 'clock'> = {}) => clock.run(look(sandbox, {clock, ...options}))

  afterEach(() => clock.run(sandbox.stop()))

  it('says the known sentence for an old table', async () => {
    await start()
    sandbox.source.setDataVersion('users', 0)
    const {evidence, severity} = (await lookAt()).results.get('data-version')!
    assert.equal(severity, 'error')
    assert.match(evidence, /^not support migrate table with data_version = 0 by duplication: found on partition \d of /)
  })

  it('asks neither a dead server nor one without a replica for data versions', async () => {
    await start({servers: 5})
    const dead = sandbox.source.servers.find(({replicas}) => replicas.length > 0)
    const idle = sandbox.source.servers.filter(({replicas}) => replicas.length === 0)
    await clock.run(sandbox.source.killServer(dead!.address))
    await clock.advance(45_000) // until it is listed unalive and replaced everywhere
    const {client, facts, results} = await lookAt()
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

    const {client, results, tookMs} = await lookAt()
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
    await clock.run(sandbox.target.killMetaLeader())
    const {results, tookMs} = await lookAt()
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
    const {results} = await lookAt()
    assert.deepEqual(stopping(results), [
      `source-servers-know-target: [duplication-group] has no onebox2 on ${onSource}; [pegasus.clusters] has no onebox2 on ${onSource}`,
      `target-knows-source: [duplication-group] has no onebox on ${onTarget}`,
    ])
  })

  it('finds a flag that was changed at run time, which the file does not tell', async () => {
    await start()
    const {address} = sandbox.source.servers[0]!
    sandbox.source.setFlag(address, 'empty_write_disabled', 'true')
    assert.match(stopping((await lookAt()).results).join('; '), new RegExp(`^empty-writes: .* on ${address}`))
  })

  it('adopts what an earlier run began, and nothing that somebody else began', async () => {
    await start()
    const client = new WatchedClient(clock, sandbox.transport)
    const source = client.cluster(sandbox.source.metas)
    const add = {checkpoint: true, remoteCluster: 'onebox2', table: 'users'}
    const {dupid} = await clock.run(source.addDuplication(add))
    await clock.run(source.setEnvs('users', {'replica.deny_client_request': 'reconfig*write'}))
    await clock.run(client.close())
    const own = await lookAt({ownDeny: 'reconfig*write', ownDupid: dupid})
    assert.deepEqual(stopping(own.results), [])
    assert.match(own.results.get('foreign-duplication')!.evidence, new RegExp(`^ours: duplication ${dupid} to onebox2`))
    const foreign = await lookAt({request: {verify: 'full'}})
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
        await clock.run(client.pool.call(primary, dataCalls.incr, {expireTsSeconds: 0, increment: 1n, key}, options))
        await clock.advance(500) // counters are renewed every 10 s
      }

      await clock.run(client.close())
      const {evidence, severity} = (await lookAt()).results.get('atomic-writes')!
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
    const {network} = sandbox.source.world
    const proxy = await clock.run(
      SimulatedMetaproxy.start({clock, network, root: '/pegasus-metaproxy', zookeeper: () => nodes.watched()}),
    )
    try {
      const metaproxy = {hosts: 'a model', root: '/pegasus-metaproxy'}
      const request = {metaproxy, proxies: [proxy.address]}
      const well = await lookAt({request, store: nodes})
      assert.deepEqual(stopping(well.results), [])
      assert.match(well.results.get('metaproxy-node')!.evidence, /names onebox with metas/)
      const missing = await lookAt({request: {...request, table: 'absent'}, store: nodes})
      assert.deepEqual(
        stopping(missing.results).map((line) => line.split(':')[0]),
        ['source-table', 'metaproxy-node'],
      )
    } finally {
      await clock.run(proxy.stop())
    }
  })

  it('ends at once with the reason when it is aborted', async () => {
    await start()
    sandbox.source.setSilent(sandbox.source.servers[0]!.address, true)
    const controller = new AbortController()
    const looking = look(sandbox, {clock, signal: controller.signal})
    looking.catch(() => {}) // judged below
    await clock.advance(500)
    const stopped = new MigratorError('stopped', 'by the operator')
    controller.abort(stopped)
    await clock.run(assert.rejects(looking, (error) => error === stopped))
  })
})
