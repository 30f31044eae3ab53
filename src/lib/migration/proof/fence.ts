import type {Cluster} from '../../pegasus/cluster.js'
import type {PrimaryAt} from '../context.js'
import type {Generation} from '../preflight/check.js'
import {byServer, DECREES_TIMEOUT_MS, ownPrimaries, readPrimaries} from './primaries.js'

/** A partition's fence: everything accepted so far has a decree at or below it (protocol.md §4.3, step 3). */
export interface Fence extends PrimaryAt {
  decree: number
}

/**
 * Reads F = max(last prepared, last committed) of every partition from its primary. The prepared decree of
 * `RPC_QUERY_REPLICA_INFO` leaves out mutations that are not in the log yet; master tells those too (`replica.query-progress`).
 * @throws MigratorError `observe.*` while a primary is missing or moving
 */
export async function readFences(
  cluster: Cluster,
  table: string,
  signal: AbortSignal,
  generation?: Generation,
): Promise<Map<number, Fence>> {
  const {configuration, primaries} = await readPrimaries(cluster, table, signal)
  const fences = new Map<number, Fence>()
  await Promise.all(
    [...byServer(primaries.values())].map(async ([address, expected]) => {
      const server = cluster.server(address)
      const limits = {signal, timeoutMs: DECREES_TIMEOUT_MS}
      const own = ownPrimaries(await server.replicas(limits), configuration.appId, expected)
      const progress = generation === 'master' ? await server.progress(configuration.appId, limits) : undefined
      const logging = new Map(
        progress?.map(({maxPreparedDecree, partitionIndex}) => [partitionIndex, maxPreparedDecree]),
      )
      for (const primary of expected) {
        const {lastCommittedDecree, lastPreparedDecree} = own.get(primary.partitionIndex)!
        const decrees = [lastCommittedDecree, lastPreparedDecree, logging.get(primary.partitionIndex) ?? -1]
        fences.set(primary.partitionIndex, {...primary, decree: Math.max(...decrees)})
      }
    }),
  )
  return fences
}

/**
 * Empty writes that an idle primary may have made in `elapsedMs`: one each group check (protocol.md §4.2). Growth of
 * a fence beyond that is a client's mutation.
 */
export function allowedEmptyWrites(elapsedMs: number, groupCheckIntervalMs: number): number {
  return Math.floor(elapsedMs / groupCheckIntervalMs) + 1
}

/** Partitions whose fence grew since `before` by more than `allowance` says for each of them. */
export function grownFences(
  before: ReadonlyMap<number, Fence>,
  now: ReadonlyMap<number, Fence>,
  allowance: (partitionIndex: number) => number,
): Fence[] {
  return [...now.values()].filter(({decree, partitionIndex}) => {
    const old = before.get(partitionIndex)
    return old === undefined || decree - old.decree > allowance(partitionIndex)
  })
}
