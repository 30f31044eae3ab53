import {deadline} from '../../clock.js'
import {isMigratorError, messageOf, MigratorError} from '../../errors.js'
import {ExitCode} from '../../exit-codes.js'
import {formatNodeData} from '../../metaproxy/node-data.js'
import type {Cluster} from '../../pegasus/cluster.js'
import {plural} from '../../plural.js'
import {shellQuote} from '../../shell-quote.js'
import {insist, liftAndProve, liftLimitMs} from '../mend.js'
import {proveEverywhere, type Wanted} from '../proof/deny.js'
import {ClusterRows, shortestRereadLimitMs, verdictOf, type VerifyReport, verifyTable} from '../verify/index.js'
import {type RollbackContext, type RunStep, targetOf} from './context.js'

/* A return: the target serves, and the table comes back to the source if that loses nothing (docs/rollback.md). */

const WRITES_DENIED = 'reconfig*write'
const CLOSED = 'reconfig*all'
const PROOF_MARGIN_MS = 15_000
const PARALLEL_PARTITIONS = 4
/** A return ends with the first rows that stand in its way; the rest is only counted for the operator. */
const ENOUGH_DIFFERENCES = 1000
const COMPARE_LIMIT_MS = 24 * 3_600_000

/** A closed source refuses reads too: only what can be read can be compared. Writes stay denied, never by silence. */
export const openSourceReads: RunStep = async (context) => {
  const {effects, signal, source, view} = context
  if (view.deny === WRITES_DENIED) return 'its rows can be read already'
  await effects.perform({before: view.deny ?? null, kind: 'open-source-reads', value: WRITES_DENIED}, signal)
  await prove(context, source, 'reconfig-write', 'the source serves reads and refuses writes', signal)
  return 'its rows can be read; writes stay denied'
}

/** While the target still serves: a difference now is a write that a return would lose. */
export const compareLive: RunStep = async (context) => {
  const report = await compare(context, COMPARE_LIMIT_MS, context.signal)
  const standing = standingInTheWay(context, report)
  if (standing) throw standing
  return `${plural(report.rowsCompared, 'row is', 'rows are')} the same on both sides`
}

/** From here on nobody writes anywhere. Only `reconfig`: what is unanswered would hang for 100 s (product.md, lesson 2). */
export const denyTarget: RunStep = async (context) => {
  const {effects, rollback, signal, state, view} = context
  const neededMs = 2 * liftLimitMs(view.timers.configSyncMs)
  if (neededMs > rollback.maxWriteDenyMs) {
    throw new MigratorError(
      'rollback.bound',
      `taking ${rollback.table} back denies writes for at least ${neededMs / 1000} s; the bound is ${rollback.maxWriteDenyMs / 1000} s`,
      {
        exitCode: ExitCode.refused,
        next: `Say --max-write-deny ${Math.ceil((neededMs + PROOF_MARGIN_MS) / 1000)}s.`,
      },
    )
  }

  // Known before it is sent: if the answer is lost it must still be taken back.
  state.targetDenied = true
  state.deniedAtMs = context.clock.nowMs()
  await effects.perform({before: denyOfTarget(context), kind: 'deny-target', value: WRITES_DENIED}, signal)
  await prove(context, targetOf(context), 'reconfig-write', 'the target refuses writes', signal)
  return `every primary of ${view.target!.cluster} refuses writes`
}

/** Both sides stand still: what differs now is lost by a return, so nothing may. */
export const compareDenied: RunStep = async (context) => {
  const limitMs = Math.max(1, leftMs(context))
  const bound = deadline(context.clock, limitMs, () => boundReached(context), context.signal)
  try {
    const report = await compare(context, limitMs, bound.signal)
    const standing = standingInTheWay(context, report)
    if (standing) throw standing
    return `${plural(report.rowsCompared, 'row is', 'rows are')} the same on both sides, and nobody writes`
  } finally {
    bound.dispose()
  }
}

