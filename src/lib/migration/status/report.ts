import {phaseIds, type PhaseId} from '../events.js'
import type {HoldFacts} from '../hold-notes.js'
import {type PredictedWindow, windowOf} from './window.js'
import {classify} from './classify.js'
import {disagreements} from './disagreements.js'
import type {
  DuplicationFacts,
  GuardFacts,
  LockFacts,
  NodeFacts,
  PartitionLag,
  ProxyFacts,
  SettingFacts,
  StatusFacts,
  TargetFacts,
  Unread,
} from './facts.js'
import {type NextStep, nextOf} from './next.js'
import {type Level, type StateId, states, worstLevel} from './states.js'
import {type StatusView, viewOf} from './view.js'

/** When something began, and who says so. */
export interface Since {
  /** Wall clock, ms. */
  atMs: number
  from: 'cluster' | 'journal'
}

/** What is said of the duplication that matters. */
export interface DuplicationStatusReport extends DuplicationFacts {
  /** Source servers that ship in batches. */
  batching: string[]
  /** The worst first; empty when no primary told. */
  lag: PartitionLag[]
  /** Whether this machine's journal tells of it. */
  ours: boolean
  /** Of the whole table, without what rests per partition; absent when no primary told. */
  pendingMutations?: number
  shippingPartitions: number
  /** Partitions whose primary does not report it. */
  unreported: number[]
}

/** What the journal on this machine says. */
export interface JournalReport {
  disagreements: string[]
  ended?: {atMs: number; outcome: string}
  lastAtMs: number
  path: string
  phase?: {atMs: number; id: string; state: string}
  run: string
  startedAtMs: number
  targetCluster: string
}

/** One table. All times are wall clock in ms. */
export interface TableStatus {
  /** What was seen that makes the state so. */
  because: string
  /** Since when clients are denied on the source; absent: they are not, or nobody knows. */
  deniedSince?: Since
  duplication?: DuplicationStatusReport
  guard?: GuardFacts
  /** A run on this machine that waits for a person or for its cutover window, writes allowed; absent: none. */
  hold?: HoldFacts
  journal?: JournalReport
  level: Level
  lock?: LockFacts
  meaning: string
  /** Absent: nobody knows metaproxy's ZooKeeper root. */
  metaproxy?: NodeFacts
  next: NextStep
  otherDuplications: DuplicationFacts[]
  partitionCount?: number
  phase?: {id: PhaseId; since?: Since}
  /** The write-deny window if the table were cut over now. */
  prediction?: PredictedWindow
  proxies: ProxyFacts[]
  settings: SettingFacts[]
  source: {cluster?: string; deny: null | string; metas: string[]; tableId?: number; withoutPrimary: number[]}
  state: StateId
  table: string
  target?: Omit<TargetFacts, 'table'> & {deny: null | string; followerEnvs: Record<string, string>; tableId?: number}
  unread: Unread[]
}

/** What `table:migrate-status --json` prints; schemas/table-migrate-status.schema.json. */
export interface StatusReport {
  level: Level
  readAtMs: number
  schema: 1
  source: {cluster?: string; metas: string[]}
  tables: TableStatus[]
  tookMs: number
  /** What could not be read and concerns every table. */
  unread: Unread[]
}

/** What the command that is asked for must be told to be complete. */
export interface ReportContext {
  sourceMetas: string[]
}

export function reportTable(facts: StatusFacts, {sourceMetas}: ReportContext): TableStatus {
  const view = viewOf(facts)
  const {because, id} = classify(facts, view)
  const {guard, hold, journal, lock, node, proxies, settings, source, table, unread} = facts
  const {level, meaning} = states[id]
  const phase = phaseOf(facts, view, id)
  const deniedSince = deniedSinceOf(facts, view)
  return {
    because,
    ...(deniedSince ? {deniedSince} : {}),
    ...(view.entry ? {duplication: duplicationOf(view, view.entry)} : {}),
    ...(guard ? {guard} : {}),
    ...(hold ? {hold} : {}),
    ...(journal ? {journal: journalOf(facts, view)} : {}),
    level,
    ...(lock ? {lock} : {}),
    meaning,
    ...(node ? {metaproxy: node} : {}),
    next: nextOf(id, facts, view, sourceMetas),
    otherDuplications: view.otherEntries,
    ...(source?.table ? {partitionCount: source.table.partitionCount} : {}),
    ...(phase ? {phase} : {}),
    ...(facts.prediction ? {prediction: windowOf(facts.prediction)} : {}),
    proxies,
    settings,
    source: {
      ...(source ? {cluster: source.cluster} : {}),
      deny: view.deny ?? null,
      metas: sourceMetas,
      ...(source?.table ? {tableId: source.table.appId} : {}),
      withoutPrimary: source?.withoutPrimary ?? [],
    },
    state: id,
    table,
    ...(facts.target ? {target: targetOf(facts.target)} : {}),
    unread,
  }
}

