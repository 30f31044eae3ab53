import type {MetaproxyStore} from '../../../src/lib/metaproxy/store.js'
import {formatNodeData, parseNodeData} from '../../../src/lib/metaproxy/node-data.js'
import type {PegasusClient} from '../../../src/lib/pegasus/client.js'
import type {Cluster, ClusterInfo} from '../../../src/lib/pegasus/cluster.js'
import {parseConfigDump} from '../../../src/lib/pegasus/config-dump.js'
import type {CheckResult, PreflightFacts, ServerFacts} from '../../../src/lib/migration/preflight/check.js'
import {runPreflight} from '../../../src/lib/migration/preflight/index.js'
import {defaultLimits, type MigrationRequest} from '../../../src/lib/migration/request.js'
import {
  type DuplicationEntry,
  DuplicationFailMode,
  DuplicationStatus,
} from '../../../src/lib/rpc/structs/duplication.js'
import {PartitionStatus} from '../../../src/lib/rpc/structs/replica.js'
import {AppStatus} from '../../../src/lib/rpc/structs/table.js'

/** What a server's configuration file says that duplicates from `onebox` to `onebox2`, as sections of key = value. */
export interface DumpText {
  'duplication-group': Record<string, string>
  meta_server: Record<string, string>
  'pegasus.clusters': Record<string, string>
  replication: Record<string, string>
}

const sourceMetas = ['10.0.0.1:34601', '10.0.0.2:34601']
const targetMetas = ['10.0.1.1:34601', '10.0.1.2:34601']
const sourceServers = ['10.0.0.1:34801', '10.0.0.2:34801', '10.0.0.3:34801']
const targetServers = ['10.0.1.1:34801', '10.0.1.2:34801', '10.0.1.3:34801']
const GATHERED_AT_MS = 1_800_000_000_000

export function dumpOf(cluster: string, change: (text: DumpText) => void = () => {}) {
  const text: DumpText = {
    'duplication-group': {onebox: '1', onebox2: '2'},
    meta_server: {max_allowed_replica_count: '5', min_allowed_replica_count: '1'},
    'pegasus.clusters': {onebox: sourceMetas.join(','), onebox2: targetMetas.join(',')},
    replication: {
      cluster_name: cluster,
      config_sync_disabled: 'false',
      config_sync_interval_ms: '30000',
      duplication_enabled: 'true',
      group_check_disabled: 'false',
      group_check_interval_ms: '10000',
      max_allowed_write_size: '1048576',
    },
  }
  change(text)
  const sections = Object.entries(text).map(
    ([name, pairs]) =>
      `[${name}]\n${Object.entries(pairs)
        .map(([key, value]) => `; \n${key} = ${value}\n`)
        .join('\n')}`,
  )
  return parseConfigDump(sections.join('\n'))
}

function serverOf(address: string, cluster: string): ServerFacts {
  return {
    activity: [],
    address,
    alive: true,
    config: new Map(),
    dump: dumpOf(cluster),
    failures: new Map(),
    primaryOf: [],
    replicaOf: [],
    version: '2.5.0',
  }
}

function sourceServerOf(address: string, index: number): ServerFacts {
  const partitions = [0, 1, 2, 3]
  const replica = (partitionIndex: number) => ({
    appType: 'pegasus',
    ballot: 3,
    diskTag: '',
    lastCommittedDecree: 50,
    lastDurableDecree: 40,
    lastPreparedDecree: 50,
    pid: {appId: 2, partitionIndex},
    status: PartitionStatus.PS_PRIMARY,
  })
  return {
    ...serverOf(address, 'onebox'),
    activity: [new Map([['incr', 0]]), new Map([['incr', 0]])],
    config: new Map([
      ['config_sync_interval_ms', '30000'],
      ['duplicate_log_batch_bytes', '4096'],
      ['empty_write_disabled', 'false'],
      ['group_check_interval_ms', '10000'],
    ]),
    dataVersions: new Map(partitions.map((partition) => [partition, '1'])),
    primaryOf: partitions.filter((partition) => partition % 3 === index),
    replicaOf: partitions,
    replicas: partitions.map((partition) => replica(partition)),
    tableMb: 100,
  }
}

function infoOf(clusterName: string, metaServers: string[]): ClusterInfo {
  return {
    clusterName,
    metaFunctionLevel: 'lively',
    metaServers,
    primaryMetaServer: metaServers[0]!,
    raw: new Map(),
    zookeeperHosts: '10.0.9.1:2181',
    zookeeperRoot: `/pegasus/${clusterName}`,
  }
}

export function duplicationOf(change: Partial<DuplicationEntry> = {}): DuplicationEntry {
  const status = DuplicationStatus.DS_LOG
  return {createTsMs: 1, dupid: 77, failMode: DuplicationFailMode.FAIL_SLOW, remote: 'onebox2', status, ...change}
}

