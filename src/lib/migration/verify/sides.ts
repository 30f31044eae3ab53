import {MigratorError} from '../../errors.js'
import {ExitCode} from '../../exit-codes.js'
import type {PegasusClient} from '../../pegasus/client.js'
import type {Cluster, TableConfiguration} from '../../pegasus/cluster.js'
import {plural} from '../../plural.js'
import {DuplicationStatus} from '../../rpc/structs/duplication.js'
import type {AppInfo} from '../../rpc/structs/table.js'
import type {Generation} from '../preflight/check.js'
import type {DuplicationState, VerifyRequest} from './run-types.js'

/** A meta leader's death stops everything for up to 47 s (measured.md §10). */
const limits = {patienceMs: 60_000}
/** No table has this name; only whether the call exists is asked. */
const noTable = '__is_it_master__'

/** Each side gives an expiry to rows without one when it applies them, or compacts, by its own clock (protocol.md §6.4). */
export const defaultTtlEnv = 'default_ttl'
const clockSkewSeconds = 60

export interface Side {
  cluster: Cluster
  configuration: TableConfiguration
  name: string
  table: AppInfo
}

/** The table on both clusters, and the duplication between them. */
export interface Sides {
  duplication?: {createdAtMs: number; dupid: number}
  generation: Generation
  source: Side
  state: DuplicationState
  target: Side
}

/**
 * Reads where the table is on both sides and what ships.
 * @throws MigratorError verify.no_table, verify.partition_count, verify.wrong_cluster, verify.not_copied (all with exit
 *   code 3), or as `Cluster`
 */
export async function readSides(client: PegasusClient, request: VerifyRequest, signal: AbortSignal): Promise<Sides> {
  const {sourceMetas, table, targetCluster, targetMetas} = request
  const [source, target] = await Promise.all([
    readSide(client.cluster(sourceMetas), 'source', table, signal),
    readSide(client.cluster(targetMetas), 'target', table, signal),
  ])
  if (target.name !== targetCluster) {
    const message = `the metas ${targetMetas.join(',')} are of ${target.name}, not of ${targetCluster}`
    throw refusal('verify.wrong_cluster', message, 'say the metas of that cluster with -m')
  }

  if (source.name === target.name) {
    const message = `source and target are the same cluster, ${source.name}`
    throw refusal('verify.wrong_cluster', message, 'say the source with --source-meta, the target with -c and -m')
  }

  const [here, there] = [source.table.partitionCount, target.table.partitionCount]
  if (here !== there) {
    const message = `${table} has ${plural(here, 'partition')} on ${source.name} and ${there} on ${target.name}: their rows lie differently`
    throw refusal(
      'verify.partition_count',
      message,
      'see which of them was split: such tables can be neither compared nor migrated',
    )
  }

  const [entries, listed] = await Promise.all([
    source.cluster.duplications(table, {...limits, signal}),
    source.cluster.listDuplications(noTable, {...limits, signal}),
  ])
  const generation = listed === undefined ? '2.5' : 'master'
  const entry = entries.find(({remote, status}) => remote === target.name && status !== DuplicationStatus.DS_REMOVED)
  if (!entry) return {generation, source, state: 'none', target}
  const {createTsMs: createdAtMs, dupid, status} = entry
  if (status !== DuplicationStatus.DS_LOG && status !== DuplicationStatus.DS_PAUSE) {
    const message = `duplication ${dupid} of ${table} to ${target.name} is in ${DuplicationStatus[status]}: the copy is still being made`
    throw refusal('verify.not_copied', message, 'wait until it is in DS_LOG')
  }

  const state = status === DuplicationStatus.DS_LOG ? 'shipping' : 'paused'
  return {duplication: {createdAtMs, dupid}, generation, source, state, target}
}

/** Seconds by which expiries may rightly differ; 0 on tables without a `default_ttl`. */
export function expiryTolerance({duplication, source, target}: Sides, wallMs: number): number {
  const values = [source, target].map(({table}) => Number(table.envs.get(defaultTtlEnv) ?? 0))
  const ttlSeconds = Math.max(0, ...values.filter((value) => !Number.isNaN(value)))
  if (ttlSeconds === 0) return 0
  // No further apart than the times at which both sides applied a write.
  const sinceSeconds = duplication ? Math.max(0, Math.ceil((wallMs - duplication.createdAtMs) / 1000)) : Infinity
  return Math.min(ttlSeconds, sinceSeconds) + clockSkewSeconds
}

async function readSide(cluster: Cluster, side: string, name: string, signal: AbortSignal): Promise<Side> {
  const {clusterName} = await cluster.info({...limits, signal})
  const table = await cluster.table(name, {...limits, signal})
  if (!table) {
    const message = `${clusterName} (the ${side}, ${cluster.metas.join(',')}) has no table ${name}`
    throw refusal('verify.no_table', message, 'correct --table, or the metas of that side')
  }

  return {cluster, configuration: await cluster.configuration(name, {...limits, signal}), name: clusterName, table}
}

function refusal(code: string, message: string, next?: string): MigratorError {
  return new MigratorError(code, message, {exitCode: ExitCode.refused, next})
}
