import {rpcErrorName} from '../rpc/rpc-errors.js'
import {MigratorError} from '../errors.js'
import {plural} from '../plural.js'
import {type Call, metaCalls} from '../rpc/calls.js'
import {MetaFunctionLevel, NodeStatus} from '../rpc/structs/cluster.js'
import {DuplicationFailMode, type DuplicationEntry, DuplicationStatus} from '../rpc/structs/duplication.js'
import {
  AppEnvOperation,
  type AppInfo,
  AppStatus,
  type PartitionConfiguration,
  PatternMatchType,
} from '../rpc/structs/table.js'
import type {PegasusClient} from './client.js'
import type {CallLimits} from './env.js'
import {MetaClient} from './meta-client.js'
import {ReplicaServer} from './replica-server.js'

/** The answer of RPC_CM_CLUSTER_INFO (protocol.md §3.3). */
export interface ClusterInfo {
  clusterName: string
  metaFunctionLevel: string
  metaServers: string[]
  primaryMetaServer: string
  /** Every key as the server sent it. */
  raw: Map<string, string>
  zookeeperHosts: string
  zookeeperRoot: string
}

export interface NodeStatusInfo {
  address: string
  alive: boolean
}

export interface TableConfiguration {
  appId: number
  partitionCount: number
  /** Exactly one for each index, in order. */
  partitions: PartitionConfiguration[]
}

export interface AddDuplication {
  /** Copy a checkpoint first; without, only what is written from now on is shipped. */
  checkpoint: boolean
  remoteCluster: string
  /** master only; default the same as the source's. */
  remoteReplicaCount?: number
  /** master only; default the same name. */
  remoteTable?: string
  table: string
}

export interface CreateTable {
  envs?: Record<string, string>
  name: string
  partitionCount: number
  replicaCount: number
  successIfExist?: boolean
}

/** What meta has stored for a partition of a duplication (protocol.md §4.9). */
export interface StoredProgress {
  confirmedDecree: number
  /** Stale while nothing is written: never compare it with the other. */
  lastCommittedDecree: number
}

/**
 * One Pegasus cluster, asked through its metas by RPC only. All methods throw MigratorError: meta.error,
 * meta.no_leader, rpc.timeout, rpc.connection_lost, rpc.unauthenticated, rpc.aborted. Reads are repeated while that may help;
 * calls with effect are sent once, except env changes, which say what shall be so.
 */
export class Cluster {
  private readonly client: PegasusClient
  private readonly meta: MetaClient

  constructor(client: PegasusClient, metas: string[]) {
    this.client = client
    this.meta = new MetaClient(client.env, client.pool, [...metas])
  }

  get metas(): string[] {
    return this.meta.metas
  }

  /** The meta that answers as leader right now. */
  leader(limits?: CallLimits): Promise<string> {
    return this.meta.leader(limits)
  }

  server(address: string): ReplicaServer {
    return new ReplicaServer(this.client, address)
  }

  async info(limits?: CallLimits): Promise<ClusterInfo> {
    const {keys, values} = await this.repeatable(metaCalls.clusterInfo, {}, limits)
    const raw = new Map(keys.map((key, index) => [key, values[index] ?? '']))
    const text = (key: string) => raw.get(key) ?? ''
    return {
      clusterName: text('cluster_name'),
      metaFunctionLevel: text('meta_function_level'),
      metaServers: text('meta_servers').split(',').filter(Boolean),
      primaryMetaServer: text('primary_meta_server'),
      raw,
      zookeeperHosts: text('zookeeper_hosts'),
      zookeeperRoot: text('zookeeper_root'),
    }
  }

  /** Every replica server that the leader knows, dead ones included. */
  async nodes(limits?: CallLimits): Promise<NodeStatusInfo[]> {
    const {infos} = await this.repeatable(metaCalls.listNodes, {status: NodeStatus.NS_INVALID}, limits)
    return infos.map(({hpNode, node, status}) => ({
      address: node ?? (hpNode ? `${hpNode.host}:${hpNode.port}` : ''),
      alive: status === NodeStatus.NS_ALIVE,
    }))
  }

  /** Every table, dropped ones included: the same name may come more than once. */
  async tables(limits?: CallLimits): Promise<AppInfo[]> {
    const {infos} = await this.repeatable(metaCalls.listApps, {status: AppStatus.AS_INVALID}, limits)
    return infos
  }

  /** The table of this name that is not dropped; its status may still be any other. */
  async table(name: string, limits?: CallLimits): Promise<AppInfo | undefined> {
    const named = (await this.tables(limits)).filter((table) => table.appName === name)
    const available = named.find((table) => table.status === AppStatus.AS_AVAILABLE)
    return available ?? named.find((table) => table.status !== AppStatus.AS_DROPPED)
  }

  /** Where each partition is. @throws also meta.bad_answer when a partition is missing from the answer */
  async configuration(name: string, limits?: CallLimits): Promise<TableConfiguration> {
    const request = {appName: name, partitionIndices: []}
    const {appId, partitionCount, partitions} = await this.repeatable(metaCalls.queryConfig, request, limits)
    const sorted = [...partitions].sort((a, b) => a.pid.partitionIndex - b.pid.partitionIndex)
    const complete = sorted.every(({pid}, index) => pid.appId === appId && pid.partitionIndex === index)
    if (!complete || sorted.length !== partitionCount) {
      const facts = {appId, got: sorted.length, partitionCount, table: name}
      const message = `the configuration of ${name} names ${sorted.length} of ${plural(partitionCount, 'partition')}`
      throw new MigratorError('meta.bad_answer', message, {facts, retrySafe: true})
    }

    return {appId, partitionCount, partitions: sorted}
  }

