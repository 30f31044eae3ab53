import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import {type Clock, scaledClock, systemClock} from '../../src/lib/clock.js'
import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import {
  defaultLimits,
  migrate,
  type MigrationEvent,
  type MigrationRequest,
  type MigrationResult,
} from '../../src/lib/migration/index.js'
import {PegasusClient} from '../../src/lib/pegasus/client.js'
import type {Cluster} from '../../src/lib/pegasus/cluster.js'
import {TableReader} from '../../src/lib/pegasus/rows.js'
import {tcpTransport, type Transport} from '../../src/lib/rpc/transport.js'
import {type Profile, type Sandbox, seededRandom, startSandbox} from '../sandbox/index.js'
import {LoadClient, type LoadOptions, type LoadVerification} from '../sandbox/load-client.js'
import {type SimulatedMetaproxy, startMetaproxy} from '../sandbox/metaproxy.js'
import {ZooKeeperNodes} from '../sandbox/zookeeper-nodes.js'
import {startZooKeeper, type ZooKeeper} from '../sandbox/zookeeper.js'

/** Two clusters, a ZooKeeper and a metaproxy: simulated ones, or real ones that the environment names. */
export interface Bed {
  clock: Clock
  /** Undefined on a real bed. */
  sandbox?: Sandbox
  proxy: string
  root: string
  source: Cluster
  target: Cluster
  targetCluster: string
  transport: Transport
  zookeeper: string
  stop(): Promise<void>
}

export interface BedOptions {
  profile?: Profile | {source: Profile; target: Profile}
  overrides?: Parameters<typeof startSandbox>[0]['overrides']
  /** ZooKeeper root of metaproxy; default `/pegasus-metaproxy`. */
  root?: string
  /** How many times faster than real time the simulated servers, and the migration with them, live. */
  scale?: number
  seed?: number
  /** Replica servers per cluster; default 3. */
  servers?: number
  /** One that is shared and outlives the bed; default: one of its own. */
  zookeeper?: Pick<ZooKeeper, 'address'>
}

export type SandboxBed = Bed & {metaproxy: SimulatedMetaproxy; sandbox: Sandbox}

/** Real clusters, when the environment names them (docs/real-clusters.md). @throws Error when it names some of them only */
export function realBed(): Bed | undefined {
  const {
    PEGASUS_E2E_PROXY: proxy,
    PEGASUS_E2E_SOURCE_META: sourceMetas,
    PEGASUS_E2E_TARGET_CLUSTER: targetCluster,
    PEGASUS_E2E_TARGET_META: targetMetas,
    PEGASUS_E2E_ZK: zookeeper,
    PEGASUS_E2E_ZK_ROOT: root = '/pegasus-metaproxy',
  } = process.env
  if (!sourceMetas || !targetMetas || !targetCluster || !zookeeper || !proxy) {
    const given = Object.keys(process.env).filter((name) => name.startsWith('PEGASUS_E2E_') && process.env[name])
    if (given.length === 0) return undefined
    throw new Error(`only ${given.join(', ')} of the variables in docs/real-clusters.md`)
  }

  const client = new PegasusClient({clock: systemClock, random: Math.random, transport: tcpTransport})
  return {
    clock: systemClock,
    proxy,
    root,
    source: client.cluster(sourceMetas.split(',')),
    stop: () => client.close(),
    target: client.cluster(targetMetas.split(',')),
    targetCluster,
    transport: tcpTransport,
    zookeeper,
  }
}

/** Two simulated clusters, with a real ZooKeeper and a simulated metaproxy. */
export async function sandboxBed(options: BedOptions = {}): Promise<SandboxBed> {
  const clock = scaledClock(options.scale ?? 10)
  const random = seededRandom(options.seed ?? 1)
  const root = options.root ?? '/pegasus-metaproxy'
  const own = options.zookeeper ? undefined : await startZooKeeper()
  const zookeeper = options.zookeeper ?? own!
  const sandbox = await startSandbox({
    clock,
    listen: 'tcp',
    ...(options.overrides ? {overrides: options.overrides} : {}),
    profile: options.profile ?? '2.5',
    random,
    ...(options.servers === undefined ? {} : {servers: options.servers}),
  })
  const proxy = await startMetaproxy({clock, random, root, zookeeper: zookeeper.address})
  const client = new PegasusClient({clock, random, transport: sandbox.transport})
  return {
    clock,
    metaproxy: proxy,
    proxy: proxy.address,
    root,
    sandbox,
    source: client.cluster(sandbox.source.metas),
    async stop() {
      await client.close()
      await proxy.stop()
      await sandbox.stop()
      await own?.stop()
    },
    target: client.cluster(sandbox.target.metas),
    targetCluster: sandbox.target.name,
    transport: sandbox.transport,
    zookeeper: zookeeper.address,
  }
}

