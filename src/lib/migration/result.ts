import type {EnvDifference} from './env-diff.js'
import type {PhaseId} from './events.js'
import type {MigrationPlan} from './plan.js'
import type {CheckResult} from './preflight/check.js'
import type {RemainingClients} from './remaining-clients.js'

/** How a run ended. */
export type Outcome =
  /** The target serves; everything is finished. */
  | 'migrated'
  /** Only said what would be done. */
  | 'dry-run'
  /** Refused by preflight or by the operator; nothing was changed. */
  | 'refused'
  /** Stopped before the switch; the source serves; the same command goes on from there. */
  | 'stopped'
  /** The operator was told to move the applications and has not said that they are moved; see `next`. */
  | 'handed-over'
  /** The table's node names the target, but something after the switch is not done; see `next`. */
  | 'switched-unfinished'
  /** Writes may be denied; see `next`. */
  | 'write-denied'

/**
 * A part of the write-deny window: `deny` until the last primary refused, `ship` until everything accepted was on the target and
 * proved to be, `stop` until nothing ships any more, `switch` until metaproxy names the target, `clients` until those whose
 * writes go unanswered are sent away (`timeout` mode only).
 */
export interface WindowPart {
  /** What the servers themselves needed for it in this run, as seen from outside; ms. */
  floorMs: number
  name: 'clients' | 'deny' | 'ship' | 'stop' | 'switch'
  tookMs: number
}

/** When what happened to the writes of the table; wall clock, ms. Absent: it did not happen. */
export interface WriteDenyWindow {
  /** The env was set on the source's meta. */
  setAtMs?: number
  /** The first primary refused. */
  firstRefusedAtMs?: number
  /** The last primary was first seen to refuse. */
  lastRefusedAtMs?: number
  /** Every primary was proved to refuse. */
  provedAtMs?: number
  /** The last partition was first seen to have shipped what was accepted. */
  shippedSeenAtMs?: number
  /** Everything accepted was on the target. */
  drainedAtMs?: number
  /** Nothing was shipped any more, and what there was time for had been compared. */
  pausedAtMs?: number
  /** The node named the target. */
  switchedAtMs?: number
  /** Every `--proxy` named the target. */
  confirmedAtMs?: number
  /** Every primary of the source refused reads too: nobody reads stale values from here on. */
  sourceClosedAtMs?: number
  /** The first and the last primary of the source that were seen to refuse everyone. */
  closedFirstAtMs?: number
  closedSeenAtMs?: number
  /** The deny was taken back and every primary accepted writes again. */
  liftedAtMs?: number
  /** Since when each primary was seen to refuse, wall clock, ms; of the cutover that was tried last. */
  partitions?: {partition: number; refusedAtMs: number; server: string}[]
  /** From the first refused write until writes worked again on whichever side serves, ms. */
  windowMs?: number
  /** What the window was made of, in order. Absent: the table was not switched. */
  parts?: WindowPart[]
  /** As clients see it, without their own time-out: they come back with their next question for the table's configuration. */
  clients?: {maxMs: number; minMs: number}
}

/** What was compared within the write-deny window, both sides at rest (docs/verify.md). */
export interface LastLook {
  /** Partitions whose rows were counted on both sides. */
  counted: number
  /** Those of them that differ because rows expire, each side by its own clock, or that were compared again for it. */
  countsDiffer: number
  /** Rows known to be written lately that were read on both sides; all were the same. */
  keysRead: number
  /** What there was no time for, or why it could not be done. */
  leftOut?: string
  partitions: number
  rowsCompared: number
  tookMs: number
}

export interface PhaseTiming {
  durationMs: number
  phase: PhaseId
  state: 'done' | 'failed' | 'skipped'
  summary: string
}

/** The result of a run; what `--json` prints. `schema` changes when a member changes its meaning. */
export interface MigrationResult {
  checks: CheckResult[]
  /** Ordered sentences: what a dry run would do, or what was done. */
  effects: string[]
  /** Write-deny windows of cutovers that were taken back, oldest first. */
  earlierWindows: WriteDenyWindow[]
  /** Settings (envs) of the table that were not the same on both sides right before the deny; absent: it did not come to that. */
  envDifferences?: EnvDifference[]
  /** What stopped the run. */
  error?: {code: string; facts: Record<string, boolean | number | string | undefined>; message: string}
  /** Absent: writes were never denied, or `--verify none`. */
  lastLook?: LastLook
  /** The one next command or deed, when there is one. */
  next?: string
  outcome: Outcome
  phases: PhaseTiming[]
  /** What preflight says of the move; absent when it could not look. */
  plan?: MigrationPlan
  /** Requests that the source's servers refused after it was closed, as far as counters can tell; absent: it was not closed, or nobody told. */
  remainingClients?: RemainingClients
  schema: 1
  settingsPutBack: string[]
  source: {cluster: string; metas: string[]; tableId?: number}
  table: string
  target: {cluster: string; metas: string[]; tableId?: number}
  verification?: {partitions: number; rowsCompared: number; rowsCountedSource: number; rowsCountedTarget: number}
  warnings: string[]
  /** Write-deny windows of earlier runs of this migration, as the journal has them, oldest first; absent: none. */
  windowsOfEarlierRuns?: WriteDenyWindow[]
  writeDeny: WriteDenyWindow
}
