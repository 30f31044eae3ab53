import type {metaCalls, RequestOf, ResponseOf} from '../../../src/lib/rpc/calls.js'
import {MetaFunctionLevel} from '../../../src/lib/rpc/structs/cluster.js'
import {
  type AppInfo,
  AppStatus,
  type PartitionConfiguration,
  PatternMatchType,
  type QueryCfgResponse,
} from '../../../src/lib/rpc/structs/table.js'
import {FOLLOWER_STATUS, MASTER_APP_NAME, MASTER_CLUSTER, MASTER_METAS} from './follower.js'
import type {MetaServer} from './server.js'
import type {Membership, Table} from './state.js'

/* Tables as the leader answers about them (protocol.md §3.1–3.5, §3.8). */

/** hold_seconds_for_dropped_app */
const HOLD_SECONDS = 604_800
const MAX_REPLICA_COUNT = 5

type Ask<K extends keyof typeof metaCalls> = RequestOf<(typeof metaCalls)[K]>
type Answer<K extends keyof typeof metaCalls> = ResponseOf<(typeof metaCalls)[K]>

const freezed = (meta: MetaServer) => meta.level <= MetaFunctionLevel.fl_freezed

/** Whether a name matches; undefined: this kind of match is not there. */
export function matchesName(name: string, pattern: string, type: PatternMatchType): boolean | undefined {
  switch (type) {
    case PatternMatchType.PMT_MATCH_ALL: {
      return true
    }

    case PatternMatchType.PMT_MATCH_EXACT: {
      return name === pattern
    }

    case PatternMatchType.PMT_MATCH_ANYWHERE: {
      return name.includes(pattern)
    }

    case PatternMatchType.PMT_MATCH_PREFIX: {
      return name.startsWith(pattern)
    }

    case PatternMatchType.PMT_MATCH_POSTFIX: {
      return name.endsWith(pattern)
    }

    default: {
      return undefined
    }
  }
}

export function listApps({cluster}: MetaServer, request: Ask<'listApps'>): Answer<'listApps'> {
  const {appNamePattern: pattern, matchType, status} = request
  const filters = cluster.spec.traits.isMaster && pattern !== undefined && matchType !== undefined
  const infos = [...cluster.state.tables.values()]
    .map((t) => t.info)
    .filter((info) => status === AppStatus.AS_INVALID || info.status === status)
    .filter((info) => !filters || matchesName(info.appName, pattern, matchType))
  return {err: 'ERR_OK', infos}
}

export function createApp(meta: MetaServer, {appName, options}: Ask<'createApp'>): Answer<'createApp'> {
  const {cluster} = meta
  const fail = (err: string) => ({appId: 0, err})
  if (freezed(meta)) return fail('ERR_STATE_FREEZED')
  const {envs, partitionCount, replicaCount, successIfExist} = options
  const alive = cluster.servers.filter((s) => cluster.guardian.isListedAlive(s.address)).length
  if (partitionCount <= 0 || replicaCount < 1 || replicaCount > MAX_REPLICA_COUNT || replicaCount > alive) {
    return fail('ERR_INVALID_PARAMETERS')
  }

  const existing = cluster.state.tableNamed(appName)
  if (existing) {
    const {info} = existing
    if (cluster.spec.traits.isMaster && isSameFollower(info, envs)) {
      // The second request of the same source: what makes its retries harmless (protocol.md §3.12).
      info.envs.set(FOLLOWER_STATUS, envs.get(FOLLOWER_STATUS)!)
      return {appId: info.appId, err: 'ERR_OK'}
    }

    if (!successIfExist) return fail('ERR_APP_EXIST')
    const same = info.partitionCount === partitionCount && info.maxReplicaCount === replicaCount
    return same ? {appId: info.appId, err: 'ERR_OK'} : fail('ERR_INVALID_PARAMETERS')
  }

  const table = cluster.state.addTable({
    atomicIdempotent: options.atomicIdempotent ?? false,
    envs: new Map(envs),
    name: appName,
    partitionCount,
    replicaCount,
  })
  cluster.guardian.place(table)
  return {appId: table.info.appId, err: 'ERR_OK'}
}