export function nodeOf(clusterName: string, metas: string[]) {
  const bytes = formatNodeData(clusterName, metas)
  return {bytes, data: parseNodeData(bytes), path: '/pegasus-metaproxy/users', version: 3}
}

export function requestOf(change: Partial<MigrationRequest> = {}): MigrationRequest {
  return {
    accepted: [],
    afterDrain: 'ask',
    denyMode: 'reconfig',
    limits: defaultLimits,
    maxWriteDenyMs: 120_000,
    metaproxy: {hosts: '10.0.9.1:2181', root: '/pegasus-metaproxy'},
    proxies: ['10.0.8.1:34601'],
    sourceMetas,
    table: 'users',
    targetCluster: 'onebox2',
    targetMetas,
    thresholdMutations: 10_000,
    verify: 'sample',
    verifySampleRows: 10_000,
    ...change,
  } as MigrationRequest
}

/** A table of 4 partitions on 2.5 servers that nothing keeps from being migrated. */
export function healthyFacts(): PreflightFacts {
  const servers = sourceServers.map((address, index) => sourceServerOf(address, index))
  const partitions = [0, 1, 2, 3].map((partitionIndex) => ({
    ballot: 3,
    lastCommittedDecree: 50,
    lastDrops: [],
    maxReplicaCount: 3,
    pid: {appId: 2, partitionIndex},
    primary: sourceServers[partitionIndex % 3]!,
    secondaries: sourceServers.filter((_, index) => index !== partitionIndex % 3),
  }))
  const table = {
    appId: 2,
    appName: 'users',
    appType: 'pegasus',
    createSecond: GATHERED_AT_MS / 1000 - 86_400,
    dropSecond: 0,
    envs: new Map<string, string>(),
    expireSecond: 0,
    initPartitionCount: -1,
    isStateful: true,
    maxReplicaCount: 3,
    partitionCount: 4,
    status: AppStatus.AS_AVAILABLE,
  }
  const metaOf = (cluster: string) => (address: string) => ({
    address,
    dump: dumpOf(cluster),
    given: true,
    version: '2.5.0',
  })
  const alive = (address: string) => ({address, alive: true})
  return {
    addresses: new Map(),
    client: {} as PegasusClient,
    gatheredAtMs: GATHERED_AT_MS,
    metaproxy: {node: nodeOf('onebox', sourceMetas), store: {} as MetaproxyStore},
    proxies: [{address: '10.0.8.1:34601', answer: {appId: 2, partitionCount: 4, primaries: [...sourceServers]}}],
    request: requestOf(),
    samplesApartMs: 3000,
    signal: new AbortController().signal,
    source: {
      cluster: {} as Cluster,
      configuration: {appId: 2, partitionCount: 4, partitions},
      duplications: [],
      generation: '2.5',
      info: infoOf('onebox', sourceMetas),
      metas: sourceMetas.map((address) => metaOf('onebox')(address)),
      nodes: sourceServers.map((address) => alive(address)),
      otherServers: [],
      servers,
      table,
    },
    target: {
      cluster: {} as Cluster,
      duplications: [],
      generation: '2.5',
      info: infoOf('onebox2', targetMetas),
      metas: targetMetas.map((address) => metaOf('onebox2')(address)),
      nodes: targetServers.map((address) => alive(address)),
      servers: targetServers.map((address) => ({...serverOf(address, 'onebox2'), freeMb: 5000})),
    },
    unread: new Map(),
  }
}

/** What check `id` says of healthy facts that were changed. */
export async function judge(id: string, change: (facts: PreflightFacts) => void): Promise<CheckResult> {
  const facts = healthyFacts()
  change(facts)
  const result = (await runPreflight(facts)).find((found) => found.id === id)
  if (!result) throw new TypeError(`no check ${id}`)
  return result
}

/** As master answers: its generation, versions and figures since the start of the servers. */
export function makeMaster(facts: PreflightFacts, side: 'source' | 'target' = 'source'): void {
  facts[side].generation = 'master'
  for (const server of [...facts[side].metas, ...facts[side].servers]) server.version = '2.6.0-SNAPSHOT'
}

/** 2.4.0 has both timers in its file only (protocol.md §13). */
export function make24(facts: PreflightFacts): void {
  facts.source.generation = '2.4'
  for (const server of facts.source.servers) {
    server.config.set('config_sync_interval_ms', undefined)
    server.config.set('group_check_interval_ms', undefined)
  }
}

/** A flag of every source server that hosts the table. */
export function setEverywhere(facts: PreflightFacts, name: string, value: string): void {
  for (const server of facts.source.servers) server.config.set(name, value)
}