/** Writes the table's metaproxy node, so that it names the source. */
export async function nameSource(bed: Bed, table: string): Promise<void> {
  const {clusterName} = await bed.source.info()
  await withNodes(bed, (nodes) => nodes.create(`${bed.root}/${table}`, formatNodeData(clusterName, bed.source.metas)))
}

export async function withNodes<T>(bed: Bed, use: (nodes: ZooKeeperNodes) => Promise<T>): Promise<T> {
  const nodes = await ZooKeeperNodes.open(bed.zookeeper)
  try {
    return await use(nodes)
  } finally {
    await nodes.close()
  }
}

export function loadClient(bed: Bed, table: string, options: Partial<LoadOptions> = {}): LoadClient {
  return new LoadClient({
    env: {clock: bed.clock, random: seededRandom(7), transport: bed.transport},
    table,
    target: {metaproxy: bed.proxy},
    ...options,
  })
}

/** Compares every acknowledged write with what a cluster holds. */
export async function verifyOn(bed: Bed, cluster: Cluster, table: string, load: LoadClient): Promise<LoadVerification> {
  const client = new PegasusClient({clock: bed.clock, random: Math.random, transport: bed.transport})
  try {
    const reader = new TableReader(client.pool, await cluster.configuration(table), {clock: bed.clock})
    return await load.verify((key) => reader.get(key))
  } finally {
    await client.close()
  }
}

export interface Moved {
  events: MigrationEvent[]
  result: MigrationResult
}

export interface MoveOptions {
  /** What the operator answers after the drain, without a node; default `abort`. */
  askMoved?(): 'abort' | 'moved'
  confirm?: boolean
  dryRun?: boolean
  journalDirectory?: string
  /** Called with each event; may make trouble. */
  onEvent?(event: MigrationEvent): void
  request?: Partial<MigrationRequest>
  signal?: AbortSignal
  /** Default: the bed's own. */
  transport?: Transport
}

/** Runs a migration by the library, as the command does. */
export async function move(bed: Bed, table: string, options: MoveOptions = {}): Promise<Moved> {
  const journalDirectory = options.journalDirectory ?? (await mkdtemp(join(tmpdir(), 'table-migrator-journal-')))
  const events: MigrationEvent[] = []
  try {
    const result = await migrate(
      {
        accepted: [],
        afterDrain: 'lift',
        denyMode: 'timeout',
        limits: defaultLimits,
        // The stock configuration of 2.5 makes empty writes each 100 s, and a drain may take two of them.
        maxWriteDenyMs: bed.sandbox ? 120_000 : 300_000,
        metaproxy: {hosts: bed.zookeeper, root: bed.root},
        proxies: [bed.proxy],
        sourceMetas: bed.source.metas,
        table,
        targetCluster: bed.targetCluster,
        targetMetas: bed.target.metas,
        thresholdMutations: 10_000,
        verify: 'sample',
        verifySampleRows: 500,
        ...options.request,
      },
      {clock: bed.clock, journalDirectory, random: Math.random, transport: options.transport ?? bed.transport},
      {
        askMoved: async () => options.askMoved?.() ?? 'abort',
        confirm: async () => options.confirm ?? true,
        emit(event) {
          events.push(event)
          options.onEvent?.(event)
        },
      },
      {dryRun: options.dryRun ?? false, signal: options.signal ?? new AbortController().signal},
    )
    return {events, result}
  } finally {
    if (!options.journalDirectory) await rm(journalDirectory, {force: true, recursive: true})
  }
}