function isSameFollower({envs: known}: AppInfo, envs: ReadonlyMap<string, string>): boolean {
  const same = [MASTER_CLUSTER, MASTER_METAS, MASTER_APP_NAME].every(
    (key) => known.has(key) && known.get(key) === envs.get(key),
  )
  return same && envs.has(FOLLOWER_STATUS) && known.get(FOLLOWER_STATUS) === 'creating'
}

export function dropApp(meta: MetaServer, {appName, options}: Ask<'dropApp'>): Answer<'dropApp'> {
  if (freezed(meta)) return {err: 'ERR_STATE_FREEZED'}
  const {cluster} = meta
  const table = cluster.state.tableNamed(appName)
  if (!table) return {err: options.successIfNotExist ? 'ERR_OK' : 'ERR_APP_NOT_EXIST'}
  const {info} = table
  info.status = AppStatus.AS_DROPPED
  info.dropSecond = cluster.world.nowSeconds()
  info.expireSecond = info.dropSecond + (options.reserveSeconds ?? HOLD_SECONDS)
  cluster.tableDropped(table)
  return {err: 'ERR_OK'}
}

const NO_APP: AppInfo = {
  appId: 0,
  appName: '',
  appType: '',
  createSecond: 0,
  dropSecond: 0,
  duplicating: false,
  envs: new Map(),
  expireSecond: 0,
  initPartitionCount: -1,
  isBulkLoading: false,
  isStateful: false,
  maxReplicaCount: 0,
  partitionCount: 0,
  status: AppStatus.AS_INVALID,
}

export function recallApp(meta: MetaServer, {appId, newAppName}: Ask<'recallApp'>): Answer<'recallApp'> {
  const {cluster} = meta
  const noApp = cluster.spec.traits.isMaster ? {...NO_APP, atomicIdempotent: false} : NO_APP
  const table = cluster.state.tables.get(appId)
  if (!table) return {err: 'ERR_APP_NOT_EXIST', info: noApp}
  const {info} = table
  if (info.status !== AppStatus.AS_DROPPED) return {err: 'ERR_APP_EXIST', info: noApp}
  if (info.expireSecond <= cluster.world.nowSeconds()) return {err: 'ERR_APP_NOT_EXIST', info: noApp}
  const name = newAppName === '' ? info.appName : newAppName
  if (cluster.state.tableNamed(name)) return {err: 'ERR_INVALID_PARAMETERS', info: noApp}
  Object.assign(info, {appName: name, dropSecond: 0, expireSecond: 0, status: AppStatus.AS_AVAILABLE})
  cluster.guardian.place(table)
  return {err: 'ERR_OK', info}
}

export function renameApp({cluster}: MetaServer, {newAppName, oldAppName}: Ask<'renameApp'>): Answer<'renameApp'> {
  const table = cluster.state.tableNamed(oldAppName)
  if (!table) return {err: 'ERR_APP_NOT_EXIST', hint: `ERROR: app(${oldAppName}) not exist!`}
  if (cluster.state.tableNamed(newAppName)) {
    return {err: 'ERR_INVALID_PARAMETERS', hint: `ERROR: app(${newAppName}) already exist!`}
  }

  table.info.appName = newAppName
  return {err: 'ERR_OK', hint: 'rename succeed!'}
}

/** Answers with what it knows: primaries may be invalid while the table is being made (measured.md §0). */
export function queryConfig({cluster}: MetaServer, request: Ask<'queryConfig'>): QueryCfgResponse {
  const table = cluster.state.tableNamed(request.appName)
  if (!table) return {appId: 0, err: 'ERR_OBJECT_NOT_FOUND', isStateful: false, partitionCount: 0, partitions: []}
  const {appId, partitionCount} = table.info
  const valid = request.partitionIndices.filter((index) => index >= 0 && index < partitionCount)
  const indices = valid.length > 0 ? valid : [...table.memberships.keys()]
  const partitions = indices.map((index) => partitionConfiguration(cluster, table, index))
  return {appId, err: 'ERR_OK', isStateful: true, partitionCount, partitions}
}

