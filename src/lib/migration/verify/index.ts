import {setMaxListeners} from 'node:events'
import {type Comparison, compareRange, rowId} from './compare.js'
import {countPartitions} from './count.js'
import {judgeWith} from './judge.js'
import {samplePartition} from './sample.js'
import {SuspectPool} from './suspects.js'
import {Tally} from './tally.js'
import type {VerifyMode} from '../request.js'
import type {VerifyOptions, VerifyReport} from './types.js'
import {eachInParallel} from './waiting.js'

export {ClusterRows, type ClusterRowsOptions} from './cluster-rows.js'
export {shortestRereadLimitMs} from './suspects.js'
export type * from './types.js'
export {type Verdict, verdictOf} from './verdict.js'

const progressIntervalMs = 250
/** Suspects read again at once, for each partition that is compared at once. */
const rereadsPerPartition = 4

/**
 * Compares a table with its duplicated copy while the table is live and the copy behind (docs/verify.md). Only reads.
 * Differences are not errors: they are in the report.
 * @throws the signal's reason; what the row sources or `progress` throw; MigratorError verify.unordered
 */
export async function verifyTable(options: VerifyOptions): Promise<VerifyReport> {
  const comparison = new TableComparison(options)
  await comparison.run()
  return comparison.report()
}

/** The same for whoever wants to know what was found also when it was ended. For one use. */
export class TableComparison {
  private readonly tally: Tally

  constructor(private readonly options: VerifyOptions) {
    this.tally = new Tally(options)
  }

  report(): VerifyReport {
    return this.tally.report(this.options.mode)
  }

  /** @throws as `verifyTable` */
  async run(): Promise<void> {
    const {options, tally} = this
    if (options.mode === 'none') return
    options.signal.throwIfAborted()
    const abort = new AbortController()
    // As many waits as rows are read at once.
    setMaxListeners(0, abort.signal)
    const onAbort = () => abort.abort(options.signal.reason)
    options.signal.addEventListener('abort', onAbort, {once: true})
    try {
      await compareTable(options, tally, abort)
    } finally {
      options.signal.removeEventListener('abort', onAbort)
    }
  }
}

async function compareTable(options: VerifyOptions, tally: Tally, abort: AbortController): Promise<void> {
  const {clock, parallel, source, target} = options
  const {signal} = abort
  const judge = judgeWith(clock, options.expiryToleranceSeconds ?? 0)
  const onProgress = progressReporter(options, tally, () => pool.size)
  const pool = new SuspectPool({
    ...options,
    judge,
    onRound: onProgress,
    parallel: parallel * rereadsPerPartition,
    signal,
    tally,
  })
  const recentRows = new Map([...(options.recentKeys ?? [])].map((row) => [rowId(row.partition, row.key), row]))
  const comparison: Comparison = {
    apart: new Set(recentRows.keys()),
    judge,
    onError: (error) => abort.abort(error),
    ...(options.onExpiry ? {onExpiry: options.onExpiry} : {}),
    onProgress,
    pool,
    signal,
    source,
    stopping: stopCondition(options, tally),
    tally,
    target,
  }
  const scanning = Promise.all([
    addRecent([...recentRows.values()], comparison),
    comparePartitions(options, comparison),
  ]).finally(() => {
    if (tally.stopped === 'differences') pool.abandon()
    else pool.close()
  })
  const parts = [scanning, pool.run()].map((part) =>
    part.catch((error: unknown) => {
      abort.abort(error)
      throw error
    }),
  )
  // Both are waited for, so that nothing goes on when the caller hears of the error but reads that are on their way.
  await Promise.allSettled(parts)
  await Promise.all(parts)
  onProgress()
}

async function addRecent(rows: {key: Buffer; partition: number}[], {pool, tally}: Comparison): Promise<void> {
  for (const {key, partition} of rows) {
    tally.compared(partition, 1)
    await pool.add(partition, key)
  }
}

async function comparePartitions(options: VerifyOptions, c: Comparison): Promise<void> {
  const {mode, parallel, partitionCount, random} = options
  const {tally} = c
  const partitions = mode === 'count' ? await unequalCounts(options, c) : partitionsOf(options)
  await eachInParallel(
    partitions,
    parallel,
    async (partition) => {
      if (c.stopping()) return
      if (mode === 'sample') {
        const rows = Math.ceil(options.sampleRows / partitionCount)
        const stopped = await samplePartition(rows, random, (range, maxRows, onKey) =>
          compareRange(c, partition, range, maxRows, onKey),
        )
        if (!stopped) tally.done(partition, {onSource: 0, onTarget: 0})
      } else await compareWhole(mode, c, partition)
      c.onProgress()
    },
    c.onError,
  )
}

function partitionsOf({partitionCount, partitions}: VerifyOptions): number[] {
  return [...(partitions ?? Array.from({length: partitionCount}).keys())]
}

async function compareWhole(mode: VerifyMode, {tally, ...c}: Comparison, partition: number): Promise<void> {
  const {rowsOnSource, rowsOnTarget, stopped} = await compareRange({...c, tally}, partition, {})
  if (mode === 'full') {
    tally.countsSource[partition] = rowsOnSource
    tally.countsTarget[partition] = rowsOnTarget
  }

  if (!stopped) tally.done(partition, {onSource: rowsOnSource, onTarget: rowsOnTarget})
}

/** Counts, and leaves the partitions whose counts do not agree to be compared row by row. */
function unequalCounts(options: VerifyOptions, {onProgress, signal, stopping, tally}: Comparison): Promise<number[]> {
  return countPartitions({
    ...options,
    partitions: partitionsOf(options),
    onCounted(partition, source, target) {
      tally.countsSource[partition] = source
      tally.countsTarget[partition] = target
      if (source === target) tally.done(partition, {onSource: source, onTarget: target})
      onProgress()
    },
    signal,
    stopping,
  })
}

/** Ends the comparison when it took too long or has found enough, and notes which. */
function stopCondition(options: VerifyOptions, tally: Tally): () => boolean {
  const {clock, limitMs = Infinity, stopAfterDifferences = 1000} = options
  const endMs = clock.nowMs() + limitMs
  return () => {
    if (tally.differenceCount >= stopAfterDifferences) tally.stopped ??= 'differences'
    else if (clock.nowMs() >= endMs) tally.stopped ??= 'time'
    return tally.stopped !== undefined
  }
}

function progressReporter(options: VerifyOptions, tally: Tally, suspects: () => number): () => void {
  const {clock, emit, mode, partitionCount} = options
  let nextMs = -Infinity
  return () => {
    const {differenceCount, partitionsDone, rowsCompared, rowsDone} = tally
    if (clock.nowMs() < nextMs && partitionsDone < partitionCount) return
    nextMs = clock.nowMs() + progressIntervalMs
    emit({
      differences: differenceCount,
      mode,
      partitionCount,
      partitionsDone,
      rowsCompared,
      rowsDone,
      suspects: suspects(),
    })
  }
}
