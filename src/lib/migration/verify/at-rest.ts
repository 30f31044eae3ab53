import type {Clock} from '../../clock.js'
import {type Comparison, compareRange} from './compare.js'
import {type Judge, judgeRows, judgeWith} from './judge.js'
import {keyText} from './key-text.js'
import type {RecentKey} from './recent-keys.js'
import {Tally} from './tally.js'
import type {DifferenceKind, RowSource} from './types.js'
import {eachInParallel, untilAborted} from './waiting.js'

const KEYS_AT_ONCE = 16
const PARTITIONS_AT_ONCE = 8
/** More rows that differ than these change nothing any more. */
const MOST_DIFFERENCES = 100

export interface RestingOptions {
  clock: Clock
  /** Whether rows are counted: not where a side cannot count, or removes rows at a time of its own. */
  counts: boolean
  expiryToleranceSeconds: number
  partitionCount: number
  recentKeys: readonly RecentKey[]
  /** Whether the table is known to hold rows that expire: then counts that differ are no alarm. */
  rowsExpire: boolean
  source: RowSource
  target: RowSource
}

/** A row that differed although nobody writes to either side. */
export interface RestingDifference extends RecentKey {
  kind: DifferenceKind
}

/** Counts that differ, and no row that would explain it. */
export interface UnexplainedCounts {
  partition: number
  source: number
  target: number
}

/** What came of it so far; also when it was cut short. */
export interface RestingFindings {
  counted: number
  differences: RestingDifference[]
  /** Partitions whose counts differ, as they may: they hold rows that expire, each side by its own clock. */
  expiring: UnexplainedCounts[]
  keysRead: number
  rowsCompared: number
  /** Partitions whose counts differ although no row with an expiry was met. */
  unexplained: UnexplainedCounts[]
}

/**
 * Compares what stands still on both sides: nobody writes to the source, and nothing is left to ship. So one reading tells
 * all; it is the time that is short. The keys known to be written lately are read, and every partition is counted; one
 * whose counts differ is compared row by row, because a count by itself proves nothing: servers leave expired rows out
 * by their own clocks (protocol.md §8.4).
 */
export class RestingComparison {
  readonly found: RestingFindings = {
    counted: 0,
    differences: [],
    expiring: [],
    keysRead: 0,
    rowsCompared: 0,
    unexplained: [],
  }

  private readonly judge: Judge
  /** Partitions of which all rows were compared, and one differed. */
  private readonly met = new Set<number>()

  constructor(private readonly options: RestingOptions) {
    this.judge = judgeWith(options.clock, options.expiryToleranceSeconds)
  }

  /** Works until all is done or the signal aborts. @throws the signal's reason; what the row sources throw */
  async run(signal: AbortSignal): Promise<void> {
    const {counts, partitionCount, recentKeys} = this.options
    const partitions = counts ? Array.from({length: partitionCount}, (_, index) => index) : []
    await Promise.all([
      eachInParallel(recentKeys, KEYS_AT_ONCE, (key) => this.read(key, signal)),
      eachInParallel(partitions, PARTITIONS_AT_ONCE, (partition) => this.count(partition, signal)),
    ])
  }

  /** Reads once more what differed. @returns what still does; throws as `run` */
  async confirm(sides: Pick<RestingOptions, 'source' | 'target'>, signal: AbortSignal): Promise<RestingDifference[]> {
    const differences: RestingDifference[] = []
    await eachInParallel(this.found.differences, KEYS_AT_ONCE, async ({key, partition}) => {
      const kind = await this.judged({key, partition}, signal, sides)
      if (kind !== undefined) differences.push({key, kind, partition})
    })
    return differences
  }

  private async read(key: RecentKey, signal: AbortSignal): Promise<void> {
    const kind = await this.judged(key, signal)
    this.found.keysRead++
    if (kind !== undefined) this.differs({...key, kind})
  }

  private async judged(
    {key, partition}: RecentKey,
    signal: AbortSignal,
    {source, target}: Pick<RestingOptions, 'source' | 'target'> = this.options,
  ): Promise<DifferenceKind | undefined> {
    const reading = Promise.all([source.get(partition, key), target.get(partition, key)])
    const judgement = judgeRows(this.judge, ...(await untilAborted(reading, signal)))
    return judgement === 'equal' || judgement === 'expiring' ? undefined : judgement
  }

  private async count(partition: number, signal: AbortSignal): Promise<void> {
    const {found, options} = this
    // Both at once: what expires in between is counted on one side only.
    const counting = Promise.all([options.source.count(partition), options.target.count(partition)])
    const [source, target] = await untilAborted(counting, signal)
    found.counted++
    if (source === target) return
    const counts = {partition, source, target}
    let expires = options.rowsExpire
    try {
      await this.compare(partition, signal, () => {
        expires = true
      })
    } finally {
      // Cut short, it is judged by what was met until then.
      const isExplained =
        this.met.has(partition) ||
        // Another value is no row more or less.
        found.differences.some((difference) => difference.partition === partition && difference.kind !== 'value')
      if (expires) found.expiring.push(counts)
      else if (!isExplained) found.unexplained.push(counts)
    }
  }

  /** All rows of a partition. */
  private async compare(partition: number, signal: AbortSignal, onExpiry: () => void): Promise<void> {
    const {source, target} = this.options
    const tally = new Tally()
    const comparison: Comparison = {
      apart: new Set(),
      judge: this.judge,
      onError() {},
      onExpiry,
      onProgress() {},
      pool: {
        add: (_, key) => {
          this.met.add(partition)
          // Which kind it is tells whoever reads it once more.
          this.differs({key: Buffer.from(key), kind: 'value', partition})
        },
      },
      signal,
      source,
      stopping: () => this.found.differences.length >= MOST_DIFFERENCES,
      tally,
      target,
    }
    try {
      await compareRange(comparison, partition, {})
    } finally {
      this.found.rowsCompared += tally.rowsCompared
    }
  }

  private differs(difference: RestingDifference): void {
    const {differences} = this.found
    const known = differences.some(
      ({key, partition}) => partition === difference.partition && key.equals(difference.key),
    )
    if (!known && differences.length < MOST_DIFFERENCES) differences.push(difference)
  }
}

/** One row for a person. */
export function describeDifference({key, kind, partition}: RestingDifference): string {
  return `${keyText(key)} of partition ${partition} (${kind})`
}
