import {sleep} from '../../clock.js'
import {type CallLimits, DEFAULT_TIMEOUT_MS} from '../../pegasus/env.js'
import {parseMetrics} from '../../pegasus/server-text.js'
import {DuplicationStatus} from '../../rpc/structs/duplication.js'
import {PartitionStatus} from '../../rpc/structs/replica.js'
import {factsOf, type MigrationContext} from '../context.js'
import {byServer, readPrimaries} from '../proof/primaries.js'
import {shortList} from '../proof/shipping.js'
import {timersOf} from '../timers.js'
import {mayPass} from '../wait.js'

/** Everything moves in steps of the 10 s duplication sync (measured.md §4): what each stage usually takes. */
const usualMs: Partial<Record<DuplicationStatus, number>> = {
  [DuplicationStatus.DS_APP]: 25_000,
  [DuplicationStatus.DS_INIT]: 45_000,
  [DuplicationStatus.DS_LOG]: 10_000,
  [DuplicationStatus.DS_PREPARE]: 45_000,
}
/** How many checkpoints of duplications a server makes at a time, and how often it looks for the next (protocol.md §3.12). */
const CHECKPOINTS_AT_ONCE = 10
/** Two duplication syncs: one to begin them, one to see that they are done. */
const CHECKPOINT_ROUND_MS = 20_000
const PREPARE_MS = 60_000
/** From a first write to a copy: the next look for a checkpoint, and two duplication syncs and more. */
const AFTER_FIRST_WRITE_MS = 120_000
/** Between two looks at what was copied: perf counters are renewed every 10 s. */
const SAMPLES_APART_MS = 11_000

/**
 * Whether a duplication whose figures stand still is only slow: many partitions make their checkpoints in rounds, and
 * a large partition counts only when it is there as a whole.
 * @param withoutPrimary partitions that the target has no primary of
 * @returns what goes on, in a sentence, or undefined when nothing does
 */
export async function slowStage(
  context: MigrationContext,
  status: DuplicationStatus,
  inStageMs: number,
  withoutPrimary: readonly number[] = [],
): Promise<string | undefined> {
  try {
    if (status === DuplicationStatus.DS_PREPARE) return await makingCheckpoints(context, inStageMs)
    if (status !== DuplicationStatus.DS_APP) return undefined
    return (await neverWritten(context, inStageMs, withoutPrimary)) ?? (await copying(context))
  } catch (error) {
    context.signal.throwIfAborted()
    if (!mayPass(error)) throw error
    return undefined // nobody tells that something moves
  }
}

/** Until every primary ships, as long as nothing is slow. */
export function etaMs(status: DuplicationStatus, inStageMs: number): number {
  const order = [DuplicationStatus.DS_PREPARE, DuplicationStatus.DS_APP, DuplicationStatus.DS_LOG]
  const later = order.slice(order.indexOf(status) + 1).reduce((sum, stage) => sum + (usualMs[stage] ?? 0), 0)
  return Math.max(1000, (usualMs[status] ?? 0) - inStageMs) + later
}

async function makingCheckpoints(context: MigrationContext, inStageMs: number): Promise<string | undefined> {
  const {request, signal, source} = context
  const {primaries} = await readPrimaries(source, request.table, signal)
  const most = Math.max(...[...byServer(primaries.values()).values()].map((group) => group.length))
  const expectedMs = PREPARE_MS + Math.ceil(most / CHECKPOINTS_AT_ONCE) * CHECKPOINT_ROUND_MS
  if (inStageMs > expectedMs) return undefined
  return `DS_PREPARE: a server makes ${CHECKPOINTS_AT_ONCE} checkpoints at a time, one of them has ${most} to make`
}

/**
 * Where a partition was never written to there is nothing that a checkpoint could be made of, until its first empty write: one to two
 * group checks after it was made, which are 100 s apart in the configuration that comes with the servers (measured-master.md §3).
 */
async function neverWritten(
  context: MigrationContext,
  inStageMs: number,
  withoutPrimary: readonly number[],
): Promise<string | undefined> {
  const {request, signal, source, state} = context
  const {groupCheckMs} = timersOf(state)
  if (withoutPrimary.length === 0 || inStageMs > 2 * groupCheckMs + AFTER_FIRST_WRITE_MS) return undefined
  const {configuration, primaries} = await readPrimaries(source, request.table, signal)
  const waiting = [...primaries.values()].filter(({partitionIndex}) => withoutPrimary.includes(partitionIndex))
  const empty = await Promise.all(
    [...byServer(waiting)].map(async ([address, group]) => {
      const replicas = await source.server(address).replicas({signal})
      const own = new Set(group.map(({partitionIndex}) => partitionIndex))
      return replicas.filter(
        ({lastCommittedDecree, pid, status}) =>
          pid.appId === configuration.appId &&
          own.has(pid.partitionIndex) &&
          status === PartitionStatus.PS_PRIMARY &&
          lastCommittedDecree === 0,
      )
    }),
  )
  const partitions = empty.flat().map(({pid}) => pid.partitionIndex)
  if (partitions.length === 0) return undefined
  return `DS_APP: partitions ${shortList(partitions)} were never written to: they can be copied after their first empty write (group check each ${groupCheckMs / 1000} s)`
}

/** The target pulls the checkpoints; its servers count what they take, of all tables together. */
async function copying(context: MigrationContext): Promise<string | undefined> {
  const before = await copiedBytes(context)
  await sleep(context.clock, SAMPLES_APART_MS, context.signal)
  const after = await copiedBytes(context)
  const isMaster = factsOf(context).target.generation === 'master'
  const busy = [...after].filter(([address, bytes]) =>
    // master counts since the server's start, the others since the last snapshot.
    isMaster ? bytes > (before.get(address) ?? bytes) : bytes > 0 || (before.get(address) ?? 0) > 0,
  )
  if (busy.length === 0) return undefined
  return `DS_APP: the target copies the checkpoint: ${busy.map(([address]) => address).join(', ')} take data`
}

async function copiedBytes({signal, state, target}: MigrationContext): Promise<Map<string, number>> {
  const isMaster = state.facts?.target.generation === 'master'
  const limits = {signal, timeoutMs: DEFAULT_TIMEOUT_MS}
  const bytes = new Map<string, number>()
  const nodes = (await target.nodes(limits)).filter(({alive}) => alive)
  await Promise.all(
    nodes.map(async ({address}) => {
      try {
        bytes.set(
          address,
          isMaster ? await metricOf(target, address, limits) : await counterOf(target, address, limits),
        )
      } catch (error) {
        signal.throwIfAborted()
        // Another server may tell; when none does, nothing is known to move.
        if (!mayPass(error)) throw error
      }
    }),
  )
  return bytes
}

async function counterOf(target: MigrationContext['target'], address: string, limits: CallLimits): Promise<number> {
  const counters = await target.server(address).counters('eon.nfs_client*recent_copy_data_size', limits)
  return [...counters.values()].reduce((sum, value) => sum + value, 0)
}

async function metricOf(target: MigrationContext['target'], address: string, limits: CallLimits): Promise<number> {
  const path = '/metrics?types=server&metrics=nfs_client_copy_bytes&with_metric_fields=name,value'
  const {body} = await target.server(address).get(path, limits)
  return parseMetrics(body).reduce((sum, {values}) => sum + (values.get('nfs_client_copy_bytes') ?? 0), 0)
}
