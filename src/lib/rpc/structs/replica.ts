import {at, enumeration, i32, int53, list, opt, string, struct, type ValueOf} from '../codec.js'
import {errorCode, gpid, hostPort, rpcAddress} from '../custom-types.js'
import {appInfo} from './table.js'

/* What replica servers tell of themselves (idl.md, "Replica server admin"). */

export enum PartitionStatus {
  PS_INVALID = 0,
  PS_INACTIVE = 1,
  PS_ERROR = 2,
  PS_PRIMARY = 3,
  PS_SECONDARY = 4,
  PS_POTENTIAL_SECONDARY = 5,
  PS_PARTITION_SPLIT = 6,
}

export const queryReplicaInfoRequest = struct('query_replica_info_request', {
  node: at(1, rpcAddress),
  hpNode: opt(2, hostPort),
})

export const replicaInfo = struct('replica_info', {
  pid: at(1, gpid),
  ballot: at(2, int53),
  status: at(3, enumeration<PartitionStatus>(PartitionStatus.PS_INVALID)),
  lastCommittedDecree: at(4, int53),
  lastPreparedDecree: at(5, int53),
  lastDurableDecree: at(6, int53),
  appType: at(7, string),
  diskTag: at(8, string),
  manualCompactStatus: opt(9, i32),
})
export type ReplicaInfo = ValueOf<typeof replicaInfo>

export const queryReplicaInfoResponse = struct('query_replica_info_response', {
  err: at(1, errorCode),
  replicas: at(2, list(replicaInfo)),
})

export const queryReplicaDecreeRequest = struct('query_replica_decree_request', {
  pid: at(1, gpid),
  node: at(2, rpcAddress),
  hpNode: opt(3, hostPort),
})

export const queryReplicaDecreeResponse = struct('query_replica_decree_response', {
  err: at(1, errorCode),
  lastDecree: at(2, int53),
})

export const queryAppInfoRequest = struct('query_app_info_request', {
  metaServer: at(1, rpcAddress),
  hpMetaServer: opt(2, hostPort),
})

export const queryAppInfoResponse = struct('query_app_info_response', {
  err: at(1, errorCode),
  apps: at(2, list(appInfo)),
})
