import {MigratorError} from '../../errors.js'
import type {Cluster} from '../../pegasus/cluster.js'
import type {DuplicationState, ReplicaServer} from '../../pegasus/replica-server.js'
import {nounOf} from '../../plural.js'
import type {PrimaryAt} from '../context.js'
import type {Generation} from '../preflight/check.js'
import {byServer, DECREES_TIMEOUT_MS, ownPrimaries, readPrimaries} from './primaries.js'

/** How far one partition's primary has shipped. Decrees as in protocol.md §4.1. */
export interface PartitionShipping extends PrimaryAt {
  /** C as it was before the gap was read. −1 in a light reading. */
  committedDecree: number
  /** A lower bound of K: at least so much is stored as confirmed on the meta. */
  confirmedDecree: number
  duplicating: boolean
  failMode: string
  /** Everything accepted before the reading has a decree at or below it, as far as it is logged (protocol.md §4.3). −1 in a light reading. */
  fenceDecree: number
  /** Mutations committed and not yet acknowledged by the target (C − L). */
  lagMutations: number
  /** A lower bound of L: at least so much the target has acknowledged. −1 in a light reading. */
  shippedDecree: number
}

/** One reading of all partitions. */
export interface ShippingView {
  appId: number
  /** Dupids other than ours that the primaries report. */
  otherDupids: number[]
  partitionCount: number
  partitions: Map<number, PartitionShipping>
  primaries: Map<number, PrimaryAt>
  /** Partitions whose primary does not report our duplication (yet). */
  unreported: number[]
}

export interface ShippingQuery {
  cluster: Cluster
  /**
   * Whether decrees are wanted: then every server is asked for its replicas first (protocol.md §4.3, step 4). `shipped`: only what
   * was shipped; master tells that without its replicas.
   */
  decrees: boolean | 'shipped'
  dupid: number
  generation: Generation
  signal: AbortSignal
  table: string
}

/**
 * Reads the progress of a duplication from every primary of the table.
 * On 2.4/2.5 the committed decree C0 is read before the gap, so that L ≥ C0 − gap holds however much is written in
 * between; master tells L and K themselves (`replica.query-progress`).
 * @throws MigratorError `observe.*` when primaries are missing, moving, or reported twice
 */
export async function readShipping(query: ShippingQuery): Promise<ShippingView> {
  const {configuration, primaries} = await readPrimaries(query.cluster, query.table, query.signal)
  const view: ShippingView = {
    appId: configuration.appId,
    otherDupids: [],
    partitionCount: configuration.partitionCount,
    partitions: new Map(),
    primaries,
    unreported: [],
  }
  const otherDupids = new Set<number>()
  await Promise.all(
    [...byServer(primaries.values())].map(async ([address, expected]) => {
      const reading = await readServer(query, query.cluster.server(address), configuration.appId, expected)
      for (const dupid of reading.otherDupids) otherDupids.add(dupid)
      for (const primary of expected) {
        const shipping = reading.partitions.get(primary.partitionIndex)
        if (shipping) view.partitions.set(primary.partitionIndex, shipping)
        else view.unreported.push(primary.partitionIndex)
      }
    }),
  )
  view.otherDupids = [...otherDupids].sort((a, b) => a - b)
  view.unreported.sort((a, b) => a - b)
  return view
}

export interface ServerReading {
  otherDupids: number[]
  partitions: Map<number, PartitionShipping>
}

/** Reads what one server says of the partitions that it is primary of. @throws MigratorError `observe.*` */
export async function readServer(
  query: Omit<ShippingQuery, 'cluster' | 'table'>,
  server: ReplicaServer,
  appId: number,
  expected: PrimaryAt[],
): Promise<ServerReading> {
  const limits = {signal: query.signal, ...(query.decrees ? {timeoutMs: DECREES_TIMEOUT_MS} : {})}
  const isMaster = query.generation === 'master'
  const wantsReplicas = query.decrees === true || (query.decrees === 'shipped' && !isMaster)
  const committed = wantsReplicas ? ownPrimaries(await server.replicas(limits), appId, expected) : undefined
  const absolute = query.decrees && isMaster ? await readAbsolute(query, server, appId) : undefined
  const {states} = await server.duplicationStates(appId, limits)
  const ours = new Map<number, DuplicationState>()
  for (const state of states) if (state.dupid === query.dupid) ours.set(state.partitionIndex, state)

  const partitions = new Map<number, PartitionShipping>()
  for (const primary of expected) {
    const state = ours.get(primary.partitionIndex)
    if (!state) continue
    const own = committed?.get(primary.partitionIndex)
    const c0 = own?.lastCommittedDecree
    const exact = absolute?.get(primary.partitionIndex)
    // Named one by one: a thousand spread ones in each round take more memory than all else.
    partitions.set(primary.partitionIndex, {
      ballot: primary.ballot,
      committedDecree: c0 ?? -1,
      confirmedDecree: exact?.confirmedDecree ?? (c0 === undefined ? -1 : c0 - state.notConfirmedMutations),
      duplicating: state.duplicating,
      failMode: state.failMode,
      fenceDecree: own ? Math.max(own.lastCommittedDecree, own.lastPreparedDecree, exact?.preparedDecree ?? -1) : -1,
      lagMutations: state.notDuplicatedMutations,
      partitionIndex: primary.partitionIndex,
      server: primary.server,
      shippedDecree: exact?.shippedDecree ?? (c0 === undefined ? -1 : c0 - state.notDuplicatedMutations),
    })
  }

  return {
    otherDupids: states.filter(({dupid}) => dupid !== query.dupid).map(({dupid}) => dupid),
    partitions,
  }
}

