import {type Clock, sleep} from '../../clock.js'
import {MigratorError} from '../../errors.js'
import type {Cluster} from '../../pegasus/cluster.js'
import {plural} from '../../plural.js'
import type {ConnectionPool} from '../../rpc/pool.js'
import type {DeniedAt} from '../context.js'
import {mayPass} from '../wait.js'
import {byServer, movedPrimaries, readPrimaries} from './primaries.js'
import {AnswerProber, describeWanted, type Prober, type Wanted} from './prober.js'
import {SilenceProber} from './silence-prober.js'

export type {Wanted} from './prober.js'

export interface DenyProofOptions {
  clock: Clock
  cluster: Cluster
  limitMs: number
  onProgress?(seen: {last: string; partitionCount: number; proved: number}): void
  pool: ConnectionPool
  signal: AbortSignal
  table: string
  wanted: Wanted
}

/** When a server changed, as far as probes can tell: after `afterMs` (unless it had changed before), by `byMs`; `Clock.nowMs`. */
export interface ServerChange {
  afterMs: number | undefined
  byMs: number
}

export interface DenyProof {
  /** By server address. */
  changes: Map<string, ServerChange>
  /** When the first primary showed the wanted state, and when the last server's did; wall clock, ms. */
  firstAtMs: number
  lastAtMs: number
  primaries: Map<number, DeniedAt>
  /** Between the first and the last server's change. */
  spreadMs: number
}

/**
 * Proves by probes that every primary of the table shows `wanted`, and that none of them moved meanwhile.
 * Each server follows its own config sync, and all partitions of a server change at the same moment (measured.md §2):
 * so one partition of a server is watched closely, and the others are probed once it has changed.
 * @throws MigratorError `deny.not_proved` naming the server and partition that lag, with what they answered last
 */
export async function proveEverywhere(options: DenyProofOptions): Promise<DenyProof> {
  const {clock, signal} = options
  const startMs = clock.nowMs()
  const proved = new Map<number, DeniedAt>()
  const changes = new Map<string, ServerChange>()
  const answers = new Map<number, string>()
  let prober: Prober | undefined
  try {
    for (;;) {
      const {configuration, primaries} = await currentPrimaries(options, startMs, answers)
      prober ??= proberOf(options, configuration, answers)
      for (const index of [...movedPrimaries(proved, primaries), ...prober.broken()]) proved.delete(index)
      const todo = [...primaries.values()].filter(({partitionIndex}) => !proved.has(partitionIndex))
      if (todo.length === 0) return {changes, ...extent(clock, changes), primaries: proved}
      await Promise.all(
        [...byServer(todo)].map(async ([address, group]) => {
          const {change, shown} = await prober!.waitForServer(group, () => notLate(options, startMs, answers))
          const known = changes.get(address)
          if (change && (!known || change.byMs < known.byMs)) changes.set(address, change)
          for (const primary of shown) proved.set(primary.partitionIndex, primary)
          options.onProgress?.({
            last: `${address} (${plural(group.length, 'partition')})`,
            partitionCount: configuration.partitionCount,
            proved: proved.size,
          })
        }),
      )
      signal.throwIfAborted()
    }
  } finally {
    prober?.stop()
  }
}

function proberOf(
  {clock, cluster, pool, signal, wanted}: DenyProofOptions,
  {appId, partitionCount}: {appId: number; partitionCount: number},
  answers: Map<number, string>,
): Prober {
  const options = {answers, appId, clock, cluster, partitionCount, pool, signal}
  return wanted === 'timeout-write' ? new SilenceProber(options) : new AnswerProber(options, wanted)
}

/** From the first to the last change, on the wall clock. */
function extent(clock: Clock, changes: ReadonlyMap<string, ServerChange>) {
  const atMs = [...changes.values()].map(({byMs}) => byMs)
  const wallMs = clock.wallMs() - clock.nowMs()
  const [first, last] = [Math.min(...atMs), Math.max(...atMs)]
  return {firstAtMs: Math.round(first + wallMs), lastAtMs: Math.round(last + wallMs), spreadMs: last - first}
}

/** The primaries, waiting for those that are missing, within the limit. */
async function currentPrimaries(options: DenyProofOptions, startMs: number, answers: Map<number, string>) {
  for (;;) {
    try {
      return await readPrimaries(options.cluster, options.table, options.signal)
    } catch (error) {
      options.signal.throwIfAborted()
      if (!mayPass(error)) throw error
      notLate(options, startMs, answers, error)
      await sleep(options.clock, 1000, options.signal)
    }
  }
}

/** @throws MigratorError `deny.not_proved` once the limit is over */
function notLate(
  {clock, limitMs, table, wanted}: DenyProofOptions,
  startMs: number,
  answers: ReadonlyMap<number, string>,
  cause?: unknown,
): void {
  if (clock.nowMs() - startMs <= limitMs) return
  const last = [...answers].slice(0, 5).map(([index, answer]) => `partition ${index}: ${answer}`)
  throw new MigratorError(
    'deny.not_proved',
    `${table}: after ${Math.round(limitMs / 1000)} s not every primary is seen ${describeWanted(wanted)}; last answers: ${last.join('; ') || 'none'}`,
    {cause, facts: {partitionsWithout: answers.size, table, wanted}},
  )
}
