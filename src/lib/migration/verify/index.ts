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
  const tally = new Tally()
  if (options.mode === 'none') return tally.report('none')
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

  return tally.report(options.mode)
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
    tally.rowsCompared++
    await pool.add(partition, key)
  }
}

async function comparePartitions(options: VerifyOptions, c: Comparison): Promise<void> {
  const {mode, parallel, partitionCount, random} = options
  const {tally} = c
  const partitions = mode === 'count' ? await unequalCounts(options, c) : Array.from({length: partitionCount}).keys()
  await eachInParallel(
    partitions,
    parallel,
    async (partition) => {
      if (c.stopping()) return
      const stopped =
        mode === 'sample'
          ? await samplePartition(Math.ceil(options.sampleRows / partitionCount), random, (range, maxRows) =>
              compareRange(c, partition, range, maxRows),
            )
          : await compareWhole(mode, c, partition)
      if (!stopped) tally.partitionsDone++
      c.onProgress()
    },
    c.onError,
  )
}

async function compareWhole(mode: VerifyMode, c: Comparison, partition: number): Promise<boolean> {
  const compared = await compareRange(c, partition, {})
  if (mode === 'full') {
    c.tally.countsSource[partition] = compared.rowsOnSource
    c.tally.countsTarget[partition] = compared.rowsOnTarget
  }

  return compared.stopped
}

/** Counts, and leaves the partitions whose counts do not agree to be compared row by row. */
function unequalCounts(options: VerifyOptions, {onProgress, signal, stopping, tally}: Comparison): Promise<number[]> {
  return countPartitions({
    ...options,
    onCounted(partition, source, target) {
      tally.countsSource[partition] = source
      tally.countsTarget[partition] = target
      if (source === target) tally.partitionsDone++
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
    const {differenceCount, partitionsDone, rowsCompared} = tally
    if (clock.nowMs() < nextMs && partitionsDone < partitionCount) return
    nextMs = clock.nowMs() + progressIntervalMs
    emit({differences: differenceCount, mode, partitionCount, partitionsDone, rowsCompared, suspects: suspects()})
  }
}
