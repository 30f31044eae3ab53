import {messageOf, MigratorError} from '../../errors.js'
import {ExitCode} from '../../exit-codes.js'
import type {PegasusClient} from '../../pegasus/client.js'
import type {Cluster} from '../../pegasus/cluster.js'
import type {ConfigDump} from '../../pegasus/config-dump.js'
import type {CallLimits} from '../../pegasus/env.js'
import {type DuplicationEntry, DuplicationStatus} from '../../rpc/structs/duplication.js'
import type {AppInfo} from '../../rpc/structs/table.js'
import {DENY_ENV} from '../effects-live.js'
import {forEachBounded} from '../preflight/bounded.js'
import type {Generation} from '../preflight/check.js'
import {tableNamed} from '../status/read-target.js'
import {mayPass} from '../wait.js'
import {droppedTable} from '../target-health.js'
import type {RollbackView} from './view.js'

/** For what nothing that must be quick depends on. */
export const QUICK_MS = 2000
const SERVERS_AT_ONCE = 32
/** The code's (protocol.md §12). */
const defaultTimers = {configSyncMs: 30_000, groupCheckMs: 10_000}
const unknownTimers = {configSyncMs: 0, groupCheckMs: 0}

/** The table with everything that is asked of it at once. */
export interface FoundTable {
  duplications: DuplicationEntry[]
  /** Servers that host a replica of it. */
  servers: string[]
  table: AppInfo
  /** Whether other tables of the cluster are duplicated. */
  othersDuplicate: boolean
}

export async function readTable(source: Cluster, name: string, signal: AbortSignal): Promise<FoundTable> {
  const tables = await source.tables({signal})
  const table = tableNamed(tables, name)
  if (!table) {
    throw new MigratorError('rollback.no_table', `the source has no table ${name}`, {
      exitCode: ExitCode.refused,
      next: 'Check the name and --source-meta. Nothing was changed.',
    })
  }

  const [duplications, {partitions}] = await Promise.all([
    source.duplications(name, {signal}),
    source.configuration(name, {signal}),
  ])
  const hosts = new Set(partitions.flatMap(({primary, secondaries}) => [primary, ...secondaries]))
  return {
    duplications: duplications.filter(({status}) => status !== DuplicationStatus.DS_REMOVED),
    othersDuplicate: tables.some((other) => other.duplicating === true && other.appId !== table.appId),
    servers: [...hosts].filter((address) => address !== null).sort(),
    table,
  }
}

export function denyOf(table: AppInfo): {deny?: string} {
  const deny = table.envs.get(DENY_ENV)
  return deny === undefined ? {} : {deny}
}

/** What a server that does not answer has is taken from the code's defaults: only limits follow from them. */
export async function readTimers(source: Cluster, servers: string[], limits: CallLimits) {
  const timers = {...unknownTimers}
  await forEachBounded(servers, SERVERS_AT_ONCE, async (address) => {
    try {
      const server = source.server(address)
      const [configSync, groupCheck] = await Promise.all([
        server.config('config_sync_interval_ms', limits),
        server.config('group_check_interval_ms', limits),
      ])
      // On 2.4 they are no flags: only the configuration file tells (protocol.md §13).
      const known = configSync !== undefined && groupCheck !== undefined
      const dump = known ? undefined : await server.configDump(limits)
      const msOf = (value: string | undefined, name: string) => Number(value ?? dump?.get('replication', name)) || 0
      timers.configSyncMs = Math.max(timers.configSyncMs, msOf(configSync, 'config_sync_interval_ms'))
      timers.groupCheckMs = Math.max(timers.groupCheckMs, msOf(groupCheck, 'group_check_interval_ms'))
    } catch (error) {
      limits.signal?.throwIfAborted()
      if (!mayPass(error)) throw error
    }
  })
  return {
    configSyncMs: timers.configSyncMs || defaultTimers.configSyncMs,
    groupCheckMs: timers.groupCheckMs || defaultTimers.groupCheckMs,
  }
}

export async function readGeneration(source: Cluster, table: string, limits: CallLimits): Promise<Generation> {
  try {
    return (await source.listDuplications(table, limits)) === undefined ? '2.5' : 'master'
  } catch (error) {
    limits.signal?.throwIfAborted()
    if (!mayPass(error)) throw error
    return '2.5' // the generation that needs more patience
  }
}

/** @returns undefined when it could not be had quickly */
export async function readDump(source: Cluster, signal: AbortSignal): Promise<ConfigDump | undefined> {
  const limits = {signal, timeoutMs: QUICK_MS}
  try {
    return await source.server(await source.leader(limits)).configDump(limits)
  } catch (error) {
    signal.throwIfAborted()
    if (!mayPass(error)) throw error
    return undefined
  }
}

export async function readTarget(
  client: PegasusClient,
  metas: string[],
  name: string,
  limits: CallLimits,
): Promise<Omit<NonNullable<RollbackView['target']>, 'cluster'>> {
  if (metas.length === 0) return {metas, trouble: 'nobody knows its metas, say them with -m'}
  try {
    const tables = await client.cluster(metas).tables(limits)
    const table = tableNamed(tables, name)
    if (!table) {
      const dropped = droppedTable(tables, name, client.env.clock.wallMs())
      return {...(dropped ? {dropped} : {}), metas}
    }

    const followerEnvs = Object.fromEntries([...table.envs].filter(([key]) => key.startsWith('duplication.')))
    return {metas, table: {appId: table.appId, ...denyOf(table), followerEnvs, partitionCount: table.partitionCount}}
  } catch (error) {
    limits.signal?.throwIfAborted()
    if (!mayPass(error)) throw error
    return {metas, trouble: messageOf(error)}
  }
}
