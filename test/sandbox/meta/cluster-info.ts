import type {metaCalls, ResponseOf} from '../../../src/lib/rpc/calls.js'
import {MetaFunctionLevel} from '../../../src/lib/rpc/structs/cluster.js'
import type {SimulatedCluster} from '../cluster.js'

export interface ClusterCommandSource {
  readonly cluster: SimulatedCluster
  level: MetaFunctionLevel
  readonly name: string
}

/** The nine keys of RPC_CM_CLUSTER_INFO in their order (protocol.md §3.3). */
export function clusterInfo(meta: ClusterCommandSource): ResponseOf<typeof metaCalls.clusterInfo> {
  const {cluster} = meta
  const balance = cluster.spec.traits.isMaster
    ? JSON.stringify({copy_pri: 0, copy_sec: 0, move_pri: 0, total: 0}, null, 2)
    : 'move_pri=0,copy_pri=0,copy_sec=0,total=0'
  const entries: [string, string][] = [
    ['meta_servers', cluster.metaServers.map((m) => m.name).join(',')],
    ['primary_meta_server', meta.name],
    ['zookeeper_hosts', cluster.zookeeperHosts],
    ['zookeeper_root', `/pegasus/${cluster.name}`],
    ['meta_function_level', (MetaFunctionLevel[meta.level] ?? String(meta.level)).replace(/^fl_/, '')],
    ['balance_operation_count', balance],
    ['primary_replica_count_stddev', '0.00'],
    ['total_replica_count_stddev', '0.00'],
    ['cluster_name', cluster.name],
  ]
  return {err: 'ERR_OK', keys: entries.map(([key]) => key), values: entries.map(([, value]) => value)}
}
