import type {RequestOf, ResponseOf, metaCalls} from '../../../src/lib/rpc/calls.js'
import {AppEnvOperation} from '../../../src/lib/rpc/structs/table.js'
import type {ClusterState} from './state.js'

/* Table envs as metas validate and store them (protocol.md §3.6, app_env_validator.cpp). */

type Check = (value: string) => string | undefined

const DENY_HINT =
  'Invalid deny client args, valid include: timeout*all, timeout*write, timeout*read; reconfig*all, reconfig*write, reconfig*read'

const checkDeny: Check = (value) => (/^(timeout|reconfig)\*(all|write|read)$/.test(value) ? undefined : DENY_HINT)

const checkThrottling: Check = (value) => {
  if (value === '') return "The value shouldn't be empty"
  const kinds: string[] = []
  for (const part of value.split(',')) {
    const fields = part.trim().split('*')
    if (fields.length !== 3) return `The field count of ${part} should be 3`
    const [units, kind, delay] = fields as [string, string, string]
    if (!/^\d+[KM]?$/.test(units)) return `${units.replace(/[KM]$/, '')} should be non-negative int`
    if (kind !== 'delay' && kind !== 'reject') return `${kind} should be "delay" or "reject"`
    if (kinds.includes(kind)) return `duplicate ${kind} config`
    if (!/^\d+$/.test(delay)) return `${delay} should be non-negative int`
    kinds.push(kind)
  }

  return undefined
}

const checkBool: Check = (value) =>
  /^(true|false)$/.test(value) ? undefined : `invalid string ${value}, should be "true" or "false"`
const checkSlowQuery: Check = (value) =>
  /^\d+$/.test(value) && Number(value) >= 20 ? undefined : 'Slow query threshold must be >= 20ms'
const anything: Check = () => undefined

const CHECKS: Record<string, Check> = {
  'business.info': anything,
  default_ttl: anything,
  'manual_compact.disabled': anything,
  'manual_compact.max_concurrent_running_count': anything,
  'manual_compact.once.bottommost_level_compaction': anything,
  'manual_compact.once.target_level': anything,
  'manual_compact.once.trigger_time': anything,
  'manual_compact.periodic.bottommost_level_compaction': anything,
  'manual_compact.periodic.target_level': anything,
  'manual_compact.periodic.trigger_time': anything,
  'replica.backup_request_throttling': checkThrottling,
  'replica.deny_client_request': checkDeny,
  'replica.read_throttling': checkThrottling,
  'replica.read_throttling_by_size': anything,
  'replica.rocksdb_block_cache_enabled': checkBool,
  'replica.rocksdb_iteration_threshold_time_ms': anything,
  'replica.slow_query_threshold': checkSlowQuery,
  'replica.split.validate_partition_hash': checkBool,
  'replica.write_throttling': checkThrottling,
  'replica.write_throttling_by_size': checkThrottling,
  'replica_access_controller.allowed_users': anything,
  'replica_access_controller.ranger_policies': anything,
  'rocksdb.allow_ingest_behind': checkBool,
  'rocksdb.checkpoint.reserve_min_count': anything,
  'rocksdb.checkpoint.reserve_time_seconds': anything,
  'rocksdb.num_levels': anything,
  'rocksdb.usage_scenario': anything,
  'rocksdb.write_buffer_size': anything,
  user_specified_compaction: anything,
}

/** Only master lets clients set these; deleting them works everywhere (protocol.md §3.6). */
const MASTER_ONLY = new Set([
  'duplication.follower_app_status',
  'duplication.master_app_name',
  'duplication.master_cluster',
  'duplication.master_metas',
])

export function knownEnvs(isMaster: boolean): string[] {
  return [...Object.keys(CHECKS), ...(isMaster ? MASTER_ONLY : [])].sort()
}

function validate(key: string, value: string, isMaster: boolean): string | undefined {
  const check = CHECKS[key] ?? (isMaster && MASTER_ONLY.has(key) ? anything : undefined)
  if (check) return check(value)
  return isMaster ? `app_env '${key}' is not supported` : `app_env "${key}" is not supported`
}

type Request = RequestOf<typeof metaCalls.updateAppEnv>
type Response = ResponseOf<typeof metaCalls.updateAppEnv>

export function updateEnvs(state: ClusterState, request: Request): Response {
  const {isMaster} = state.cluster.spec.traits
  const table = state.tableNamed(request.appName)
  const invalid = (hint: string): Response => ({err: 'ERR_INVALID_PARAMETERS', hint})
  const missing = (): Response =>
    isMaster ? {err: 'ERR_APP_NOT_EXIST', hint: 'app cannot be found'} : invalid('invalid app name')
  const keys = request.keys ?? []
  switch (request.op) {
    case AppEnvOperation.APP_ENV_OP_SET: {
      const values = request.values ?? []
      if (keys.length === 0 || keys.length !== values.length) return invalid('')
      for (const [i, key] of keys.entries()) {
        const hint = validate(key, values[i]!, isMaster)
        if (hint !== undefined) return invalid(hint)
      }

      if (!table) return missing()
      for (const [i, key] of keys.entries()) table.info.envs.set(key, values[i]!)
      return {err: 'ERR_OK', hint: ''}
    }

    case AppEnvOperation.APP_ENV_OP_DEL: {
      if (!table) return missing()
      return {
        err: 'ERR_OK',
        hint: deleted(
          keys.filter((key) => table.info.envs.delete(key)),
          isMaster,
        ),
      }
    }

    case AppEnvOperation.APP_ENV_OP_CLEAR: {
      if (!table) return missing()
      const prefix = request.clearPrefix ?? ''
      const doomed = [...table.info.envs.keys()].filter((key) => prefix === '' || key.startsWith(`${prefix}.`))
      for (const key of doomed) table.info.envs.delete(key)
      return {err: 'ERR_OK', hint: deleted(doomed, isMaster)}
    }

    default: {
      return invalid('')
    }
  }
}

function deleted(keys: string[], isMaster: boolean): string {
  if (keys.length === 0) return isMaster ? 'no key needs to be deleted' : 'no key need to delete'
  return `deleted keys:${keys.map((key) => `\n    ${key}`).join('')}`
}
