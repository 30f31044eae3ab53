import type {StepId} from './events.js'

/** How a rollback ended. */
export type RollbackOutcome =
  /** Only said what would be done. */
  | 'dry-run'
  /** Writes are allowed on the source; the duplication could not be removed safely and is kept. */
  | 'duplication-kept'
  /** It was not done, by a precondition or by the operator; everything is as it was found. */
  | 'refused'
  /** The table is back on the source, after a switch. */
  | 'returned'
  /** Everything is taken back. */
  | 'rolled-back'
  /** Stopped or failed on the way; writes are allowed on exactly one side; the same command goes on. */
  | 'stopped'
  /** Writes may be denied; see `next`. */
  | 'write-denied'

export interface StepTiming {
  durationMs: number
  state: 'done' | 'failed' | 'skipped'
  step: StepId
  summary: string
}

/** The result of a rollback; what `--json` prints. `schema` changes when a member changes its meaning. */
export interface RollbackResult {
  /** Ordered sentences: what a dry run would do, or what was done. */
  effects: string[]
  error?: {code: string; facts: Record<string, boolean | number | string | undefined>; message: string}
  /** What was found, in sentences. */
  found: string[]
  next?: string
  outcome: RollbackOutcome
  schema: 1
  settingsPutBack: string[]
  source: {cluster: string; metas: string[]; tableId?: number}
  steps: StepTiming[]
  table: string
  target?: {cluster: string; metas: string[]; tableId?: number}
  warnings: string[]
  /** Milliseconds from the start until every primary was proved to accept writes; absent: that was not proved. */
  writableAfterMs?: number
}
