import {type Clock, sleep} from '../../clock.js'
import {messageOf, MigratorError} from '../../errors.js'
import type {Cluster} from '../../pegasus/cluster.js'
import {probeRead, probeWrite, type WriteProbe} from '../../pegasus/probe.js'
import type {ConnectionPool} from '../../rpc/pool.js'
import type {DeniedAt, PrimaryAt} from '../context.js'
import {mayPass} from '../wait.js'
import {byServer, movedPrimaries, readPrimaries} from './primaries.js'

/** How long a write must stay unanswered to count as denied in `timeout` mode. */
export const SILENCE_MS = 3000
const PROBE_TIMEOUT_MS = 3000
const QUICK_PROBE_TIMEOUT_MS = 600
/** Between two looks at a server that does not show the wanted state yet. */
const RETRY_MS = 100
/** After so long the metas are asked again where the primaries are: a dead one is replaced (measured.md §10). */
const ROUND_MS = 5000
/** Between overlapping probes in `timeout` mode. */
const OVERLAP_MS = 250

/** What must be shown by every primary. */
export type Wanted =
  /** Writes refused at once, reads served. */
  | 'reconfig-write'
  /** Writes and reads refused at once. */
  | 'reconfig-all'
  /** Writes unanswered, reads served. */
  | 'timeout-write'
  /** Writes accepted. */
  | 'writable'

export interface DenyProofOptions {
  clock: Clock
  cluster: Cluster
  limitMs: number
  onProgress?(seen: {last: string; partitionCount: number; proved: number}): void
  pool: ConnectionPool
  signal: AbortSignal
  /** How long silence must last in `timeout-write`; shorter only where the deny was proved before. */
  silenceMs?: number
  table: string
  wanted: Wanted
}

export interface DenyProof {
  /** When the first primary showed the wanted state; wall clock, ms. */
  firstAtMs: number
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
  const seenAtMs: number[] = []
  const answers = new Map<number, string>()
  for (;;) {
    const {configuration, primaries} = await currentPrimaries(options, startMs, answers)
    for (const index of movedPrimaries(proved, primaries)) proved.delete(index)
    const todo = [...primaries.values()].filter(({partitionIndex}) => !proved.has(partitionIndex))
    if (todo.length === 0) {
      return {
        firstAtMs: Math.min(...seenAtMs),
        primaries: proved,
        spreadMs: Math.max(...seenAtMs) - Math.min(...seenAtMs),
      }
    }

    const prober = new Prober(options, configuration.appId, configuration.partitionCount, answers)
    await Promise.all(
      [...byServer(todo)].map(async ([, group]) => {
        const {atMs, shown} = await prober.waitForServer(group, startMs)
        if (atMs !== undefined) seenAtMs.push(atMs)
        for (const primary of shown) proved.set(primary.partitionIndex, primary)
        options.onProgress?.({
          last: `${group[0]!.server} (${group.length} partitions)`,
          partitionCount: configuration.partitionCount,
          proved: proved.size,
        })
      }),
    )
    signal.throwIfAborted()
  }
}

/** The primaries, waiting for those that are missing, within the limit. */
async function currentPrimaries(options: DenyProofOptions, startMs: number, answers: Map<number, string>) {
  for (;;) {
    try {
      return await readPrimaries(options.cluster, options.table, options.signal)
    } catch (error) {
      options.signal.throwIfAborted()
      if (!mayPass(error)) throw error
      if (options.clock.nowMs() - startMs > options.limitMs) throw notProved(options, answers, error)
      await sleep(options.clock, 1000, options.signal)
    }
  }
}

function notProved(options: DenyProofOptions, answers: ReadonlyMap<number, string>, cause?: unknown): MigratorError {
  const last = [...answers].slice(0, 5).map(([index, answer]) => `partition ${index}: ${answer}`)
  return new MigratorError(
    'deny.not_proved',
    `${options.table}: after ${Math.round(options.limitMs / 1000)} s not every primary is seen ${describeWanted(options.wanted)}; last answers: ${last.join('; ') || 'none'}`,
    {cause, facts: {partitionsWithout: answers.size, table: options.table, wanted: options.wanted}},
  )
}

function describeWanted(wanted: Wanted): string {
  switch (wanted) {
    case 'reconfig-all': {
      return 'to refuse reads and writes'
    }

    case 'reconfig-write': {
      return 'to refuse writes'
    }

    case 'timeout-write': {
      return 'to leave writes unanswered'
    }

    case 'writable': {
      return 'to accept writes'
    }
  }
}

class Prober {
  constructor(
    private readonly options: DenyProofOptions,
    private readonly appId: number,
    private readonly partitionCount: number,
    /** What partitions that do not show the wanted state answered last. */
    private readonly answers: Map<number, string>,
  ) {}