/** The commit point of a return: from here on there is only forward, to the source. */
export const switchBack: RunStep = async (context) => {
  const {effects, rollback, signal, source, state, store, view} = context
  const node = await store!.read(rollback.table, signal)
  const before = view.journal?.nodeBefore
  const {metaServers} = await source.info({signal})
  const bytes =
    before ??
    formatNodeData(view.source.cluster, metaServers.length > 0 ? metaServers : view.source.metas).toString('utf8')
  if (node.data.clusterName !== view.target!.cluster) {
    throw new MigratorError(
      'rollback.node_moved',
      `${node.path} names ${node.data.clusterName} by now, not ${view.target!.cluster}: somebody else wrote it`,
      {
        next: 'The node was left alone, and what was denied is allowed again. Run the same command again: it looks anew.',
      },
    )
  }

  try {
    await effects.perform(
      {
        before: node.bytes.toString('utf8'),
        beforeVersion: node.version,
        bytes,
        kind: 'switch-node-back',
        path: node.path,
      },
      signal,
    )
  } catch (error) {
    state.returned = await namesSource(context, error)
    if (!state.returned) throw error
  }

  state.returned = true
  return `${node.path} names ${view.source.cluster}`
}

/** After a lost answer: looks until it is known whether the node names the source. */
async function namesSource(context: RollbackContext, error: unknown): Promise<boolean> {
  if (!isMigratorError(error, 'zk.outcome_unknown') && !context.signal.aborted) return false
  const {rollback, store, view} = context
  const {signal} = new AbortController()
  return insist(
    context,
    {limitMs: rollback.limitMs, signal},
    `looking whether the node was switched back (${messageOf(error)})`,
    async () => {
      const node = await store!.read(rollback.table, signal)
      if (node.data.clusterName === view.source.cluster) return true
      // The write may still be on its way: the same bytes at this version make it impossible.
      await context.effects.perform(
        {beforeVersion: node.version, bytes: node.bytes.toString('utf8'), kind: 'take-commit-away', path: node.path},
        signal,
      )
      return false
    },
  )
}

/** Nothing stops it any more: clients are on their way back. */
export const openSource: RunStep = async (context) => {
  const {clock, rollback, startMs, state, view} = context
  state.returned = true
  const {signal} = new AbortController()
  await liftAndProve(context, {configSyncMs: view.timers.configSyncMs, limitMs: rollback.limitMs, signal})
  state.writableAfterMs = clock.nowMs() - startMs
  const deniedMs = clock.nowMs() - (state.deniedAtMs ?? startMs)
  return `every primary of ${view.source.cluster} accepts writes; they were denied for ${(deniedMs / 1000).toFixed(1)} s`
}

/** Never both sides writable: the target refuses everyone, as the source did after the switch. */
export const closeTarget: RunStep = async (context) => {
  const {effects, view} = context
  const {signal} = new AbortController()
  await effects.perform({before: WRITES_DENIED, kind: 'close-target', value: CLOSED}, signal)
  await prove(context, targetOf(context), 'reconfig-all', 'the target refuses everyone', signal)
  return `${view.target!.cluster} refuses every client of it`
}

/** A return that ends before its commit point: the target serves again, the source refuses everyone again. */
export async function takeReturnBack(context: RollbackContext): Promise<void> {
  const {effects, rollback, source, state, view} = context
  if (state.returned) return
  const {signal} = new AbortController()
  const options = {limitMs: rollback.limitMs, signal}
  // Left denied by an earlier return that was killed: it serves, and nobody else opens it.
  if (state.targetDenied || view.target?.table?.deny === WRITES_DENIED) {
    const before = denyOfTarget(context)
    await insist(context, options, 'opening the target again', () =>
      effects.perform({before, kind: 'lift-target'}, signal),
    )
    await insist(context, options, 'proving that the target accepts writes', () =>
      prove(context, targetOf(context), 'writable', 'the target accepts writes', signal),
    )
    state.targetDenied = false
  }

  const now = (await source.table(rollback.table, {patienceMs: 60_000, signal}))?.envs.get(
    'replica.deny_client_request',
  )
  if (now === WRITES_DENIED) {
    await insist(context, options, 'closing the source again', () =>
      effects.perform({before: WRITES_DENIED, kind: 'close-source', value: CLOSED}, signal),
    )
  }
}

/** What the target carried before this return; a denied target that serves was left so by an earlier one. */
function denyOfTarget({view}: RollbackContext): string | null {
  const deny = view.target!.table!.deny
  return deny === undefined || deny === WRITES_DENIED ? null : deny
}

