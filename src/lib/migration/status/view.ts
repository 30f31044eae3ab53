import type {DuplicationFacts, PartitionLag, ShippingFacts, StatusFacts} from './facts.js'

/** The request of `table:migrate`'s default bound, for journals that do not tell theirs. */
const MAX_WRITE_DENY_MS = 120_000
/** What a run may be late with its last record; its deny is lifted by then. */
const BOUND_MARGIN_MS = 5000
/** A run that ended that long ago, with its duplication left behind, was forgotten. */
const FORGOTTEN_AFTER_MS = 24 * 3600_000
/** Between two records of a run that only finishes. */
const RECENT_MS = 60_000
const DEFAULT_THRESHOLD = 10_000
/** Refuses reads and writes: what the source keeps after a migration (product.md, I5). */
/** What a finished migration leaves on the source. */
export const CLOSED = 'reconfig*all'

/** Ends of a run after which nothing is left to do. */
const finished = new Set(['handed-over', 'migrated', 'rolled-back'])

/** What follows from the facts and is asked by more than one rule. */
export interface StatusView {
  /** The source refuses every client at once. */
  closed: boolean
  /** What says that the table was handed over: its node, or without one the journal. */
  committed?: 'journal' | 'node'
  deny?: string
  /** The duplication that matters: to the target, else ours, else the first. */
  entry?: DuplicationFacts
  /** No run works on `entry`, as far as this machine's journal tells. */
  forgotten: boolean
  /** Whether the journal's last run has nothing left to do. */
  journalFinished: boolean
  /** Duplications of the table beside `entry`. */
  otherEntries: DuplicationFacts[]
  /** The deny is one that this machine's journal tells of. */
  ourDeny: boolean
  /** `entry` is one that this machine's journal tells of. */
  ours: boolean
  /** Of all primaries, without what rests per partition on 2.4/2.5; undefined when nobody told. */
  pendingMutations?: number
  /** The journal says that a return was begun and not ended. */
  returning: boolean
  /** What the primaries tell of `entry`. */
  shipping?: ShippingFacts
  thresholdMutations: number
  /** A run, or a guard, acts or may act at this moment. */
  underWay: boolean
  /** A run, as far as can be told, is working on the table. */
  working: boolean
}

export function viewOf(facts: StatusFacts): StatusView {
  const {journal, node, source, target} = facts
  const duplications = (source?.duplications ?? []).filter(({status}) => status !== 'DS_REMOVED')
  const isOurs = ({dupid, remote}: DuplicationFacts) =>
    journal !== undefined &&
    (journal.dupids.includes(dupid) || (journal.hints.adding === true && remote === journal.targetCluster))
  const wanted = target?.cluster ?? journal?.targetCluster
  const entry =
    duplications.find(({remote}) => remote === wanted) ?? duplications.find((e) => isOurs(e)) ?? duplications[0]
  const shipping = source?.shipping?.dupid === entry?.dupid ? source?.shipping : undefined
  const deny = source?.table?.deny
  const closed = deny === CLOSED
  const ours = entry !== undefined && isOurs(entry)
  const journalFinished = journal?.ended !== undefined && finished.has(journal.ended.outcome)
  const committed = committedBy(facts, closed)
  const quietMs = journal ? facts.nowMs - journal.lastAtMs : 0
  return {
    closed,
    ...(committed ? {committed} : {}),
    ...(deny === undefined ? {} : {deny}),
    ...(entry ? {entry} : {}),
    forgotten: ours && (journalFinished || quietMs > FORGOTTEN_AFTER_MS) && !isHeld(facts),
    journalFinished,
    otherEntries: duplications.filter((other) => other !== entry),
    ourDeny:
      deny !== undefined &&
      journal !== undefined &&
      (journal.hints.deny === deny || (closed && (journal.hints.closed === true || node?.side === 'source'))),
    ours,
    ...(shipping ? {pendingMutations: pendingOf(shipping.partitions, source!.isMaster), shipping} : {}),
    returning: journal?.hints.returning === true && !isHeld(facts),
    thresholdMutations: journal?.thresholdMutations ?? DEFAULT_THRESHOLD,
    underWay: isUnderWay(facts),
    working: isWorking(facts),
  }
}

/** A node decides by itself; for a migration without one the journal is the only witness of the operator's word. */
function committedBy({journal, node, target}: StatusFacts, closed: boolean): StatusView['committed'] {
  if (node?.side === 'target') return 'node'
  if (!journal || journal.root !== undefined) return undefined
  if (journal.hints.word === true || (closed && journal.hints.closed === true)) return 'journal'
  if (!['handed-over', 'migrated'].includes(journal.ended?.outcome ?? '')) return undefined
  // With the source open and a target that refuses, or is gone, the table was moved back since.
  const movedBack = !closed && target?.reached === true && (!target.table || target.table.deny !== undefined)
  return movedBack ? undefined : 'journal'
}

function isHeld({guard, lock}: StatusFacts): boolean {
  const acting = guard !== undefined && guard.alive !== false && ['acting', 'alarmed', 'watching'].includes(guard.state)
  return acting || lock?.held === true
}

/** The lock and the guard tell; where neither can be seen, the journal's bound does. */
function isUnderWay(facts: StatusFacts): boolean {
  const {journal, lock, nowMs} = facts
  if (isHeld(facts)) return true
  if (lock || !journal || journal.ended || journal.hints.denyAtMs === undefined) return false
  const boundMs = (journal.maxWriteDenyMs ?? MAX_WRITE_DENY_MS) + BOUND_MARGIN_MS
  return nowMs - journal.hints.denyAtMs <= boundMs
}

/** The lock tells; where it cannot be seen, a journal that was written a moment ago does. */
function isWorking({journal, lock, nowMs}: StatusFacts): boolean {
  if (lock) return lock.held
  return journal !== undefined && !journal.ended && nowMs - journal.lastAtMs < RECENT_MS
}

/** On 2.4/2.5 one mutation per partition rests unshipped (protocol.md §4.2) and is not counted. */
function pendingOf(partitions: readonly PartitionLag[], isMaster: boolean): number {
  let sum = 0
  for (const {lagMutations} of partitions) sum += Math.max(0, lagMutations - (isMaster ? 0 : 1))
  return sum
}