  /**
   * Waits until all partitions of one server show the wanted state, or it is time to look where their primaries are.
   * @returns wall clock ms of the first one's change, and since when each shows it: when the probe was sent
   */
  async waitForServer(group: PrimaryAt[], startMs: number): Promise<{atMs: number | undefined; shown: DeniedAt[]}> {
    const {clock, signal} = this.options
    const roundMs = clock.nowMs()
    const shownSince: DeniedAt[] = []
    let firstAtMs: number | undefined
    let todo = group
    for (;;) {
      signal.throwIfAborted()
      const atMs = clock.wallMs()
      const sinceMs = clock.nowMs()
      // The canary alone until it changes; from then on everyone that is left.
      const asked = firstAtMs === undefined ? todo.slice(0, 1) : todo
      const shown = await Promise.all(asked.map(async (primary) => ((await this.shows(primary)) ? primary : undefined)))
      const done = new Set(shown)
      for (const primary of shown) if (primary) shownSince.push({...primary, sinceMs})
      if (shownSince.length > 0) firstAtMs ??= atMs
      todo = todo.filter((primary) => !done.has(primary))
      if (todo.length === 0) return {atMs: firstAtMs, shown: shownSince}
      if (clock.nowMs() - startMs > this.options.limitMs) throw notProved(this.options, this.answers)
      if (clock.nowMs() - roundMs > ROUND_MS) return {atMs: firstAtMs, shown: shownSince}
      if (done.has(undefined)) await sleep(clock, RETRY_MS, signal)
    }
  }

  /** Whether a primary shows the wanted state right now. */
  private async shows(primary: PrimaryAt): Promise<boolean> {
    const wanted = this.options.wanted
    const [shown, answer] =
      wanted === 'timeout-write' ? await this.showsSilence(primary) : await this.showsAnswer(primary, wanted)
    if (shown) this.answers.delete(primary.partitionIndex)
    else this.answers.set(primary.partitionIndex, `${primary.server} ${answer}`)
    return shown
  }

  /**
   * ERR_INVALID_STATE is also what a primary answers while no meta leader lives, to reads too (measured.md §10):
   * so a refused write counts only beside a read that was served, or for `reconfig-all` beside a meta leader that
   * lists the server as alive.
   */
  private async showsAnswer(primary: PrimaryAt, wanted: Exclude<Wanted, 'timeout-write'>): Promise<[boolean, string]> {
    // A server that still leaves writes unanswered must not hold up the look that finds it refusing them.
    const timeoutMs = wanted === 'reconfig-write' ? PROBE_TIMEOUT_MS : QUICK_PROBE_TIMEOUT_MS
    const [write, read] = await Promise.all([this.write(primary, timeoutMs), this.read(primary)])
    const answer = `answered writes: ${write.verdict} (${write.detail}), reads: ${read.verdict}`
    if (wanted === 'writable') return [write.verdict === 'not-denied', answer]
    if (write.verdict !== 'denied-reconfig') return [false, answer]
    if (wanted === 'reconfig-write') return [read.verdict === 'ok', answer]
    return [read.verdict === 'refused' && (await this.isAlive(primary.server)), answer]
  }

  /** Silence counts when overlapping probes all stay unanswered while reads of the same server are served. */
  private async showsSilence(primary: PrimaryAt): Promise<[boolean, string]> {
    const {clock, signal, silenceMs = SILENCE_MS} = this.options
    const answered: string[] = []
    const reads = new Set<string>()
    let result: WriteProbe | undefined
    const first = this.write(primary, silenceMs).then((found) => {
      result = found
    })
    while (!result) {
      await Promise.race([first, sleep(clock, Math.min(OVERLAP_MS, silenceMs / 4), signal)])
      if (result) break
      // Later probes outlive this look by their own time limit; only an answer that came by its end counts.
      this.write(primary, silenceMs).then(
        ({detail, verdict}) => {
          if (verdict !== 'silent') answered.push(`${verdict} (${detail})`)
        },
        (error: unknown) => answered.push(messageOf(error)),
      )
      this.read(primary).then(
        ({verdict}) => reads.add(verdict),
        (error: unknown) => reads.add(messageOf(error)),
      )
    }

    if (result.verdict !== 'silent') return [false, `answered writes: ${result.verdict} (${result.detail})`]
    if (answered.length > 0) return [false, `answered a later write: ${answered[0]}`]
    return reads.has('ok') ? [true, ''] : [false, `answers nothing at all, reads: ${[...reads].join(', ') || 'none'}`]
  }

  private write(primary: PrimaryAt, timeoutMs = PROBE_TIMEOUT_MS) {
    const pid = {appId: this.appId, partitionIndex: primary.partitionIndex}
    return probeWrite(this.options.pool, primary.server, pid, this.partitionCount, {
      signal: this.options.signal,
      timeoutMs,
    })
  }

  private read(primary: PrimaryAt) {
    const pid = {appId: this.appId, partitionIndex: primary.partitionIndex}
    return probeRead(this.options.pool, primary.server, pid, this.partitionCount, {
      signal: this.options.signal,
      timeoutMs: PROBE_TIMEOUT_MS,
    })
  }

  private async isAlive(server: string): Promise<boolean> {
    try {
      const nodes = await this.options.cluster.nodes({signal: this.options.signal})
      return nodes.some(({address, alive}) => address === server && alive)
    } catch (error) {
      this.options.signal.throwIfAborted()
      if (!mayPass(error)) throw error
      return false
    }
  }
}