/** master's absolute decrees; only blocks of primaries count (measured-master.md §4). */
async function readAbsolute(
  query: Pick<ShippingQuery, 'dupid' | 'signal'>,
  server: ReplicaServer,
  appId: number,
): Promise<Map<number, {confirmedDecree: number; preparedDecree: number; shippedDecree: number}>> {
  const progress = await server.progress(appId, {signal: query.signal, timeoutMs: DECREES_TIMEOUT_MS})
  if (!progress) {
    throw new MigratorError('observe.no_progress', `${server.address} does not know replica.query-progress`, {
      facts: {server: server.address},
    })
  }

  const found: Awaited<ReturnType<typeof readAbsolute>> = new Map()
  for (const {duplications, isPrimary, maxPreparedDecree, partitionIndex} of progress) {
    const ours = isPrimary ? duplications.find(({dupid}) => dupid === query.dupid) : undefined
    if (!ours) continue
    const {confirmedDecree, shippedDecree} = ours
    found.set(partitionIndex, {confirmedDecree, preparedDecree: maxPreparedDecree, shippedDecree})
  }

  return found
}

/** Mutations per partition that rest unshipped on an idle table (protocol.md §4.2). */
export function restingGap(generation: Generation): number {
  return generation === 'master' ? 0 : 1
}

/** Pending mutations of the whole table; what rests per partition on 2.4/2.5 is not counted. */
export function pendingMutations(view: ShippingView, generation: Generation): number {
  const rest = restingGap(generation)
  let sum = 0
  for (const {lagMutations} of view.partitions.values()) sum += Math.max(0, lagMutations - rest)
  return sum
}

/** Why this reading does not show a duplication that ships everywhere, or undefined. Other duplications of the table change nothing of it. */
export function notShipping(view: ShippingView): string | undefined {
  if (view.unreported.length > 0)
    return `${listed('partition', view.unreported)} ${nounOf(view.unreported.length, 'does', 'do')} not report the duplication`
  const still = [...view.partitions.values()].filter(({duplicating}) => !duplicating)
  if (still.length > 0) {
    const partitions = still.map(({partitionIndex}) => partitionIndex)
    const servers = [...new Set(still.map(({server}) => server))]
    return `${listed('partition', partitions)} ${nounOf(still.length, 'does', 'do')} not ship yet (${listed('server', servers)})`
  }

  const odd = [...view.partitions.values()].find(({failMode}) => failMode !== 'FAIL_SLOW')
  return odd && `partition ${odd.partitionIndex} is in ${odd.failMode}, which may skip mutations`
}

/** The partition that is furthest behind, for a person. */
export function worstPartition(view: ShippingView): string | undefined {
  let worst: PartitionShipping | undefined
  for (const shipping of view.partitions.values())
    if (!worst || shipping.lagMutations > worst.lagMutations) worst = shipping
  return worst && `partition ${worst.partitionIndex} on ${worst.server}: ${worst.lagMutations} behind`
}

/** `partition 3`, `servers a:1, b:1`. */
export function listed(noun: string, items: ReadonlyArray<number | string>): string {
  return `${nounOf(items.length, noun)} ${shortList(items)}`
}

/** `1, 2, 3 and 5 more`. */
export function shortList(items: ReadonlyArray<number | string>, most = 5): string {
  const shown = items.slice(0, most).join(', ')
  return items.length > most ? `${shown} and ${items.length - most} more` : shown
}