  async maxReplicaCount(name: string, limits?: CallLimits): Promise<number> {
    const {maxReplicaCount} = await this.repeatable(metaCalls.getMaxReplicaCount, {appName: name}, limits)
    return maxReplicaCount
  }

  /** Stored by the metas when it resolves; servers learn it up to a config sync later (protocol.md §6.3). */
  async setEnvs(name: string, envs: Record<string, string>, limits?: CallLimits): Promise<void> {
    const [keys, values] = [Object.keys(envs), Object.values(envs)]
    if (keys.length === 0) return
    const request = {appName: name, keys, op: AppEnvOperation.APP_ENV_OP_SET, values}
    await this.repeatable(metaCalls.updateAppEnv, request, limits)
  }

  /** Keys that are not set are no error. */
  async deleteEnvs(name: string, keys: string[], limits?: CallLimits): Promise<void> {
    if (keys.length === 0) return
    await this.repeatable(metaCalls.updateAppEnv, {appName: name, keys, op: AppEnvOperation.APP_ENV_OP_DEL}, limits)
  }

  async duplications(name: string, limits?: CallLimits): Promise<DuplicationEntry[]> {
    const {entries} = await this.repeatable(metaCalls.queryDuplication, {appName: name}, limits)
    return entries
  }

  /**
   * Sent once. 2.4 and 2.5 answer dupid 0 and no error when one exists already; master throws meta.error, mostly
   * ERR_INVALID_PARAMETERS (measured-master.md §6): query first.
   */
  async addDuplication(add: AddDuplication, limits?: CallLimits): Promise<{appId: number; dupid: number}> {
    const request = {
      appName: add.table,
      isDuplicatingCheckpoint: add.checkpoint,
      remoteAppName: add.remoteTable,
      remoteClusterName: add.remoteCluster,
      remoteReplicaCount: add.remoteReplicaCount,
    }
    const {appId, dupid} = await this.once(metaCalls.addDuplication, request, limits)
    return {appId, dupid}
  }

  /** Sent once; only the transitions of protocol.md §3.11 are legal. */
  async modifyDuplication(
    table: string,
    dupid: number,
    change: {failMode?: DuplicationFailMode; status?: DuplicationStatus},
    limits?: CallLimits,
  ): Promise<void> {
    await this.once(metaCalls.modifyDuplication, {appName: table, dupid, ...change}, limits)
  }

  /** @returns dupid → partition → what meta has stored; undefined where the call does not exist (2.4, 2.5) */
  async listDuplications(
    name: string,
    limits?: CallLimits,
  ): Promise<Map<number, Map<number, StoredProgress>> | undefined> {
    const request = {appNamePattern: name, matchType: PatternMatchType.PMT_MATCH_EXACT}
    try {
      const {appStates} = await this.repeatable(metaCalls.listDuplication, request, limits)
      const duplications = appStates.get(name)?.duplications ?? new Map<number, DuplicationEntry>()
      return new Map([...duplications].map(([dupid, entry]) => [dupid, entry.partitionStates ?? new Map()]))
    } catch (error) {
      if (rpcErrorName(error) === 'ERR_HANDLER_NOT_FOUND') return undefined
      throw error
    }
  }

  /** What the metas may do by themselves; not kept when the leader changes (measured.md §10). */
  async metaLevel(limits?: CallLimits): Promise<MetaFunctionLevel> {
    const {oldLevel} = await this.repeatable(metaCalls.controlMeta, {level: MetaFunctionLevel.fl_invalid}, limits)
    return oldLevel
  }

  /** Sent once. @returns the level before */
  async setMetaLevel(level: MetaFunctionLevel, limits?: CallLimits): Promise<MetaFunctionLevel> {
    const {oldLevel} = await this.once(metaCalls.controlMeta, {level}, limits)
    return oldLevel
  }

  /** Sent once. Resolves to the table's id before its partitions are open: watch `configuration`. */
  async createTable(table: CreateTable, limits?: CallLimits): Promise<number> {
    const options = {
      appType: 'pegasus',
      envs: new Map(Object.entries(table.envs ?? {})),
      isStateful: true,
      partitionCount: table.partitionCount,
      replicaCount: table.replicaCount,
      successIfExist: table.successIfExist ?? false,
    }
    const {appId} = await this.once(metaCalls.createApp, {appName: table.name, options}, limits)
    return appId
  }

  /** Sent once. @param options how long the data is kept; default the server's, 7 days */
  async dropTable(name: string, options: {reserveSeconds?: number} = {}, limits?: CallLimits): Promise<void> {
    const {reserveSeconds} = options
    await this.once(metaCalls.dropApp, {appName: name, options: {reserveSeconds, successIfNotExist: false}}, limits)
  }

  /** Sent once. @param newName empty: the old one */
  async recallTable(appId: number, newName: string, limits?: CallLimits): Promise<AppInfo> {
    const {info} = await this.once(metaCalls.recallApp, {appId, newAppName: newName}, limits)
    return info
  }

  /** A remote command on one meta, leader or not. @throws also server.unknown_command */
  metaCommand(meta: string, cmd: string, args: string[], limits?: CallLimits): Promise<string> {
    return this.server(meta).command(cmd, args, limits)
  }

  private once<Q, S extends {err: string}>(call: Call<Q, S>, request: Q, limits?: CallLimits): Promise<S> {
    return this.meta.call(call, request, {...limits, idempotent: false})
  }

  private repeatable<Q, S extends {err: string}>(call: Call<Q, S>, request: Q, limits?: CallLimits): Promise<S> {
    return this.meta.call(call, request, {...limits, idempotent: true})
  }
}
