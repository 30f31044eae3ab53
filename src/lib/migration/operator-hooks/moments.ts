import type {ErrorFacts} from '../../errors.js'
import type {Outcome, WriteDenyWindow} from '../result.js'

/** When an operator's executable of that name is run (docs/hooks.md), in the order of a migration. */
export const hookMoments = [
  'validated',
  'before-deny',
  'drained',
  'before-switch',
  'after-switch',
  'rolled-back',
  'finished',
  'failed',
] as const
export type HookMoment = (typeof hookMoments)[number]

/** Longest time of one hook unless told otherwise. */
export const DEFAULT_LIMIT_MS = 30_000

/** Those within the write-deny window. */
export const windowMoments: ReadonlySet<HookMoment> = new Set(['before-switch', 'drained'])

/** What a hook is told, as JSON on its standard input. `schema` changes when a member changes its meaning. */
export interface HookFacts {
  /** Duplication that carries the table; absent before there is one. */
  dupid?: number
  error?: {code: string; facts: ErrorFacts; message: string}
  moment: HookMoment
  /** How the run ended; only of `finished` and `failed`. */
  outcome?: Outcome
  /** Mutations that were not on the target yet when the lag was last read. */
  pendingMutations?: number
  schema: 1
  source: {cluster: string; metas: string[]}
  table: string
  target: {cluster: string; metas: string[]}
  writeDeny: WriteDenyWindow
}

/** How a hook ended. */
export interface HookEnd {
  /** What it wrote, line by line; as it came, so that whoever shows it must escape it. */
  lines: string[]
  ok: boolean
  /** `exit code 3`, `killed after 30 s`. */
  text: string
  tookMs: number
}

/** Runs operators' executables. */
export interface OperatorHooks {
  has(moment: HookMoment): boolean
  /** Never throws: what goes wrong is a hook that failed. @param signal ends it early */
  run(facts: HookFacts, options: {limitMs: number; signal: AbortSignal}): Promise<HookEnd>
}
