import {MigratorError} from '../../errors.js'
import type {Cluster, TableConfiguration} from '../../pegasus/cluster.js'
import type {ReplicaInfo} from '../../rpc/structs/replica.js'
import {PartitionStatus} from '../../rpc/structs/replica.js'
import type {PrimaryAt} from '../context.js'

/**
 * How long one server may take to tell its decrees: they are read while writes are denied, and a machine that is gone
 * without a word is replaced within some 9 s (measured.md §10).
 */
export const DECREES_TIMEOUT_MS = 4000

/** Where every partition's primary is, as the meta says. @throws MigratorError `observe.no_primary` (it may pass) */
export async function readPrimaries(
  cluster: Cluster,
  table: string,
  signal: AbortSignal,
): Promise<{configuration: TableConfiguration; primaries: Map<number, PrimaryAt>}> {
  const configuration = await cluster.configuration(table, {signal})
  const primaries = new Map<number, PrimaryAt>()
  for (const {ballot, pid, primary} of configuration.partitions) {
    if (primary === null) {
      throw new MigratorError(
        'observe.no_primary',
        `partition ${pid.partitionIndex} of ${table} has no primary at the moment`,
        {
          facts: {partition: pid.partitionIndex},
        },
      )
    }

    primaries.set(pid.partitionIndex, {ballot, partitionIndex: pid.partitionIndex, server: primary})
  }

  return {configuration, primaries}
}

/** Partitions by the server of their primary. */
export function byServer(primaries: Iterable<PrimaryAt>): Map<string, PrimaryAt[]> {
  const grouped = new Map<string, PrimaryAt[]>()
  for (const primary of primaries) {
    const group = grouped.get(primary.server)
    if (group) group.push(primary)
    else grouped.set(primary.server, [primary])
  }

  return grouped
}

/** Partitions whose primary or ballot differs between two readings. */
export function movedPrimaries(before: ReadonlyMap<number, PrimaryAt>, now: ReadonlyMap<number, PrimaryAt>): number[] {
  return [...now.values()]
    .filter(({ballot, partitionIndex, server}) => {
      const old = before.get(partitionIndex)
      return old?.ballot !== ballot || old.server !== server
    })
    .map(({partitionIndex}) => partitionIndex)
}

/**
 * A server's own account of the partitions it should be primary of.
 * @throws MigratorError `observe.primary_moving` when it does not agree with the meta (it may pass)
 */
export function ownPrimaries(
  replicas: readonly ReplicaInfo[],
  appId: number,
  expected: readonly PrimaryAt[],
): Map<number, ReplicaInfo> {
  const found = new Map(
    replicas
      .filter(({pid, status}) => pid.appId === appId && status === PartitionStatus.PS_PRIMARY)
      .map((replica) => [replica.pid.partitionIndex, replica]),
  )
  for (const {ballot, partitionIndex, server} of expected) {
    const replica = found.get(partitionIndex)
    if (replica?.ballot !== ballot) {
      throw new MigratorError(
        'observe.primary_moving',
        `the meta says that ${server} is primary of partition ${partitionIndex} with ballot ${ballot}, the server itself says ${replica ? `ballot ${replica.ballot}` : 'that it is not'}`,
        {facts: {partition: partitionIndex, server}},
      )
    }
  }

  return found
}