export function reportAll(
  tables: TableStatus[],
  head: Pick<StatusReport, 'readAtMs' | 'source' | 'tookMs' | 'unread'>,
): StatusReport {
  // A source that cannot be asked may have tables that nobody knows of.
  const own: Level[] = head.source.cluster === undefined ? ['unknown'] : []
  return {level: worstLevel([...own, ...tables.map(({level}) => level)]), ...head, schema: 1, tables}
}

function duplicationOf(view: StatusView, entry: DuplicationFacts): DuplicationStatusReport {
  const {shipping} = view
  return {
    ...entry,
    batching: shipping?.batching ?? [],
    lag: shipping?.partitions ?? [],
    ours: view.ours,
    ...(view.pendingMutations === undefined ? {} : {pendingMutations: view.pendingMutations}),
    shippingPartitions: shipping?.partitions.filter(({duplicating}) => duplicating).length ?? 0,
    unreported: shipping?.unreported ?? [],
  }
}

function journalOf(facts: StatusFacts, view: StatusView): JournalReport {
  const {ended, lastAtMs, path, phase, run, startedAtMs, targetCluster} = facts.journal!
  return {
    disagreements: disagreements(facts, view),
    ...(ended ? {ended} : {}),
    lastAtMs,
    path,
    ...(phase ? {phase} : {}),
    run,
    startedAtMs,
    targetCluster,
  }
}

function targetOf({cluster, knownFrom, metas, reached, table, withoutPrimary}: TargetFacts): TableStatus['target'] {
  return {
    cluster,
    deny: table?.deny ?? null,
    followerEnvs: table?.followerEnvs ?? {},
    knownFrom,
    metas,
    reached,
    ...(table ? {tableId: table.appId} : {}),
    withoutPrimary,
  }
}

/** The journal wrote it before the env was sent; without one nothing on the servers tells. */
function deniedSinceOf({journal}: StatusFacts, {deny, ourDeny}: StatusView): Since | undefined {
  const atMs = journal?.hints.denyAtMs
  return deny !== undefined && ourDeny && atMs !== undefined ? {atMs, from: 'journal'} : undefined
}

/** Phases by what is seen on the clusters; where several look alike, the journal's own phase among them counts. */
const seen: Partial<Record<StateId, PhaseId[]>> = {
  'both-open': ['switch', 'finish'],
  'catching-up': ['catch-up', 'verify', 'deny'],
  'caught-up': ['catch-up', 'verify', 'deny'],
  'copy-blocked': ['duplicate'],
  copying: ['duplicate'],
  cutover: ['deny', 'drain', 'switch'],
  'denied-unclear': ['switch'],
  finishing: ['finish', 'switch'],
  'half-switched': ['switch'],
  paused: ['duplicate'],
  preparing: ['duplicate'],
  'switched-unfinished': ['finish'],
  'write-denied': ['deny', 'drain', 'switch'],
}

function phaseOf({journal}: StatusFacts, {entry, ours}: StatusView, id: StateId): TableStatus['phase'] {
  const possible = seen[id]
  if (!possible) return undefined
  const told = phaseIds.find((phase) => phase === journal?.phase?.id)
  const agrees = told !== undefined && possible.includes(told)
  if (agrees) return {id: told, since: {atMs: journal!.phase!.atMs, from: 'journal'}}
  const since =
    entry && ours && possible[0] === 'duplicate' ? {atMs: entry.createdAtMs, from: 'cluster' as const} : undefined
  return {id: possible[0]!, ...(since ? {since} : {})}
}
