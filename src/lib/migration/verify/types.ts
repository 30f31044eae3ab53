import type {Clock} from '../../clock.js'
import type {RowBatch} from '../../pegasus/row-batch.js'
import type {VerifyMode} from '../request.js'

/** One row as a scan gives it. */
export interface Row {
  /** Full key: u16 length of the hash key, hash key, sort key (protocol.md §8.1). */
  key: Buffer
  value: Buffer
  /** Absolute, seconds since 2016-01-01 UTC; 0: never expires. */
  expireTsSeconds: number
}

/** A piece of a partition's key space in byte order of the full keys; a missing end is the partition's end. */
export interface KeyRange {
  /** First key, inclusive. */
  from?: Buffer
  /** End, exclusive. */
  to?: Buffer
  /** How many rows the reader will take at most: a hint for the size of the batches. */
  rowsWanted?: number
}

/** The rows of one side. Everything that fails throws a MigratorError; retries are the implementation's business. */
export interface RowSource {
  /** Rows that are live there, keys strictly ascending. Leaving the loop early closes the scanner. */
  scan(partition: number, range?: KeyRange): AsyncIterable<RowBatch>
  /** The row as it is now, undefined when there is none. */
  get(partition: number, key: Buffer): Promise<Row | undefined>
  /** Live rows of the partition. */
  count(partition: number): Promise<number>
}

/**
 * How far a partition of the source is shipped: `committedDecree` is read first, and `shippedDecree` is a decree
 * that the target has acknowledged for sure (protocol.md §4.3: committed − not_duplicated).
 */
export interface PartitionProgress {
  committedDecree: number
  shippedDecree: number
}

/**
 * Reads it for every partition, by index, after the call began; undefined where nobody could tell right now. Errors that
 * may pass (`mayPass`) are borne for 90 s.
 */
export type ReadProgress = (signal: AbortSignal) => Promise<readonly (PartitionProgress | undefined)[]>

export type DifferenceKind = 'expiry' | 'missing-on-source' | 'missing-on-target' | 'value'

/** One side of a difference: the value itself only where it was asked for. */
export interface RowDigest {
  bytes: number
  expireTsSeconds: number
  /** First 16 hex digits of the SHA-256 of the value. */
  hash: string
  /** With `showValues`: the first 256 bytes, printable as keys are. */
  value?: string
}

export interface Difference {
  /** Hash key and sort key, printable ASCII, everything else as \xNN. */
  key: string
  kind: DifferenceKind
  partition: number
  source?: RowDigest
  target?: RowDigest
}

/** A row that could not be judged: it kept changing at the source, or the target was not proved to have caught up. */
export interface UnresolvedRow {
  key: string
  partition: number
  reason: 'hot' | 'unproved'
}

/** How many rows have come to which end; of one partition, or of all. */
export interface RowCounts {
  /** Rows whose value or expiry differs for good. */
  different: number
  /** Rows seen equal on both sides, at once or when they were read again. */
  equal: number
  /** Rows that one side lacks and that expire about now. */
  expiring: number
  /** Those of `unresolved` that changed at the source all the time. */
  hot: number
  missingOnSource: number
  missingOnTarget: number
  /** Rows that were looked at. */
  rowsCompared: number
  /** Rows left open. */
  unresolved: number
}

/** One partition when all its rows were gone through and each has come to an end. */
export interface SettledPartition extends RowCounts {
  partition: number
  rowsOnSource: number
  rowsOnTarget: number
}

/** `rowsCompared` = equal + missingOnTarget + missingOnSource + different + expiring + unresolved. */
export interface VerifyReport extends RowCounts {
  mode: VerifyMode
  /** Partitions that were gone through to the end of what the mode asks for. */
  partitions: number
  /** Per partition; in mode `count` counted, in mode `full` seen by the scans, else empty. */
  countsSource: number[]
  countsTarget: number[]
  /** The first 100. */
  differences: Difference[]
  /** The first 100. */
  unresolvedRows: UnresolvedRow[]
  /** Whether nothing is left open but hot rows, and nothing was cut short. */
  confirmed: boolean
  /** Why the comparison ended before everything was compared. */
  stopped?: 'differences' | 'time'
}

export interface VerifyProgress {
  mode: VerifyMode
  partitionCount: number
  partitionsDone: number
  rowsCompared: number
  /** Rows of the partitions that are done. */
  rowsDone: number
  /** Differences that are being read again. */
  suspects: number
  differences: number
}

export interface VerifyOptions {
  clock: Clock
  emit(progress: VerifyProgress): void
  /** Seconds by which expiries may differ; 0 unless the table has a `default_ttl`, which each side applies by its own clock. */
  expiryToleranceSeconds?: number
  /** After this long no further rows are compared; what is open is settled and the report says `stopped: 'time'`. */
  limitMs?: number
  mode: VerifyMode
  /** Hears of rows that expire. */
  onExpiry?(): void
  /** Called once for each partition of which nothing is open any more. */
  onSettled?(partition: SettledPartition): void
  /** Hears of every row that differed when it was first read: it was written a moment ago, or is wrong. */
  onSuspect?(partition: number, key: Buffer): void
  /** Partitions at once. */
  parallel: number
  partitionCount: number
  /** Those to compare; default: all. */
  partitions?: Iterable<number>
  progress: ReadProgress
  random: () => number
  /** Keys known to have been overwritten lately: compared besides the sample. */
  recentKeys?: Iterable<{key: Buffer; partition: number}>
  /** Longest time that the newest mutation may need to reach the target: about two group checks on 2.4/2.5. */
  rereadLimitMs: number
  /** Rows per side in mode `sample`. */
  sampleRows: number
  /** Whether values may be told; default: only their hashes. */
  showValues?: boolean
  signal: AbortSignal
  source: RowSource
  /** So many confirmed differences end the comparison. Default 1000. */
  stopAfterDifferences?: number
  target: RowSource
}
