import {sleep} from '../clock.js'
import {formatSeconds} from '../durations.js'
import {messageOf, MigratorError} from '../errors.js'
import {type DuplicationEntry, DuplicationFailMode} from '../rpc/structs/duplication.js'
import {factsOf, type MigrationContext, type PrimaryAt} from './context.js'
import type {Progress} from './events.js'
import {byServer, readPrimaries} from './proof/primaries.js'
import {listed, type ShippingView} from './proof/shipping.js'

/*
 * What may be missing on the target although every decree says that it is there. A pipeline in FAIL_SKIP leaves out a log file that it cannot
 * read (load_from_private_log.cpp), and counts on behind it: what was in it is lost, and no decree tells (mutation_batch.cpp). Only
 * rows do.
 */

/** A server that was cut off for half a minute: TCP sends again after 1, 2, 4, … 32 s what it could not deliver. */
const LATE_LIMIT_MS = 60_000

/** From now on, also for later runs, all rows must be compared before the table is switched. */
export async function doubtCopy({emit, journal, state}: MigrationContext, reason: string): Promise<void> {
  if (state.fullVerifyBecause !== undefined) return
  state.fullVerifyBecause = reason
  emit({code: 'shipping.doubtful', message: `${reason}; all rows will be compared`, type: 'warning'})
  try {
    await journal?.write({kind: 'doubt', reason})
  } catch (error) {
    // This run knows it; a later one may not.
    emit({code: 'journal.write_failed', message: messageOf(error), type: 'warning'})
  }
}

/** Who ships from here on is not taken for one that moved. */
export function noteShippers(state: MigrationContext['state'], primaries: ReadonlyMap<number, PrimaryAt>): void {
  state.shippers = new Map([...primaries.values()].map(({partitionIndex, server}) => [partitionIndex, server]))
}

/** Rows of these partitions must be compared in full before the next cutover. */
export function doubtPartitions(state: MigrationContext['state'], partitions: readonly number[]): void {
  state.compareAgain = [...new Set([...(state.compareAgain ?? []), ...partitions])].sort((a, b) => a - b)
}

/**
 * A new primary ships again from what its meta knows to be confirmed, and servers overwrite without a look at timetags (measured.md, E1): what
 * the old one had sent and could not deliver in time arrives behind newer values. Only rows can tell. Within the window nothing is
 * compared: there the new primary is drained (protocol.md §4.3).
 */
export function doubtMoved({clock, emit, state}: MigrationContext, primaries: ReadonlyMap<number, PrimaryAt>): void {
  const {shippers} = state
  if (state.denySet) return
  noteShippers(state, primaries)
  const moved = [...primaries.values()]
    .filter(({partitionIndex, server}) => shippers?.has(partitionIndex) && shippers.get(partitionIndex) !== server)
    .map(({partitionIndex}) => partitionIndex)
    .sort((a, b) => a - b)
  if (moved.length === 0) return
  doubtPartitions(state, moved)
  state.movedAtMs = clock.nowMs()
  const message = `new primary of ${listed('partition', moved)} on the source: what the old one had under way may arrive late; all rows there will be compared`
  emit({code: 'shipping.moved', message, type: 'warning'})
}

/** For a later run: whoever moves from here on brings rows into doubt that were compared. */
export async function rememberShippers({journal, state}: MigrationContext): Promise<void> {
  if (state.shippers) await journal?.write({kind: 'compared', shippers: Object.fromEntries(state.shippers)})
}

/** What an earlier run wrote down. */
export function recallShippers({hints, state}: MigrationContext): void {
  if (state.adoptedForeign || !hints.shippers) return
  state.shippers = new Map(Object.entries(hints.shippers).map(([partition, server]) => [Number(partition), server]))
}

/** Before rows in doubt are compared: what is late must have arrived, or it comes behind the comparison. */
export async function waitForLateOnes(
  {clock, signal, state}: MigrationContext,
  report: (progress: Progress) => void,
): Promise<void> {
  if (state.movedAtMs === undefined) return
  const restMs = state.movedAtMs + LATE_LIMIT_MS - clock.nowMs()
  if (restMs <= 0) return
  report({
    etaMs: restMs,
    text: `waiting ${formatSeconds(restMs)} until what the old primary had under way has arrived`,
  })
  await sleep(clock, restMs, signal)
}

