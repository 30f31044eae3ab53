import {PartitionStatus, type ReplicaInfo} from '../../rpc/structs/replica.js'
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
 * `RPC_QUERY_REPLICA_INFO` leaves out mutations that are not in the primary's log yet; master tells those too
 * (`replica.query-progress`), and on 2.4/2.5 they show on a secondary that has logged them.
 * @throws MigratorError `observe.*` while a primary is missing or moving
 */
export async function readFences(
  cluster: Cluster,
  table: string,
  signal: AbortSignal,
  generation?: Generation,
): Promise<Map<number, Fence>> {
  const {configuration, primaries} = await readPrimaries(cluster, table, signal)
  const {appId} = configuration
  const fences = new Map<number, Fence>()
  const elsewhere = new Map<number, number>()
  await Promise.all(
    [...byServer(primaries.values())].map(async ([address, expected]) => {
      const server = cluster.server(address)
      const limits = {signal, timeoutMs: DECREES_TIMEOUT_MS}
      const replicas = await server.replicas(limits)
      const own = ownPrimaries(replicas, appId, expected)
      notePrepared(elsewhere, replicas, appId, primaries)
      const progress = generation === 'master' ? await server.progress(appId, limits) : undefined
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
  for (const [index, fence] of fences) fence.decree = Math.max(fence.decree, elsewhere.get(index) ?? -1)
  return fences
}

/** What secondaries with the primary's ballot have logged: a mutation may be there and still hang on the primary's disk. */
function notePrepared(
  found: Map<number, number>,
  replicas: readonly ReplicaInfo[],
  appId: number,
  primaries: ReadonlyMap<number, PrimaryAt>,
): void {
  for (const {ballot, lastPreparedDecree, pid, status} of replicas) {
    const {partitionIndex} = pid
    if (pid.appId !== appId || status !== PartitionStatus.PS_SECONDARY) continue
    if (primaries.get(partitionIndex)?.ballot !== ballot) continue
    found.set(partitionIndex, Math.max(lastPreparedDecree, found.get(partitionIndex) ?? -1))
  }
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