function partitionConfiguration(cluster: MetaServer['cluster'], table: Table, index: number): PartitionConfiguration {
  const membership: Membership = table.memberships[index]!
  const hosts = (addresses: string[]) => addresses.map((a) => cluster.hostPortOf(a))
  return {
    ballot: membership.ballot,
    lastCommittedDecree: membership.lastCommittedDecree,
    lastDrops: membership.lastDrops,
    maxReplicaCount: table.info.maxReplicaCount,
    partitionFlags: 0,
    pid: {appId: table.info.appId, partitionIndex: index},
    primary: membership.primary ?? null,
    secondaries: membership.secondaries,
    ...(cluster.spec.traits.hostNames
      ? {
          ...(membership.primary === undefined ? {} : {hpPrimary: cluster.hostPortOf(membership.primary)}),
          hpLastDrops: hosts(membership.lastDrops),
          hpSecondaries: hosts(membership.secondaries),
        }
      : {}),
  }
}

const missing = (name: string) => `app(${name}) does not exist`

export function getMaxReplicaCount(
  {cluster}: MetaServer,
  {appName}: Ask<'getMaxReplicaCount'>,
): Answer<'getMaxReplicaCount'> {
  const table = cluster.state.tableNamed(appName)
  if (!table) return {err: 'ERR_APP_NOT_EXIST', hint: missing(appName), maxReplicaCount: 0}
  return {err: 'ERR_OK', hint: '', maxReplicaCount: table.info.maxReplicaCount}
}

export function setMaxReplicaCount(meta: MetaServer, request: Ask<'setMaxReplicaCount'>): Answer<'setMaxReplicaCount'> {
  const {cluster} = meta
  const table = cluster.state.tableNamed(request.appName)
  if (freezed(meta)) return {err: 'ERR_STATE_FREEZED', hint: '', maxReplicaCount: 0}
  if (!table) return {err: 'ERR_APP_NOT_EXIST', hint: missing(request.appName), maxReplicaCount: 0}
  const old = table.info.maxReplicaCount
  const wanted = request.maxReplicaCount
  if (wanted < 1 || wanted > Math.min(MAX_REPLICA_COUNT, cluster.servers.length)) {
    return {err: 'ERR_INVALID_PARAMETERS', hint: `invalid max_replica_count(${wanted})`, maxReplicaCount: old}
  }

  table.info.maxReplicaCount = wanted
  for (const index of table.memberships.keys()) cluster.guardian.grow(table, index)
  return {err: 'ERR_OK', hint: '', maxReplicaCount: old}
}

export function getAtomicIdempotent(
  {cluster}: MetaServer,
  {appName}: Ask<'getAtomicIdempotent'>,
): Answer<'getAtomicIdempotent'> {
  const table = cluster.state.tableNamed(appName)
  if (!table) return {atomicIdempotent: false, err: 'ERR_APP_NOT_EXIST', hint: missing(appName)}
  return {atomicIdempotent: table.info.atomicIdempotent ?? false, err: 'ERR_OK', hint: ''}
}

export function setAtomicIdempotent(
  {cluster}: MetaServer,
  request: Ask<'setAtomicIdempotent'>,
): Answer<'setAtomicIdempotent'> {
  const table = cluster.state.tableNamed(request.appName)
  if (!table) return {atomicIdempotent: false, err: 'ERR_APP_NOT_EXIST', hint: missing(request.appName)}
  const old = table.info.atomicIdempotent ?? false
  table.info.atomicIdempotent = request.atomicIdempotent
  const same = old === request.atomicIdempotent
  return {
    atomicIdempotent: old,
    err: 'ERR_OK',
    hint: same ? "no need to update atomic_idempotent since it's unchanged" : '',
  }
}
