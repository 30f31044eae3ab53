import type {Effect} from './effects.js'
import type {HookMoment} from './operator-hooks/moments.js'
import type {CheckResult} from './preflight/check.js'

/** The phases in the order in which they run. Verify reads the live table, so it comes before the deny. */
export const phaseIds = ['preflight', 'duplicate', 'catch-up', 'verify', 'deny', 'drain', 'switch', 'finish'] as const
export type PhaseId = (typeof phaseIds)[number]

/** How a phase is named on the screen. */
export const phaseTitles: Record<PhaseId, string> = {
  'catch-up': 'Catch up',
  deny: 'Deny writes',
  drain: 'Drain',
  duplicate: 'Duplicate',
  finish: 'Finish',
  preflight: 'Preflight',
  switch: 'Switch',
  verify: 'Verify',
}

/** Live figures of a wait; every member is optional because each phase has its own. */
export interface Progress {
  /** One line for a person: what is being waited for, how far, what is worst. */
  text: string
  /** Partitions that are there already, of `partitionCount`. */
  partitionsDone?: number
  partitionCount?: number
  /** Servers that are there already, of `serverCount`: where servers are waited for, not partitions. */
  serversDone?: number
  serverCount?: number
  /** Mutations that the source's meta knows to be on the target: confirmed decrees, summed over the partitions. */
  confirmedMutations?: number
  /** Mutations committed on the source and not yet acknowledged by the target. */
  lagMutations?: number
  /** Estimated milliseconds until the wait ends. */
  etaMs?: number
  /** Partition, server and figure of the one that is furthest behind. */
  worst?: string
  /** Milliseconds since the deny was set, while it is. */
  deniedForMs?: number
}

/** What the runner tells while it works. It prints nothing; whoever listens does. `atMs`: wall clock, ms. */
export type MigrationEvent = {atMs: number} & (
  | {check: CheckResult; type: 'check'}
  | {code: string; message: string; type: 'warning'}
  | {durationMs: number; phase: PhaseId; summary: string; type: 'phase-finished'}
  | {effect: Effect; sentence: string; state: 'begin' | 'done' | 'failed' | 'would'; type: 'effect'}
  | {moment: HookMoment; state: 'done' | 'failed' | 'output' | 'started'; text: string; type: 'hook'}
  | {error: string; phase: PhaseId; type: 'phase-failed'}
  | {phase: PhaseId; progress: Progress; step: string; type: 'progress'}
  | {phase: PhaseId; reason: string; type: 'phase-skipped'}
  | {phase: PhaseId; type: 'phase-started'}
  | {reason: string; sentence: string; type: 'undo-started'}
  | {sentence: string; type: 'undo-progress'}
  | {sentence: string; ok: boolean; type: 'undo-finished'}
)

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never
/** An event before the runner stamps it. */
export type UnstampedEvent = DistributiveOmit<MigrationEvent, 'atMs'>
