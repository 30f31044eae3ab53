import {metaCalls} from '../../../src/lib/rpc/calls.js'
import type {Call} from '../../../src/lib/rpc/calls.js'
import type {SimulatedCluster} from '../cluster.js'
import type {Duplication} from './duplication.js'
import {FOLLOWER_STATUS, MASTER_APP_NAME, MASTER_CLUSTER, MASTER_METAS} from './follower.js'
import type {Table} from './state.js'

const TIMEOUT_MS = 5000

/** Asks the target's metas in turn until one that leads answers. @returns undefined when none does */
async function askTarget<Q, S extends {err: string}>(
  cluster: SimulatedCluster,
  remote: string,
  call: Call<Q, S>,
  request: Q,
): Promise<S | undefined> {
  const {leader} = cluster
  const metas = leader?.config.get('pegasus.clusters', remote)?.split(',') ?? []
  for (const meta of metas) {
    const response = await leader!.peers.call(meta, call, request, {timeoutMs: TIMEOUT_MS}).catch(() => undefined)
    if (response && response.err !== 'ERR_FORWARD_TO_OTHERS') return response
  }

  return undefined
}

/** Creates the table on the target, envs of the source and all (protocol.md §3.12). @returns whether it took it */
export async function createFollower(
  cluster: SimulatedCluster,
  table: Table,
  {remote}: Duplication,
  followerStatus: 'created' | 'creating',
): Promise<boolean> {
  const {info} = table
  const {isMaster} = cluster.spec.traits
  const envs = new Map(info.envs)
  // "emplace": envs of an earlier duplication stay, and the follower copies from the wrong cluster (measured.md §6).
  const emplace = (key: string, value: string) => {
    if (!envs.has(key)) envs.set(key, value)
  }

  emplace(MASTER_CLUSTER, cluster.name)
  emplace(MASTER_METAS, cluster.metaServers.map((m) => m.name).join(','))
  if (isMaster) {
    emplace(MASTER_APP_NAME, info.appName)
    envs.set(FOLLOWER_STATUS, followerStatus)
  }

  const options = {
    appType: info.appType,
    envs,
    isStateful: true,
    partitionCount: info.partitionCount,
    replicaCount: isMaster ? remote.replicaCount : info.maxReplicaCount,
    successIfExist: false,
  }
  const response = await askTarget(cluster, remote.cluster, metaCalls.createApp, {appName: remote.table, options})
  return response?.err === 'ERR_OK'
}

/** Whether the target's table is ready for the log: primaries, and on 2.4/2.5 at least one secondary each. */
export async function followerIsComplete(
  cluster: SimulatedCluster,
  table: Table,
  duplication: Duplication,
): Promise<boolean> {
  const {remote} = duplication
  const {isMaster} = cluster.spec.traits
  const request = {appName: remote.table, partitionIndices: []}
  const config = await askTarget(cluster, remote.cluster, metaCalls.queryConfig, request)
  if (config?.err !== 'ERR_OK' || config.partitions.length !== table.info.partitionCount) return false
  const alone = isMaster && remote.replicaCount === 1
  const complete = config.partitions.every((p) => p.primary !== null && (alone || p.secondaries.length > 0))
  if (!complete) return false
  return isMaster ? createFollower(cluster, table, duplication, 'created') : true
}
