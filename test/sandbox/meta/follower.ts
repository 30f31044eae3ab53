import {metaCalls} from '../../../src/lib/rpc/calls.js'
import type {SimulatedCluster} from '../cluster.js'
import type {Table} from './state.js'

export const MASTER_CLUSTER = 'duplication.master_cluster'
export const MASTER_METAS = 'duplication.master_metas'
export const MASTER_APP_NAME = 'duplication.master_app_name'
export const FOLLOWER_STATUS = 'duplication.follower_app_status'

/** Whether a table is to begin with a copy of another cluster's (protocol.md §3.12). */
export function followsAnother({info}: Table): boolean {
  return info.envs.has(MASTER_CLUSTER) && info.envs.has(MASTER_METAS)
}

/**
 * A new primary of a follower asks the metas of its env for the master's primary and copies that one's latest
 * checkpoint. The question goes over the wire; the rows are handed over directly (NFS in real clusters).
 * @returns false when there is no primary, or no checkpoint: ERR_PATH_NOT_FOUND (measured.md §14)
 */
export async function copyCheckpoint(
  cluster: SimulatedCluster,
  table: Table,
  partitionIndex: number,
  targetAddress: string,
): Promise<boolean> {
  const {envs} = table.info
  const server = cluster.serverAt(targetAddress)
  if (!server?.alive) return false
  const request = {
    appName: envs.get(MASTER_APP_NAME) ?? table.info.appName,
    partitionIndices: [partitionIndex],
  }
  // Somebody may have deleted the envs meanwhile: then there is nobody to copy from.
  for (const meta of envs.get(MASTER_METAS)?.split(',') ?? []) {
    // A meta that is down or does not lead: the next one is asked.
    const config = await server.peers
      .call(meta, metaCalls.queryConfig, request, {timeoutMs: 5000})
      .catch(() => undefined)
    if (config?.err !== 'ERR_OK') continue
    const primary = config.partitions.find((p) => p.pid.partitionIndex === partitionIndex)?.primary
    const master = primary ? cluster.world.replicaServers.get(primary) : undefined
    const checkpoint = master?.alive ? master.checkpointOf({appId: config.appId, partitionIndex}) : undefined
    if (!checkpoint) return false
    const partition = table.partitions[partitionIndex]!
    partition.rows.replaceAll(checkpoint.rows)
    partition.beginAt(checkpoint.decree)
    partition.clientWrites = Math.max(1, partition.clientWrites)
    return true
  }

  return false
}
