import {diskFiles} from '../../files.js'
import {isMigratorError, messageOf} from '../../errors.js'
import {PegasusClient} from '../../pegasus/client.js'
import {Pace} from '../../pegasus/pace.js'
import {ClusterRows} from './cluster-rows.js'
import {TableComparison} from './index.js'
import {provedBy} from './proves.js'
import {RateMeter} from './rate.js'
import type {VerifyEvent, VerifyOutcome, VerifyRequest, VerifyResult, VerifyWorld} from './run-types.js'
import {progressOf, rereadLimitOf, WriteWatch} from './shipping.js'
import {expiryTolerance, readSides, type Side, type Sides} from './sides.js'
import {StateFile} from './state-file.js'
import {sumCounts} from './tally.js'
import type {SettledPartition, VerifyReport} from './types.js'
import {verdictOf} from './verdict.js'

export type * from './run-types.js'

export interface VerifyHooks {
  /** Hears every event, in order. Must not throw. */
  emit(event: VerifyEvent): void
}

export type VerifyTables = (
  request: VerifyRequest,
  world: VerifyWorld,
  hooks: VerifyHooks,
  options: {signal: AbortSignal},
) => Promise<VerifyResult>

/**
 * Compares a table on two clusters, whatever ships between them. Reads only; writes nothing but the state file. What
 * goes wrong after the comparison has begun is in the result, with what was found until then.
 * @throws MigratorError before that: as `readSides`; the signal's reason
 */
export const verifyTables: VerifyTables = async (request, world, {emit}, {signal}) => {
  const client = new PegasusClient(world)
  try {
    const run = await VerifyRun.open(client, request, world, emit, signal)
    return await run.run()
  } finally {
    await client.close()
  }
}

class VerifyRun {
  private readonly startMs: number
  private readonly startedAtMs: number

  private constructor(
    private readonly client: PegasusClient,
    private readonly request: VerifyRequest,
    private readonly world: VerifyWorld,
    private readonly emit: (event: VerifyEvent) => void,
    private readonly signal: AbortSignal,
    private readonly sides: Sides,
    /** Only mode `full` has something to go on from. */
    private readonly state: StateFile | undefined,
  ) {
    this.startMs = world.clock.nowMs()
    this.startedAtMs = world.clock.wallMs()
  }

  static async open(
    client: PegasusClient,
    request: VerifyRequest,
    world: VerifyWorld,
    emit: (event: VerifyEvent) => void,
    signal: AbortSignal,
  ): Promise<VerifyRun> {
    const sides = await readSides(client, request, signal)
    const {clock, files = diskFiles, stateDirectory: directory} = world
    const {mode, resume, table} = request
    const state = mode === 'full' ? await StateFile.open({clock, directory, files, resume, sides, table}) : undefined
    return new VerifyRun(client, request, world, emit, signal, sides, state)
  }

  async run(): Promise<VerifyResult> {
    const {sides, signal, state} = this
    const {clock} = this.world
    const tolerance = expiryTolerance(sides, clock.wallMs())
    this.emitStarted()
    const settled: SettledPartition[] = []
    const comparison = this.compare(tolerance, await rereadLimitOf(sides, signal), (partition) => {
      settled.push(partition)
      state?.settled(partition)
    })
    // While a duplication ships, decrees of the target tell nothing about other writers.
    const watches = sides.state === 'shipping' ? undefined : this.writeWatches()
    await Promise.all(watches?.map((watch) => watch.begin()) ?? [])
    let failure: {error: unknown} | undefined
    try {
      await comparison.run()
    } catch (error) {
      failure = {error}
    }

    const report = comparison.report()
    const outcome = this.outcomeOf(report, failure)
    const writes = outcome === 'stopped' || !watches ? [] : await Promise.all(watches.map((watch) => watch.end()))
    // What was the same an hour ago may not be so when somebody asks next: only an unfinished run is gone on from.
    const isOver = outcome === 'same' || (outcome === 'different' && report.stopped === undefined)
    await (isOver ? state?.remove() : state?.flush())
    return this.result(report, outcome, {failure, settled, tolerance, writes: {source: writes[0], target: writes[1]}})
  }

  private compare(
    expiryToleranceSeconds: number,
    rereadLimitMs: number,
    onSettled: (partition: SettledPartition) => void,
  ): TableComparison {
    const {request, sides, signal, world} = this
    const {clock, random} = world
    const {limitMs, mode, parallel, sampleRows, showValues, table} = request
    const {partitionCount} = sides.source.table
    const partitions = this.partitionsLeft()
    const meter = new RateMeter(clock, mode, sampleRows)
    return new TableComparison({
      clock,
      emit: (progress) =>
        this.emit({
          ...progress,
          ...meter.see(progress, partitions.length),
          atMs: clock.wallMs(),
          partitionsEarlier: this.earlier.length,
          type: 'progress',
        }),
      expiryToleranceSeconds,
      limitMs,
      mode,
      onSettled,
      parallel,
      partitionCount,
      partitions,
      progress: progressOf(sides, table),
      random,
      rereadLimitMs,
      sampleRows,
      showValues,
      signal,
      source: this.rowsOf('source'),
      target: this.rowsOf('target'),
    })
  }

  private get earlier(): readonly SettledPartition[] {
    return this.state?.earlier ?? []
  }

  private emitStarted(): void {
    const {mode} = this.request
    this.emit({
      atMs: this.startedAtMs,
      duplication: this.duplication(),
      mode,
      partitionCount: this.sides.source.table.partitionCount,
      partitionsEarlier: this.earlier.length,
      source: sideOf(this.sides.source),
      target: sideOf(this.sides.target),
      type: 'started',
    })
  }

