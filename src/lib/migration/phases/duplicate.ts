import {isMigratorError, MigratorError} from '../../errors.js'
import {type DuplicationEntry, DuplicationStatus} from '../../rpc/structs/duplication.js'
import {factsOf, type MigrationContext, type Observation, type Phase, type PrimaryAt} from '../context.js'
import {doubtMoved, noteShippers, recallShippers} from '../doubt.js'
import type {Progress} from '../events.js'
import {readPrimaries} from '../proof/primaries.js'
import {listed, notShipping, readShipping} from '../proof/shipping.js'
import {BATCH_BYTES, batchingServers, ensureNoBatching, ensureSteady, hostingServers} from '../settings.js'
import {patiently} from '../wait.js'
import {waitForShipping} from './duplicate-progress.js'

/** Creates the duplication, or adopts the one that is there, and waits until every primary ships its log. */
export const duplicate: Phase = {
  id: 'duplicate',
  observe: (context) => patiently(context, () => observe(context)),
  steps: [
    {act: prepareServers, title: 'make the source ship in order'},
    {act: addOrAdopt, title: 'create the duplication', wait: waitUntilShipping},
  ],
  summarize: ({request, state}) => `ships to ${request.targetCluster}, duplication ${state.dupid}`,
}

async function observe(context: MigrationContext): Promise<Observation> {
  const {request, source, state} = context
  const entries = await source.duplications(request.table, {signal: context.signal})
  const entry = entries.find(({remote}) => remote === request.targetCluster)
  if (!entry) return {done: false}
  adopt(context, entry)
  if (entry.status !== DuplicationStatus.DS_LOG) return {done: false}
  const view = await readShipping({
    cluster: source,
    decrees: false,
    dupid: entry.dupid,
    generation: factsOf(context).source.generation,
    signal: context.signal,
    table: request.table,
  })
  distrustMoved(context, view.primaries)
  doubtMoved(context, view.primaries)
  if (notShipping(view) !== undefined || !(await shipsInOrder(context))) return {done: false}
  return {done: true, summary: `duplication ${state.dupid} ships already`}
}

/**
 * Primaries that moved before the checkpoint was copied may have left a hole in the copy (protocol.md §3.12). When it was in
 * DS_LOG before anybody saw that they moved, only a comparison of all rows can tell.
 */
export function distrustMoved(
  {emit, state}: Pick<MigrationContext, 'emit' | 'state'>,
  primaries: ReadonlyMap<number, PrimaryAt>,
): void {
  const {ballotsAtAdd} = state
  if (!ballotsAtAdd || state.fullVerifyBecause !== undefined) return
  const moved = [...primaries.values()]
    .filter(({ballot, partitionIndex}) => ballotsAtAdd[partitionIndex] !== ballot)
    .map(({partitionIndex}) => partitionIndex)
  if (moved.length === 0) return
  state.fullVerifyBecause = `${listed('partition', moved)} changed primary since the duplication was added, perhaps before the checkpoint was copied`
  const message = `${state.fullVerifyBecause}; all rows will be compared`
  emit({code: 'duplicate.moved_unseen', message, type: 'warning'})
}

async function shipsInOrder(context: MigrationContext): Promise<boolean> {
  return (await batchingServers(context, await hostingServers(context))).length === 0
}

function adopt(context: MigrationContext, {dupid, status}: DuplicationEntry): void {
  const known = factsOf(context).source.duplications.some((entry) => entry.dupid === dupid)
  if (!known && context.hints.dupid !== dupid) {
    // Preflight has not judged it, and nobody was asked.
    const {table, targetCluster} = context.request
    throw new MigratorError(
      'duplicate.exists',
      `somebody has just made a duplication of ${table} to ${targetCluster} (dupid ${dupid}, ${DuplicationStatus[status]})`,
      {
        next: 'Find out whose it is; nothing was denied. To adopt it, run the same command with --verify full --accept foreign-duplication.',
      },
    )
  }

  context.state.dupid = dupid
  context.state.adoptedForeign = context.hints.dupid !== dupid
  context.state.fullVerifyBecause ??= context.hints.inDoubt
  context.state.ballotsAtAdd = context.state.adoptedForeign ? undefined : context.hints.ballotsAtAdd
  recallShippers(context)
}

async function prepareServers(context: MigrationContext): Promise<void> {
  await patiently(context, () => ensureSteady(context))
  const {state} = context
  const doubts = state.dupid !== 0 && !state.adoptedForeign
  await patiently(context, () =>
    ensureNoBatching(context, (servers) => {
      if (doubts)
        state.fullVerifyBecause = `${BATCH_BYTES} was not 0 on ${servers.join(', ')} while the duplication was there`
    }),
  )
}

async function addOrAdopt(context: MigrationContext): Promise<void> {
  const {effects, journal, request, signal, source, state} = context
  if (state.dupid !== 0) {
    const entry = await findEntry(context)
    if (entry.status === DuplicationStatus.DS_PAUSE) {
      await effects.perform({dupid: state.dupid, kind: 'resume-duplication'}, signal)
    }

    return
  }

  const {primaries} = await readPrimaries(source, request.table, signal)
  const ballots = Object.fromEntries(
    [...primaries.values()].map(({ballot, partitionIndex}) => [partitionIndex, ballot]),
  )
  // Written before the add: if its answer is lost, a later run knows that it is ours and where the primaries were.
  await journal?.write({ballots, kind: 'adding'})
  const addedAtMs = context.clock.nowMs()
  const dupid = await addOrSayNot(context)
  if (dupid === undefined) return
  state.dupid = dupid
  state.addedAtMs = addedAtMs
  state.ballotsAtAdd = ballots
  noteShippers(state, primaries)
  context.hints.dupid = dupid
  await journal?.write({dupid, kind: 'duplication'})
}

/** After a refusal there is none of ours: one that somebody else makes later must not be taken for it. */
async function addOrSayNot({effects, journal, request, signal}: MigrationContext): Promise<number | undefined> {
  try {
    const {dupid} = await effects.perform({kind: 'add-duplication', remoteCluster: request.targetCluster}, signal)
    return dupid
  } catch (error) {
    if (isMigratorError(error, 'duplicate.exists', 'meta.error')) await journal?.write({kind: 'not-added'})
    throw error
  }
}

/** Our duplication as the meta has it. @throws MigratorError `duplicate.vanished` */
export async function findEntry(context: MigrationContext) {
  const {request, source, state} = context
  const entries = await source.duplications(request.table, {patienceMs: 60_000, signal: context.signal})
  const entry = entries.find(({dupid}) => dupid === state.dupid)
  if (!entry) {
    throw new MigratorError(
      'duplicate.vanished',
      `duplication ${state.dupid} of ${request.table} to ${request.targetCluster} is gone: somebody removed it`,
      {next: 'Find out who did. Then drop the copy on the target and run the same command again.'},
    )
  }

  state.confirmedMutations = confirmedOf(entry) ?? state.confirmedMutations
  return entry
}

/** Decrees count mutations; −1 stands for none yet. The metas of 2.4 and 2.5 tell a client none. */
function confirmedOf({partitionStates, progress}: DuplicationEntry): number | undefined {
  const decrees = partitionStates
    ? [...partitionStates.values()].map(({confirmedDecree}) => confirmedDecree)
    : progress && [...progress.values()]
  return decrees?.reduce((sum, decree) => sum + Math.max(0, decree), 0)
}

async function waitUntilShipping(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  await waitForShipping(context, report)
}