/** Whether a duplication may leave mutations out. */
export function maySkip({failMode}: Pick<DuplicationEntry, 'failMode'>): boolean {
  return failMode === DuplicationFailMode.FAIL_SKIP
}

/** What is said of a fail mode that is not FAIL_SLOW. */
export function describeSkipping(dupid: number): string {
  return `the fail mode of duplication ${dupid} was FAIL_SKIP: servers leave out log files that they cannot read`
}

/** @throws MigratorError `duplicate.fail_mode` where somebody set another fail mode than FAIL_SLOW: at once, because waiting mends nothing */
export async function refuseFailMode(context: MigrationContext, entry: DuplicationEntry): Promise<void> {
  const {dupid, failMode = DuplicationFailMode.FAIL_SLOW} = entry
  if (failMode === DuplicationFailMode.FAIL_SLOW) return
  const {table} = context.request
  if (maySkip(entry)) await doubtCopy(context, describeSkipping(dupid))
  const name = DuplicationFailMode[failMode] ?? String(failMode)
  throw new MigratorError(
    'duplicate.fail_mode',
    `somebody set the fail mode of duplication ${dupid} of ${table} to ${name}: ${maySkip(entry) ? 'log files that a server cannot read are left out, and what was in them is missing on the target' : 'servers abort when a log cannot be read'}`,
    {
      facts: {dupid, failMode: name},
      next: `In the Pegasus shell on the source: set_dup_fail_mode ${table} ${dupid} slow. Then run the same command again: it goes on from here${maySkip(entry) ? ' and compares all rows' : ''}.`,
    },
  )
}

/** Servers hear of a fail mode with their next duplication sync: one may skip while the meta says FAIL_SLOW again. */
export async function doubtSkipping(context: MigrationContext, view: ShippingView): Promise<void> {
  const skips = [...view.partitions.values()].some(
    ({failMode}) => failMode === DuplicationFailMode[DuplicationFailMode.FAIL_SKIP],
  )
  if (skips) await doubtCopy(context, describeSkipping(context.state.dupid))
}

/** What only the source's metas and servers tell: primaries that moved, and mutations that are counted as lost. */
export async function doubtServers(context: MigrationContext): Promise<void> {
  const {request, signal, source} = context
  const {configuration, primaries} = await readPrimaries(source, request.table, signal)
  doubtMoved(context, primaries)
  await doubtLosses(context, configuration.appId, primaries)
}

/**
 * Servers count mutations that a pipeline should have shipped and could not find in the log (protocol.md §4.7): 2.4 and 2.5 show the figure
 * for one snapshot of 10 s, master until there is another.
 */
async function doubtLosses(
  context: MigrationContext,
  appId: number,
  primaries: ReadonlyMap<number, PrimaryAt>,
): Promise<void> {
  const {signal, source, state} = context
  const isMaster = factsOf(context).source.generation === 'master'
  const lost = new Map<number, number>()
  await Promise.all(
    [...byServer(primaries.values()).keys()].map(async (address) => {
      const server = source.server(address)
      const figures = isMaster
        ? ((await server.metrics(appId, ['dup_recent_lost_mutations'], {signal})) ?? []).map(
            ({attributes, values}) =>
              [Number(attributes.get('partition_id')), values.get('dup_recent_lost_mutations') ?? 0] as const,
          )
        : [...(await server.counters(`dup_recent_mutation_loss_count@${appId}.`, {signal}))].map(
            ([name, value]) => [Number(name.slice(name.lastIndexOf('.') + 1)), value] as const,
          )
      for (const [partition, figure] of figures)
        if (primaries.get(partition)?.server === address && figure > 0) lost.set(partition, figure)
    }),
  )
  // What was counted before the rows were compared was judged by that.
  const fresh = [...lost].filter(([partition, figure]) => state.losses?.get(partition) !== figure)
  state.losses = lost
  if (fresh.length === 0) return
  const partitions = fresh.map(([partition]) => partition).sort((a, b) => a - b)
  await doubtCopy(
    context,
    `the servers count mutations of ${listed('partition', partitions)} that they did not find in their logs and did not ship`,
  )
}
