import {Pace} from '../../pegasus/pace.js'
import {factsOf, type MigrationContext} from '../context.js'
import {ClusterRows} from '../verify/cluster-rows.js'
import {findEntry} from './duplicate.js'

/** Each side gives an expiry to rows without one when it applies them, or compacts, by its own clock (protocol.md §6.4). */
const DEFAULT_TTL_ENV = 'default_ttl'
const CLOCK_SKEW_S = 60

/** The rows of the table on both sides, as they are read for a comparison. */
export interface BothSides {
  partitionCount: number
  source: ClusterRows
  target: ClusterRows
}

/** @param rowsPerSecond most rows that are read of each side; undefined: as many as it answers */
export async function openBothSides(
  context: MigrationContext,
  signal: AbortSignal,
  rowsPerSecond?: number,
): Promise<BothSides> {
  const {client, clock, request, source, state, target} = context
  const [sourceConfiguration, targetConfiguration] = await Promise.all([
    source.configuration(request.table, {signal}),
    target.configuration(request.table, {signal}),
  ])
  state.targetAppId = targetConfiguration.appId
  const common = {client, signal, table: request.table}
  const pace = () => (rowsPerSecond === undefined ? {} : {pace: new Pace(clock, {rowsPerSecond})})
  return {
    partitionCount: sourceConfiguration.partitionCount,
    source: new ClusterRows({
      ...common,
      ...pace(),
      cluster: source,
      configuration: sourceConfiguration,
      name: 'source',
    }),
    target: new ClusterRows({
      ...common,
      ...pace(),
      cluster: target,
      configuration: targetConfiguration,
      name: 'target',
    }),
  }
}

/** Seconds by which expiries may rightly differ: with a default expiry so much lay between the times at which the sides applied a write. */
export async function expiryToleranceSeconds(context: MigrationContext): Promise<number> {
  if (!factsOf(context).source.table.envs.has(DEFAULT_TTL_ENV)) return 0
  const {createTsMs} = await findEntry(context)
  return Math.max(0, Math.ceil((context.clock.wallMs() - createTsMs) / 1000)) + CLOCK_SKEW_S
}
