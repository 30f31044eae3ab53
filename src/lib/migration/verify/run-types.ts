import type {Clock} from '../../clock.js'
import type {Files} from '../../files.js'
import type {Transport} from '../../rpc/transport.js'
import type {VerifyMode} from '../request.js'
import type {Difference, RowCounts, UnresolvedRow, VerifyProgress} from './types.js'

/** What `table:migrate-verify` was asked for. */
export interface VerifyRequest {
  /** After this long no further rows are compared. */
  limitMs?: number
  /** On each side. */
  maxBytesPerSecond?: number
  /** On each side. */
  maxRowsPerSecond?: number
  mode: Exclude<VerifyMode, 'none'>
  /** Partitions at once. */
  parallel: number
  /** Whether partitions that an earlier run has found the same are left out (mode `full` only). */
  resume: boolean
  /** Per side, in mode `sample`. */
  sampleRows: number
  /** Whether the result may hold values; default: only their hashes. */
  showValues: boolean
  sourceMetas: string[]
  table: string
  targetCluster: string
  targetMetas: string[]
}

/** What it needs of the world; all of it injected. */
export interface VerifyWorld {
  clock: Clock
  /** Default: the machine's disk. */
  files?: Files
  random: () => number
  /** Where the state of runs that did not end is kept; made with mode 0700 when absent. */
  stateDirectory: string
  transport: Transport
}

/**
 * What ships between the two sides, and so what can be proved:
 * - `shipping`: in DS_LOG
 * - `paused`: it is there and ships nothing
 * - `none`: there is none, not yet or not any more
 */
export type DuplicationState = 'none' | 'paused' | 'shipping'

export interface VerifySide {
  cluster: string
  metas: string[]
  tableId: number
}

/** Whether the two sides are the same; `stopped` by a signal, `failed` by `error`. */
export type VerifyOutcome = 'different' | 'failed' | 'same' | 'stopped' | 'unproved'

/** What `--json` prints; schemas/table-migrate-verify.schema.json. Times: wall clock, ms since 1970. */
export interface VerifyResult {
  differences: Difference[]
  duplication: {dupid?: number; state: DuplicationState}
  error?: {code: string; facts: Record<string, boolean | number | string | undefined>; message: string}
  mode: VerifyRequest['mode']
  /** What to do, when there is something to do. */
  next?: string
  outcome: VerifyOutcome
  partitions: {
    compared: number
    count: number
    /** Found the same by an earlier run that was cut short, the first of them at `sinceMs`. */
    earlier: number
    sinceMs?: number
  }
  /** Sentences: what this proves, and what it cannot. */
  proves: string[]
  /** Of this run and, in `partitions.earlier`, of earlier ones. */
  rows: RowCounts & {onSource: number; onTarget: number}
  rowsPerSecond: number
  schema: 1
  source: VerifySide
  startedAtMs: number
  stoppedBy?: 'differences' | 'signal' | 'time'
  table: string
  target: VerifySide
  tookMs: number
  unresolvedRows: UnresolvedRow[]
}

export interface VerifyProgressEvent extends VerifyProgress {
  atMs: number
  /** Until all rows are compared, in ms; absent while it cannot be told. */
  etaMs?: number
  /** Partitions that an earlier run has done; not in the other figures. */
  partitionsEarlier: number
  rowsPerSecond: number
  type: 'progress'
}

export interface VerifyStartedEvent {
  atMs: number
  duplication: VerifyResult['duplication']
  mode: VerifyRequest['mode']
  partitionCount: number
  partitionsEarlier: number
  source: VerifySide
  target: VerifySide
  type: 'started'
}

export type VerifyEvent = VerifyProgressEvent | VerifyStartedEvent