  private duplication(): VerifyResult['duplication'] {
    const {duplication, state} = this.sides
    return duplication ? {dupid: duplication.dupid, state} : {state}
  }

  private partitionsLeft(): number[] {
    const done = new Set(this.earlier.map(({partition}) => partition))
    const all = Array.from({length: this.sides.source.table.partitionCount}, (_, index) => index)
    return all.filter((partition) => !done.has(partition))
  }

  private rowsOf(name: 'source' | 'target'): ClusterRows {
    const {maxBytesPerSecond, maxRowsPerSecond, table} = this.request
    const {cluster, configuration} = this.sides[name]
    const limits = {bytesPerSecond: maxBytesPerSecond, rowsPerSecond: maxRowsPerSecond}
    const isLimited = maxBytesPerSecond !== undefined || maxRowsPerSecond !== undefined
    const pace = isLimited ? new Pace(this.world.clock, limits) : undefined
    return new ClusterRows({client: this.client, cluster, configuration, name, pace, signal: this.signal, table})
  }

  private outcomeOf(report: VerifyReport, failure: {error: unknown} | undefined): VerifyOutcome {
    if (this.signal.aborted) return 'stopped'
    if (failure) return 'failed'
    // Mode `none` does not come here, and so does no verdict `unverified`.
    const verdict = verdictOf(report)
    return verdict === 'unverified' ? 'unproved' : verdict
  }

  private writeWatches(): [WriteWatch, WriteWatch] {
    const {source, target} = this.sides
    const of = ({cluster}: Side) => new WriteWatch(cluster, this.request.table, this.signal)
    return [of(source), of(target)]
  }

  private result(
    report: VerifyReport,
    outcome: VerifyOutcome,
    known: {
      failure: {error: unknown} | undefined
      settled: readonly SettledPartition[]
      tolerance: number
      writes: {source?: number; target?: number}
    },
  ): VerifyResult {
    const {earlier, request, sides, state} = this
    const {failure, settled, tolerance, writes} = known
    const {countsSource, countsTarget, differences, partitions, unresolvedRows} = report
    const tookMs = Math.round(this.world.clock.nowMs() - this.startMs)
    const all = sumCounts([report, ...earlier])
    const onSource = sum(countsSource) + sum(earlier.map(({rowsOnSource}) => rowsOnSource))
    const onTarget = sum(countsTarget) + sum(earlier.map(({rowsOnTarget}) => rowsOnTarget))
    const {partitionCount} = sides.source.table
    const stoppedBy = outcome === 'stopped' ? 'signal' : report.stopped
    const next = nextOf(outcome, sides, request, state !== undefined && settled.length + earlier.length > 0)
    return {
      differences,
      duplication: this.duplication(),
      ...(outcome === 'failed' && failure ? {error: errorOf(failure.error)} : {}),
      mode: request.mode,
      ...(next === undefined ? {} : {next}),
      outcome,
      partitions: {
        compared: partitions,
        count: partitionCount,
        earlier: earlier.length,
        ...(earlier.length > 0 && state ? {sinceMs: state.sinceMs} : {}),
      },
      proves: provedBy({
        dupid: sides.duplication?.dupid,
        expiryToleranceSeconds: tolerance,
        mode: request.mode,
        partitionCount,
        state: sides.state,
        tookMs,
        writes,
      }),
      rows: {...all, onSource, onTarget},
      rowsPerSecond: tookMs > 0 ? Math.round((report.rowsCompared * 1000) / tookMs) : 0,
      schema: 1,
      source: sideOf(sides.source),
      startedAtMs: this.startedAtMs,
      ...(stoppedBy === undefined ? {} : {stoppedBy}),
      table: request.table,
      target: sideOf(sides.target),
      tookMs,
      unresolvedRows,
    }
  }
}

function sideOf({cluster, name, table}: Side): VerifyResult['source'] {
  return {cluster: name, metas: cluster.metas, tableId: table.appId}
}

function sum(counts: readonly number[]): number {
  let total = 0
  // Places of partitions that were not counted are empty.
  for (const count of counts) total += count ?? 0
  return total
}

function errorOf(error: unknown): VerifyResult['error'] {
  const known = isMigratorError(error) ? error : undefined
  return {code: known?.code ?? 'internal', facts: known?.facts ?? {}, message: messageOf(error)}
}

function nextOf(
  outcome: VerifyOutcome,
  {duplication, state, target}: Sides,
  {table}: VerifyRequest,
  canGoOn: boolean,
): string | undefined {
  const goesOn = canGoOn ? 'The same command goes on from here.' : 'The same command begins anew.'
  if (outcome === 'stopped' || outcome === 'failed') return goesOn
  if (outcome === 'unproved') {
    const why = {
      none: 'Have nobody write to either side while it runs.',
      paused: 'Resume the duplication, and look again when it has caught up.',
      shipping: 'Look at the lag of the duplication, or take a quieter time.',
    }[state]
    return `${why} ${goesOn}`
  }

  if (outcome !== 'different') return undefined
  return state === 'none'
    ? `Find out who wrote to which side. Where nobody was to write, the copy of ${table} on ${target.name} is not sound.`
    : `The copy of ${table} on ${target.name} is not sound, and shipping will not mend it: see that nobody writes to it, remove duplication ${duplication?.dupid}, drop the copy and migrate again (docs/verify.md).`
}