async function prove(
  context: RollbackContext,
  cluster: Cluster,
  wanted: Wanted,
  text: string,
  signal: AbortSignal,
): Promise<void> {
  const {client, clock, report, rollback, view} = context
  await proveEverywhere({
    clock,
    cluster,
    limitMs: liftLimitMs(view.timers.configSyncMs) + PROOF_MARGIN_MS,
    onProgress: ({partitionCount, proved}) => report({partitionCount, partitionsDone: proved, text}),
    pool: client.pool,
    signal,
    table: rollback.table,
    wanted,
  })
}

/** All rows of both sides. Nothing ships any more: whatever differs, differs for good. */
async function compare(context: RollbackContext, limitMs: number, signal: AbortSignal): Promise<VerifyReport> {
  const {client, clock, random, report, rollback, source, view} = context
  const target = targetOf(context)
  const {table} = rollback
  const [here, there] = await Promise.all([
    source.configuration(table, {signal}),
    target.configuration(table, {signal}),
  ])
  const common = {client, signal, table}
  return verifyTable({
    clock,
    emit: (seen) =>
      report({
        partitionCount: seen.partitionCount,
        partitionsDone: seen.partitionsDone,
        text: `${plural(seen.rowsCompared, 'row')} compared, ${plural(seen.differences + seen.suspects, 'differs', 'differ')}`,
      }),
    limitMs,
    mode: 'full',
    parallel: PARALLEL_PARTITIONS,
    partitionCount: view.partitionCount,
    progress: async () => Array.from({length: view.partitionCount}, () => ({committedDecree: 0, shippedDecree: 0})),
    random,
    rereadLimitMs: shortestRereadLimitMs,
    sampleRows: 0,
    signal,
    source: new ClusterRows({...common, cluster: source, configuration: here, name: 'source'}),
    stopAfterDifferences: ENOUGH_DIFFERENCES,
    target: new ClusterRows({...common, cluster: target, configuration: there, name: 'target'}),
  })
}

/** Why a return would lose something, or undefined. */
function standingInTheWay({rollback, view}: RollbackContext, report: VerifyReport): MigratorError | undefined {
  const {different, hot, missingOnSource, missingOnTarget, stopped, unresolved} = report
  const rows = different + missingOnSource + missingOnTarget + hot
  const facts = {different, hot, missingOnSource, missingOnTarget, unresolved}
  if (rows > 0) {
    const atLeast = stopped === undefined && unresolved === hot ? '' : 'at least '
    return new MigratorError(
      'rollback.would_lose',
      `${atLeast}${plural(rows, 'row')} of ${rollback.table} would be lost by a return: ${missingOnSource} only on ${view.target!.cluster}, ${different} different, ${missingOnTarget} gone there, ${hot} changing while being read`,
      {
        exitCode: ExitCode.refused,
        facts,
        next: `${view.target!.cluster} goes on serving. What is left of the migration, and the command that finishes it: pegasus table:migrate-status -t ${shellQuote(rollback.table)}. To go back all the same and lose what was written there: --allow-data-loss.`,
      },
    )
  }

  if (verdictOf(report) === 'same') return undefined
  return new MigratorError(
    'rollback.unproved',
    `it could not be proved within the time that nothing of ${rollback.table} would be lost: ${plural(unresolved, 'row')} open${stopped === 'time' ? ', not all were compared' : ''}`,
    {
      exitCode: ExitCode.refused,
      facts,
      next: `${view.target!.cluster} goes on serving. Give it more time: --max-write-deny.`,
    },
  )
}

/** What is left of the bound after the time that opening a side again takes. */
function leftMs({clock, rollback, state, view}: RollbackContext): number {
  const passedMs = clock.nowMs() - (state.deniedAtMs ?? clock.nowMs())
  return rollback.maxWriteDenyMs - passedMs - liftLimitMs(view.timers.configSyncMs)
}

function boundReached({rollback}: RollbackContext): MigratorError {
  return new MigratorError(
    'rollback.bound_reached',
    `both sides of ${rollback.table} could not be compared within the bound of ${rollback.maxWriteDenyMs / 1000} s`,
    {
      next: 'The target goes on serving. Run it again with a larger --max-write-deny.',
    },
  )
}
