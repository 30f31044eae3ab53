import {at, bool, byte, enumeration, i32, i64, int53, list, map, opt, string, struct, type ValueOf} from '../codec.js'
import {blob, errorCode, gpid, hostPort, rpcAddress, taskCode} from '../custom-types.js'
import {PatternMatchType} from './table.js'

/* Duplication (idl.md, "Duplication (meta)" and "Duplication (internal)"). */

export enum DuplicationStatus {
  DS_INIT = 0,
  DS_PREPARE = 1,
  DS_APP = 2,
  DS_LOG = 3,
  DS_PAUSE = 4,
  DS_REMOVED = 5,
}

export enum DuplicationFailMode {
  FAIL_SLOW = 0,
  FAIL_SKIP = 1,
  FAIL_FAST = 2,
}

export const duplicationAddRequest = struct('duplication_add_request', {
  appName: at(1, string),
  remoteClusterName: at(2, string),
  isDuplicatingCheckpoint: opt(3, bool),
  remoteAppName: opt(4, string),
  remoteReplicaCount: opt(5, i32),
})

export const duplicationAddResponse = struct('duplication_add_response', {
  err: at(1, errorCode),
  appId: at(2, i32),
  dupid: at(3, i32),
  hint: opt(4, string),
  remoteAppName: opt(5, string),
  remoteReplicaCount: opt(6, i32),
})

export const duplicationModifyRequest = struct('duplication_modify_request', {
  appName: at(1, string),
  dupid: at(2, i32),
  status: opt(3, enumeration<DuplicationStatus>(DuplicationStatus.DS_INIT)),
  failMode: opt(4, enumeration<DuplicationFailMode>(DuplicationFailMode.FAIL_SLOW)),
})

export const duplicationModifyResponse = struct('duplication_modify_response', {
  err: at(1, errorCode),
  appId: at(2, i32),
})

export const duplicationQueryRequest = struct('duplication_query_request', {appName: at(1, string)})

export const duplicationPartitionState = struct('duplication_partition_state', {
  confirmedDecree: at(1, int53),
  lastCommittedDecree: at(2, int53),
})

export const duplicationEntry = struct('duplication_entry', {
  dupid: at(1, i32),
  status: at(2, enumeration<DuplicationStatus>(DuplicationStatus.DS_INIT)),
  remote: at(3, string),
  createTsMs: at(4, int53),
  progress: opt(5, map(i32, int53)),
  failMode: opt(7, enumeration<DuplicationFailMode>(DuplicationFailMode.FAIL_SLOW)),
  remoteAppName: opt(8, string),
  remoteReplicaCount: opt(9, i32),
  mode: opt(10, enumeration(0)),
  partitionStates: opt(11, map(i32, duplicationPartitionState)),
})
export type DuplicationEntry = ValueOf<typeof duplicationEntry>

export const duplicationQueryResponse = struct('duplication_query_response', {
  err: at(1, errorCode),
  appId: at(3, i32),
  entries: at(4, list(duplicationEntry)),
})

export const duplicationListRequest = struct('duplication_list_request', {
  appNamePattern: at(1, string),
  matchType: at(2, enumeration<PatternMatchType>(PatternMatchType.PMT_INVALID)),
})

export const duplicationAppState = struct('duplication_app_state', {
  appId: at(1, i32),
  duplications: at(2, map(i32, duplicationEntry)),
  appName: at(3, string),
  partitionCount: at(4, i32),
})

export const duplicationListResponse = struct('duplication_list_response', {
  err: at(1, errorCode),
  hint: at(2, string),
  appStates: at(3, map(string, duplicationAppState)),
})

/* Between servers; used by the sandbox. */

export const duplicationConfirmEntry = struct('duplication_confirm_entry', {
  dupid: at(1, i32),
  confirmedDecree: at(2, int53),
  checkpointPrepared: opt(3, bool),
  lastCommittedDecree: opt(4, int53),
})

export const duplicationSyncRequest = struct('duplication_sync_request', {
  node: at(1, rpcAddress),
  confirmList: at(2, map(gpid, list(duplicationConfirmEntry))),
  hpNode: opt(3, hostPort),
})

export const duplicationSyncResponse = struct('duplication_sync_response', {
  err: at(1, errorCode),
  dupMap: at(2, map(i32, map(i32, duplicationEntry))),
})

export const duplicateEntry = struct('duplicate_entry', {
  timestampUs: opt(1, i64),
  taskCode: opt(2, taskCode),
  rawMessage: opt(3, blob),
  clusterId: opt(4, byte),
  verifyTimetag: opt(5, bool),
})
export type DuplicateEntry = ValueOf<typeof duplicateEntry>

export const duplicateRequest = struct('duplicate_request', {entries: at(1, list(duplicateEntry))})

export const duplicateResponse = struct('duplicate_response', {
  error: opt(1, i32),
  errorHint: opt(2, string),
})
