import assert from 'node:assert/strict'

import {formatNodeData} from '../../../src/lib/metaproxy/node-data.js'
import {PegasusClient} from '../../../src/lib/pegasus/client.js'
import {encodeKey, keyHash, partitionOf} from '../../../src/lib/pegasus/key-hash.js'
import {type Sandbox, seededRandom, type SimulatedCluster, startSandbox, VirtualClock} from '../../sandbox/index.js'
import {LoadClient, type LoadOptions} from '../../sandbox/load-client.js'
import {MemoryNodes} from '../../sandbox/memory-nodes.js'
import {type SimulatedMetaproxy, startMetaproxy} from '../../sandbox/metaproxy.js'

const TABLE = 'users'
const DENY = 'replica.deny_client_request'

describe('load client', () => {
  let clock: VirtualClock
  let sandbox: Sandbox
  let admin: PegasusClient
  let load: LoadClient
  let proxy: SimulatedMetaproxy | undefined

  beforeEach(async () => {
    clock = new VirtualClock()
    sandbox = await clock.run(startSandbox({clock, listen: 'memory', profile: '2.5'}))
    await sandbox.source.createTable(TABLE, {partitionCount: 4, replicaCount: 3})
    admin = new PegasusClient(env(1))
    proxy = undefined
  })

  afterEach(async () => {
    await clock.run(
      (async () => {
        await load?.stop()
        await admin.close()
        await proxy?.stop()
        await sandbox.stop()
      })(),
    )
  })

  const env = (seed: number) => ({clock, random: seededRandom(seed), transport: sandbox.transport})

  async function start(options: Partial<LoadOptions> = {}): Promise<void> {
    const target = {metas: sandbox.source.metas}
    load = new LoadClient({env: env(7), keys: 200, table: TABLE, target, writesPerSecond: 100, ...options})
    await clock.run(load.start())
  }

  /** White-box: what the primaries of a cluster hold. */
  const readerOf = (cluster: SimulatedCluster) => async (key: {hashKey: Buffer; sortKey: Buffer}) =>
    cluster.rows(TABLE).get(encodeKey(key.hashKey, key.sortKey).toString('hex'))?.value

  const setEnv = (value: string) => clock.run(admin.cluster(sandbox.source.metas).setEnvs(TABLE, {[DENY]: value}))
  const clearEnv = () => clock.run(admin.cluster(sandbox.source.metas).deleteEnvs(TABLE, [DENY]))

  it('writes at its rate, overwrites and deletes, and finds everything', async () => {
    await start()
    await clock.advance(20_000)
    await clock.run(load.stop())
    const {acknowledged, configQueries, failed, longestGapMs, outages} = load.report()
    assert.ok(acknowledged > 1900 && acknowledged <= 2004, `${acknowledged}`)
    assert.deepEqual({configQueries, failed, outages}, {configQueries: 1, failed: 0, outages: []})
    assert.ok(longestGapMs < 2000, `${longestGapMs}`)
    const deletes = load.ledger.history.filter(({value}) => value === undefined).length
    assert.ok(deletes > 100 && deletes < 400, `${deletes} deletes`)
    const {checked, lost, stale} = await load.verify(readerOf(sandbox.source))
    assert.deepEqual({checked, lost, stale}, {checked: 200, lost: [], stale: []})
  })

  it('names rows that are missing, old or back from the dead', async () => {
    await start({deleteShare: 0.3})
    await clock.advance(20_000)
    await clock.run(load.stop())
    const last = new Map(load.ledger.history.map(({key, value}) => [key, value]))
    const living = [...last].filter(([, value]) => value !== undefined).map(([key]) => key)
    const deleted = [...last].filter(([, value]) => value === undefined).map(([key]) => key)
    const before = load.ledger.history.find(({key, value}) => key === living[1] && value !== last.get(key))!
    const rowsOf = (name: string) => {
      const [hashKey, sortKey] = [Buffer.from(name), Buffer.from('row')]
      const {partitions} = sandbox.source.table(TABLE)
      return {
        key: encodeKey(hashKey, sortKey),
        rows: partitions[partitionOf(keyHash(hashKey, sortKey), partitions.length)]!.rows,
      }
    }

    const [missing, old, back] = [rowsOf(living[0]!), rowsOf(living[1]!), rowsOf(deleted[0]!)]
    missing.rows.remove(missing.key)
    old.rows.put(old.key, Buffer.from(before.value ?? 'old'), 0)
    back.rows.put(back.key, Buffer.from('back'), 0)
    const {lost, stale} = await load.verify(readerOf(sandbox.source))
    assert.deepEqual(
      lost.map(({key}) => key),
      [living[0]],
    )
    assert.deepEqual(new Set(stale.map(({key}) => key)), new Set([deleted[0], living[1]]))
  })

  it('fails fast on reconfig*write and asks again at most once a second', async () => {
    await start()
    await clock.advance(5000)
    await setEnv('reconfig*write')
    await clock.advance(60_000)
    const during = load.report()
    await clearEnv()
    await clock.advance(35_000)
    const {configQueries, failures, outages, partitionGapsMs, unanswered, windowMs} = load.report()
    assert.deepEqual([...failures.keys()], ['ERR_INVALID_STATE'])
    assert.equal(unanswered, 0)
    assert.equal(outages.length, 1)
    assert.deepEqual([...partitionGapsMs.keys()], [0, 1, 2, 3])
    // 60 s of the env, up to 30 s each until servers hear of it and of its end.
    for (const gapMs of partitionGapsMs.values()) assert.ok(gapMs > 29_000 && gapMs < 92_000, `${gapMs}`)
    assert.ok(windowMs > 31_000 && windowMs <= 95_000, `${windowMs}`)
    assert.ok(during.configQueries > 25 && configQueries <= windowMs / 1000 + 3, `${configQueries} in ${windowMs} ms`)
    const {lost, stale} = await load.verify(readerOf(sandbox.source))
    assert.deepEqual([lost, stale], [[], []])
  })

  it('waits out its own time on timeout*write and asks nothing', async () => {
    await start()
    await clock.advance(5000)
    await setEnv('timeout*write')
    await clock.advance(40_000)
    const {configQueries, failures, unanswered} = load.report()
    assert.deepEqual([...failures.keys()], ['rpc.timeout'])
    assert.equal(configQueries, 1)
    // Four writers, each busy for one second with a write that nobody answers.
    assert.ok(unanswered > 30 && unanswered < 170, `${unanswered}`)
  })

  it('follows metaproxy to another cluster, table id and partition count', async () => {
    await sandbox.target.createTable('other', {partitionCount: 4, replicaCount: 3})
    await sandbox.target.createTable(TABLE, {partitionCount: 8, replicaCount: 3})
    const nodes = new MemoryNodes('/root')
    nodes.put(`/root/${TABLE}`, formatNodeData('onebox', sandbox.source.metas))
    proxy = await startMetaproxy({
      clock,
      network: sandbox.source.world.network,
      random: seededRandom(3),
      root: '/root',
      zookeeper: () => nodes.watched(),
    })
    await start({target: {metaproxy: proxy.address}})
    await clock.advance(5000)
    nodes.put(`/root/${TABLE}`, formatNodeData('onebox2', sandbox.target.metas))
    await clock.advance(5000)
    const atSource = load.ledger.history.length
    assert.equal(sandbox.target.rows(TABLE).size, 0)

    await setEnv('reconfig*all')
    await clock.advance(40_000)
    assert.ok(load.ledger.history.length > atSource + 1000)
    assert.ok(sandbox.target.rows(TABLE).size > 100)
    const {longestGapMs, partitionGapsMs} = load.report()
    assert.equal(partitionGapsMs.size, 8)
    // Partitions 4 to 7 were never written before.
    for (const index of [0, 1, 2, 3]) assert.ok(partitionGapsMs.get(index)! < 3000, `${partitionGapsMs.get(index)}`)
    assert.ok(longestGapMs > 10_000)
  })

  it('allows both outcomes for a write that was never answered, until the next one', async () => {
    await start({keys: 1, writers: 1, writesPerSecond: 10})
    await clock.advance(1000)
    sandbox.source.dropReplies('RPC_RRDB_RRDB_PUT', 1)
    await clock.advance(3000)
    await clock.run(load.stop())
    const {failures, unanswered} = load.report()
    assert.equal(unanswered, 1)
    assert.deepEqual([...failures.keys()], ['rpc.timeout'])
    assert.deepEqual((await load.verify(readerOf(sandbox.source))).stale, [])
  })

  it('survives the death of a server', async () => {
    await start()
    await clock.advance(5000)
    await sandbox.source.killServer(sandbox.source.servers[0]!.address)
    await clock.advance(30_000)
    await clock.run(load.stop())
    const {acknowledged, failed, longestGapMs} = load.report()
    assert.ok(failed > 0)
    assert.ok(acknowledged > 2000, `${acknowledged}`)
    assert.ok(longestGapMs > 7000 && longestGapMs < 14_000, `${longestGapMs}`)
    const {lost, stale} = await load.verify(readerOf(sandbox.source))
    assert.deepEqual([lost, stale], [[], []])
  })
})
