import {at, bool, enumeration, i32, int53, list, map, opt, string, struct, type ValueOf} from '../codec.js'
import {errorCode, gpid, hostPort, rpcAddress} from '../custom-types.js'

/* Tables and partitions as metas know them (idl.md, "Table and partition" and "Tables management"). */

export enum AppStatus {
  AS_INVALID = 0,
  AS_AVAILABLE = 1,
  AS_CREATING = 2,
  AS_CREATE_FAILED = 3,
  AS_DROPPING = 4,
  AS_DROP_FAILED = 5,
  AS_DROPPED = 6,
  AS_RECALLING = 7,
}

export enum AppEnvOperation {
  APP_ENV_OP_INVALID = 0,
  APP_ENV_OP_SET = 1,
  APP_ENV_OP_DEL = 2,
  APP_ENV_OP_CLEAR = 3,
}

export enum PatternMatchType {
  PMT_INVALID = 0,
  PMT_MATCH_ALL = 1,
  PMT_MATCH_EXACT = 2,
  PMT_MATCH_ANYWHERE = 3,
  PMT_MATCH_PREFIX = 4,
  PMT_MATCH_POSTFIX = 5,
  PMT_MATCH_REGEX = 6,
}

export const appInfo = struct('app_info', {
  status: at(1, enumeration<AppStatus>(AppStatus.AS_INVALID)),
  appType: at(2, string),
  appName: at(3, string),
  appId: at(4, i32),
  partitionCount: at(5, i32),
  envs: at(6, map(string, string)),
  isStateful: at(7, bool),
  maxReplicaCount: at(8, i32),
  expireSecond: at(9, int53),
  createSecond: at(10, int53),
  dropSecond: at(11, int53),
  duplicating: opt(12, bool),
  initPartitionCount: at(13, i32),
  isBulkLoading: opt(14, bool),
  atomicIdempotent: opt(15, bool),
})
export type AppInfo = ValueOf<typeof appInfo>

export const partitionConfiguration = struct('partition_configuration', {
  pid: at(1, gpid),
  ballot: at(2, int53),
  maxReplicaCount: at(3, i32),
  primary: at(4, rpcAddress),
  secondaries: at(5, list(rpcAddress)),
  lastDrops: at(6, list(rpcAddress)),
  lastCommittedDecree: at(7, int53),
  partitionFlags: opt(8, i32),
  hpPrimary: opt(9, hostPort),
  hpSecondaries: opt(10, list(hostPort)),
  hpLastDrops: opt(11, list(hostPort)),
})
export type PartitionConfiguration = ValueOf<typeof partitionConfiguration>

export const queryCfgRequest = struct('query_cfg_request', {
  appName: at(1, string),
  partitionIndices: at(2, list(i32)),
})

export const queryCfgResponse = struct('query_cfg_response', {
  err: at(1, errorCode),
  appId: at(2, i32),
  partitionCount: at(3, i32),
  isStateful: at(4, bool),
  partitions: at(5, list(partitionConfiguration)),
})
export type QueryCfgResponse = ValueOf<typeof queryCfgResponse>

export const createAppOptions = struct('create_app_options', {
  partitionCount: at(1, i32),
  replicaCount: at(2, i32),
  successIfExist: at(3, bool),
  appType: at(4, string),
  isStateful: at(5, bool),
  envs: at(6, map(string, string)),
  atomicIdempotent: opt(7, bool),
})

export const createAppRequest = struct('configuration_create_app_request', {
  appName: at(1, string),
  options: at(2, createAppOptions),
})

export const createAppResponse = struct('configuration_create_app_response', {
  err: at(1, errorCode),
  appId: at(2, i32),
})

export const dropAppOptions = struct('drop_app_options', {
  successIfNotExist: at(1, bool),
  reserveSeconds: opt(2, int53),
})

export const dropAppRequest = struct('configuration_drop_app_request', {
  appName: at(1, string),
  options: at(2, dropAppOptions),
})

/** A response that is only an error code. */
export const errResponse = struct('configuration_drop_app_response', {err: at(1, errorCode)})

export const renameAppRequest = struct('configuration_rename_app_request', {
  oldAppName: at(1, string),
  newAppName: at(2, string),
})

/** `err` and a hint: rename, env update, ... */
export const hintResponse = struct('configuration_rename_app_response', {
  err: at(1, errorCode),
  hint: at(2, string),
})

export const recallAppRequest = struct('configuration_recall_app_request', {
  appId: at(1, i32),
  newAppName: at(2, string),
})

export const recallAppResponse = struct('configuration_recall_app_response', {
  err: at(1, errorCode),
  info: at(2, appInfo),
})

export const listAppsRequest = struct('configuration_list_apps_request', {
  status: at(1, enumeration<AppStatus>(AppStatus.AS_INVALID)),
  appNamePattern: opt(2, string),
  matchType: opt(3, enumeration<PatternMatchType>(PatternMatchType.PMT_INVALID)),
})

export const listAppsResponse = struct('configuration_list_apps_response', {
  err: at(1, errorCode),
  infos: at(2, list(appInfo)),
  hint: opt(3, string),
})

export const updateAppEnvRequest = struct('configuration_update_app_env_request', {
  appName: at(1, string),
  op: at(2, enumeration<AppEnvOperation>(AppEnvOperation.APP_ENV_OP_INVALID)),
  keys: opt(3, list(string)),
  values: opt(4, list(string)),
  clearPrefix: opt(5, string),
})

export const appNameRequest = struct('configuration_get_max_replica_count_request', {appName: at(1, string)})

export const maxReplicaCountResponse = struct('configuration_get_max_replica_count_response', {
  err: at(1, errorCode),
  maxReplicaCount: at(2, i32),
  hint: at(3, string),
})

export const setMaxReplicaCountRequest = struct('configuration_set_max_replica_count_request', {
  appName: at(1, string),
  maxReplicaCount: at(2, i32),
})

export const atomicIdempotentResponse = struct('configuration_get_atomic_idempotent_response', {
  err: at(1, errorCode),
  atomicIdempotent: at(2, bool),
  hint: at(3, string),
})

export const setAtomicIdempotentRequest = struct('configuration_set_atomic_idempotent_request', {
  appName: at(1, string),
  atomicIdempotent: at(2, bool),
})
