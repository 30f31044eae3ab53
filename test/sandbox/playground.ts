import type {Clock} from '../../src/lib/clock.js'
import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import {queryProxy} from '../../src/lib/metaproxy/proxy.js'
import {PegasusClient} from '../../src/lib/pegasus/client.js'
import type {Environment} from '../../src/lib/pegasus/env.js'
import {TableReader} from '../../src/lib/pegasus/rows.js'
import {type ClusterOverrides, type Profile, type Sandbox, seededRandom, startSandbox} from './index.js'
import {LoadClient, type LoadVerification} from './load-client.js'
import {type SimulatedMetaproxy, startMetaproxy} from './metaproxy.js'
import {quickTimers} from './quick-timers.js'
import {startZooKeeper, type ZooKeeper} from './zookeeper.js'
import {ZooKeeperNodes} from './zookeeper-nodes.js'

export interface PlaygroundOptions {
  clock: Clock
  partitions: number
  profile: Profile
  /** Rows that are there from the start. */
  rows: number
  /** What differs from the profile, on both sides. */
  servers?: ClusterOverrides
  table: string
  /** Of the load through metaproxy; 0: none. */
  writesPerSecond: number
}

export const METAPROXY_ROOT = '/pegasus-metaproxy'

/**
 * Servers whose timers are short, and that say so where they can be asked: for people and tests that wait in real time.
 * Servers on a faster clock would not do, as they make empty writes more often than their flags tell, and the drain then
 * rightly never ends.
 */
export const FAST_SERVERS: ClusterOverrides = {
  ...quickTimers,
  config_sync_interval_ms: 5000,
  group_check_interval_ms: 2000,
}
const VALUE_BYTES = 200

/** Two clusters with a table, ZooKeeper, a metaproxy and an application that writes: all on loopback, for people to try. */
export interface Playground {
  load: LoadClient | undefined
  proxy: SimulatedMetaproxy
  sandbox: Sandbox
  table: string
  zookeeper: ZooKeeper
  stop(): Promise<void>
  /** Compares every acknowledged write with what the cluster that metaproxy names holds. Stop the load before. */
  verify(): Promise<LoadVerification>
}

function* rowsOf(count: number) {
  for (let index = 0; index < count; index++) {
    yield {hashKey: `user${index}`, sortKey: 'profile', value: `${index} `.padEnd(VALUE_BYTES, 'v')}
  }
}

/** Starts everything; what was started is stopped again when a part fails. */
export async function startPlayground(options: PlaygroundOptions): Promise<Playground> {
  const {clock, partitions, profile, rows, servers, table, writesPerSecond} = options
  const stops: (() => Promise<void>)[] = []
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end()
  }

  try {
    const zookeeper = await startZooKeeper()
    stops.push(() => zookeeper.stop())
    const random = seededRandom(1)
    const both = {...servers, zookeeperHosts: zookeeper.address}
    const overrides = {source: both, target: both}
    const sandbox = await startSandbox({clock, listen: 'tcp', overrides, profile, random})
    stops.push(() => sandbox.stop())
    await sandbox.source.createTable(table, {partitionCount: partitions, replicaCount: 3})
    sandbox.source.loadRows(table, rowsOf(rows))
    await nameSource(zookeeper, sandbox, table)
    const proxy = await startMetaproxy({clock, random, root: METAPROXY_ROOT, zookeeper: zookeeper.address})
    stops.push(() => proxy.stop())
    const env: Environment = {clock, random: Math.random, transport: sandbox.transport}
    let load: LoadClient | undefined
    if (writesPerSecond > 0) {
      load = new LoadClient({
        env,
        keys: 2000,
        table,
        target: {metaproxy: proxy.address},
        writers: Math.max(4, Math.ceil(writesPerSecond / 25)),
        writesPerSecond,
      })
      await load.start()
      stops.push(() => load!.stop())
    }

    return {load, proxy, sandbox, stop, table, verify: () => verify(env, proxy, table, load), zookeeper}
  } catch (error) {
    await stop()
    throw error
  }
}

async function nameSource(zookeeper: ZooKeeper, {source}: Sandbox, table: string): Promise<void> {
  const nodes = await ZooKeeperNodes.open(zookeeper.address)
  await nodes.create(`${METAPROXY_ROOT}/${table}`, formatNodeData(source.name, source.metas))
  await nodes.close()
}

async function verify(
  env: Environment,
  proxy: SimulatedMetaproxy,
  table: string,
  load: LoadClient | undefined,
): Promise<LoadVerification> {
  if (!load) return {checked: 0, lost: [], stale: []}
  const client = new PegasusClient(env)
  try {
    const {appId, partitionCount, primaries} = await queryProxy(client.pool, proxy.address, table)
    const partitions = primaries.map((primary, partitionIndex) => ({
      ballot: 0,
      lastCommittedDecree: 0,
      lastDrops: [],
      maxReplicaCount: 3,
      pid: {appId, partitionIndex},
      primary,
      secondaries: [],
    }))
    const reader = new TableReader(client.pool, {appId, partitionCount, partitions}, env)
    return await load.verify((key) => reader.get(key))
  } finally {
    await client.close()
  }
}

/** The flags of `table:migrate` that move the playground's table. */
export function migrateFlags({proxy, sandbox, table, zookeeper}: Playground): string[] {
  const flags = {
    table,
    'source-meta': sandbox.source.metas.join(','),
    cluster: sandbox.target.name,
    meta: sandbox.target.metas.join(','),
    node: zookeeper.address,
    root: METAPROXY_ROOT,
    proxy: proxy.address,
  }
  return Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value])
}
