import {i64, string, type WireType} from './codec.js'
import {blob} from './custom-types.js'
import * as cluster from './structs/cluster.js'
import * as dup from './structs/duplication.js'
import * as replica from './structs/replica.js'
import * as rrdb from './structs/rrdb.js'
import * as table from './structs/table.js'

/** One RPC: its name on the wire and the types of its argument and result. */
export interface Call<Q, S> {
  name: string
  request: WireType<Q>
  response: WireType<S>
}

/** A call of whatever types. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyCall = Call<any, any>

export type RequestOf<C extends AnyCall> = C extends {request: WireType<infer Q>} ? Q : never
export type ResponseOf<C extends AnyCall> = C extends {response: WireType<infer S>} ? S : never

function call<Q, S>(name: string, request: WireType<Q>, response: WireType<S>): Call<Q, S> {
  return {name, request, response}
}

/** Calls to metas; they need the leader, except where noted (protocol.md §3). */
export const metaCalls = {
  addDuplication: call('RPC_CM_ADD_DUPLICATION', dup.duplicationAddRequest, dup.duplicationAddResponse),
  clusterInfo: call('RPC_CM_CLUSTER_INFO', cluster.clusterInfoRequest, cluster.clusterInfoResponse),
  controlMeta: call('RPC_CM_CONTROL_META', cluster.metaControlRequest, cluster.metaControlResponse),
  createApp: call('RPC_CM_CREATE_APP', table.createAppRequest, table.createAppResponse),
  dropApp: call('RPC_CM_DROP_APP', table.dropAppRequest, table.errResponse),
  getAtomicIdempotent: call('RPC_CM_GET_ATOMIC_IDEMPOTENT', table.appNameRequest, table.atomicIdempotentResponse),
  getMaxReplicaCount: call('RPC_CM_GET_MAX_REPLICA_COUNT', table.appNameRequest, table.maxReplicaCountResponse),
  listApps: call('RPC_CM_LIST_APPS', table.listAppsRequest, table.listAppsResponse),
  listDuplication: call('RPC_CM_LIST_DUPLICATION', dup.duplicationListRequest, dup.duplicationListResponse),
  listNodes: call('RPC_CM_LIST_NODES', cluster.listNodesRequest, cluster.listNodesResponse),
  modifyDuplication: call('RPC_CM_MODIFY_DUPLICATION', dup.duplicationModifyRequest, dup.duplicationModifyResponse),
  queryConfig: call('RPC_CM_QUERY_PARTITION_CONFIG_BY_INDEX', table.queryCfgRequest, table.queryCfgResponse),
  queryDuplication: call('RPC_CM_QUERY_DUPLICATION', dup.duplicationQueryRequest, dup.duplicationQueryResponse),
  recallApp: call('RPC_CM_RECALL_APP', table.recallAppRequest, table.recallAppResponse),
  renameApp: call('RPC_CM_RENAME_APP', table.renameAppRequest, table.hintResponse),
  setAtomicIdempotent: call(
    'RPC_CM_SET_ATOMIC_IDEMPOTENT',
    table.setAtomicIdempotentRequest,
    table.atomicIdempotentResponse,
  ),
  setMaxReplicaCount: call(
    'RPC_CM_SET_MAX_REPLICA_COUNT',
    table.setMaxReplicaCountRequest,
    table.maxReplicaCountResponse,
  ),
  updateAppEnv: call('RPC_CM_UPDATE_APP_ENV', table.updateAppEnvRequest, table.hintResponse),
} as const

/** Calls that replica servers answer; `remoteCommand` and `negotiation` metas too. */
export const serverCalls = {
  negotiation: call('RPC_NEGOTIATION', cluster.negotiation, cluster.negotiation),
  queryAppInfo: call('RPC_QUERY_APP_INFO', replica.queryAppInfoRequest, replica.queryAppInfoResponse),
  queryReplicaDecree: call(
    'RPC_QUERY_PN_DECREE',
    replica.queryReplicaDecreeRequest,
    replica.queryReplicaDecreeResponse,
  ),
  queryReplicaInfo: call('RPC_QUERY_REPLICA_INFO', replica.queryReplicaInfoRequest, replica.queryReplicaInfoResponse),
  remoteCommand: call('RPC_CLI_CLI_CALL', cluster.commandRequest, string),
} as const

/** Calls for rows, routed to the primary of a partition (protocol.md §8.2). */
export const dataCalls = {
  batchGet: call('RPC_RRDB_RRDB_BATCH_GET', rrdb.batchGetRequest, rrdb.batchGetResponse),
  checkAndMutate: call('RPC_RRDB_RRDB_CHECK_AND_MUTATE', rrdb.checkAndMutateRequest, rrdb.checkAndSetResponse),
  checkAndSet: call('RPC_RRDB_RRDB_CHECK_AND_SET', rrdb.checkAndSetRequest, rrdb.checkAndSetResponse),
  /** One way: no reply ever comes. */
  clearScanner: call('RPC_RRDB_RRDB_CLEAR_SCANNER', i64, i64),
  duplicate: call('RPC_RRDB_RRDB_DUPLICATE', dup.duplicateRequest, dup.duplicateResponse),
  get: call('RPC_RRDB_RRDB_GET', blob, rrdb.readResponse),
  getScanner: call('RPC_RRDB_RRDB_GET_SCANNER', rrdb.getScannerRequest, rrdb.scanResponse),
  incr: call('RPC_RRDB_RRDB_INCR', rrdb.incrRequest, rrdb.incrResponse),
  multiGet: call('RPC_RRDB_RRDB_MULTI_GET', rrdb.multiGetRequest, rrdb.multiGetResponse),
  multiPut: call('RPC_RRDB_RRDB_MULTI_PUT', rrdb.multiPutRequest, rrdb.updateResponse),
  multiRemove: call('RPC_RRDB_RRDB_MULTI_REMOVE', rrdb.multiRemoveRequest, rrdb.multiRemoveResponse),
  put: call('RPC_RRDB_RRDB_PUT', rrdb.updateRequest, rrdb.updateResponse),
  remove: call('RPC_RRDB_RRDB_REMOVE', blob, rrdb.updateResponse),
  scan: call('RPC_RRDB_RRDB_SCAN', rrdb.scanRequest, rrdb.scanResponse),
  sortkeyCount: call('RPC_RRDB_RRDB_SORTKEY_COUNT', blob, rrdb.countResponse),
  ttl: call('RPC_RRDB_RRDB_TTL', blob, rrdb.ttlResponse),
} as const

/** Every known call by its name on the wire. */
export const callsByName: ReadonlyMap<string, AnyCall> = new Map(
  [metaCalls, serverCalls, dataCalls].flatMap((group) => Object.values(group)).map((c) => [c.name, c as AnyCall]),
)
