import {type Clock, sleep} from '../../clock.js'
import type {Cluster} from '../../pegasus/cluster.js'
import {probeRead, probeWrite} from '../../pegasus/probe.js'
import type {ConnectionPool} from '../../rpc/pool.js'
import type {DeniedAt, PrimaryAt} from '../context.js'
import {mayPass} from '../wait.js'
import type {ServerChange} from './deny.js'

export const PROBE_TIMEOUT_MS = 3000
const QUICK_PROBE_TIMEOUT_MS = 600
/** Between two looks at a server that does not show the wanted state yet. */
export const RETRY_MS = 100
/** After so long the metas are asked again where the primaries are: a dead one is replaced (measured.md §10). */
export const ROUND_MS = 5000
/** How long the list of servers that are alive counts. */
const NODES_AGE_MS = 500

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

export function describeWanted(wanted: Wanted): string {
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

export interface ProberOptions {
  /** What partitions that do not show the wanted state answered last; kept by the prober. */
  answers: Map<number, string>
  appId: number
  clock: Clock
  cluster: Cluster
  partitionCount: number
  pool: ConnectionPool
  signal: AbortSignal
}

/** What was seen of one server. */
export interface ServerSight {
  /** When it changed; undefined: it has not. */
  change?: ServerChange
  /** The primaries that show the wanted state, and since when: when the probe was sent. */
  shown: DeniedAt[]
}

/** Looks at primaries until they show what is wanted. */
export interface Prober {
  /** Partitions that were shown and are not any more. */
  broken(): number[]
  stop(): void
  /**
   * Waits until all partitions of one server show the wanted state, or it is time to look where their primaries are.
   * @param check throws when it takes too long
   */
  waitForServer(group: PrimaryAt[], check: () => void): Promise<ServerSight>
}

/** Sends single probes. */
export class Probes {
  constructor(private readonly options: Omit<ProberOptions, 'answers' | 'clock' | 'cluster'>) {}

  write(primary: PrimaryAt, timeoutMs = PROBE_TIMEOUT_MS) {
    const {partitionCount, pool, signal} = this.options
    return probeWrite(pool, primary.server, this.pidOf(primary), partitionCount, {signal, timeoutMs})
  }

  read(primary: PrimaryAt) {
    const {partitionCount, pool, signal} = this.options
    return probeRead(pool, primary.server, this.pidOf(primary), partitionCount, {signal, timeoutMs: PROBE_TIMEOUT_MS})
  }

  private pidOf({partitionIndex}: PrimaryAt) {
    return {appId: this.options.appId, partitionIndex}
  }
}

/** States that a primary shows by what it answers. */
export class AnswerProber implements Prober {
  private nodes: {alive: Promise<Set<string>>; atMs: number} | undefined
  private readonly probes: Probes

  constructor(
    private readonly options: ProberOptions,
    private readonly wanted: Exclude<Wanted, 'timeout-write'>,
  ) {
    this.probes = new Probes(options)
  }

  broken(): number[] {
    return []
  }

  stop(): void {}

  async waitForServer(group: PrimaryAt[], check: () => void): Promise<ServerSight> {
    const {clock, signal} = this.options
    const roundMs = clock.nowMs()
    const shown: DeniedAt[] = []
    let change: ServerChange | undefined
    let unchangedMs: number | undefined
    let todo = group
    for (;;) {
      signal.throwIfAborted()
      const sinceMs = clock.nowMs()
      // The first partition alone until it changes; from then on everyone that is left.
      const asked = change === undefined ? todo.slice(0, 1) : todo
      const showing = await Promise.all(asked.map((primary) => this.shows(primary)))
      const done = asked.filter((_, index) => showing[index])
      for (const primary of done) shown.push({...primary, sinceMs})
      if (done.length === 0) unchangedMs = sinceMs
      else change ??= {afterMs: unchangedMs, byMs: sinceMs}
      todo = todo.filter((primary) => !done.includes(primary))
      const sight = {...(change ? {change} : {}), shown}
      if (todo.length === 0) return sight
      check()
      if (clock.nowMs() - roundMs > ROUND_MS) return sight
      if (done.length < asked.length) await sleep(clock, RETRY_MS, signal)
    }
  }

  /** Whether a primary shows the wanted state right now. */
  private async shows(primary: PrimaryAt): Promise<boolean> {
    const {answers} = this.options
    const [shown, answer] = await (this.wanted === 'reconfig-all'
      ? this.showsClosed(primary)
      : this.showsAnswer(primary, this.wanted))
    if (shown) answers.delete(primary.partitionIndex)
    else answers.set(primary.partitionIndex, `${primary.server} ${answer}`)
    return shown
  }

  /**
   * ERR_INVALID_STATE is also what a primary answers while no meta leader lives, to reads too (measured.md §10):
   * so a refused write counts only beside a read that was served.
   */
  private async showsAnswer(
    primary: PrimaryAt,
    wanted: 'reconfig-write' | 'writable',
  ): Promise<[shown: boolean, answer: string]> {
    // A server that still leaves writes unanswered must not hold up the look that finds it accepting them.
    const timeoutMs = wanted === 'reconfig-write' ? PROBE_TIMEOUT_MS : QUICK_PROBE_TIMEOUT_MS
    const write = await this.probes.write(primary, timeoutMs)
    const answer = `answered writes: ${write.verdict} (${write.detail})`
    if (wanted === 'writable') return [write.verdict === 'not-denied', answer]
    if (write.verdict !== 'denied-reconfig') return [false, answer]
    const read = await this.probes.read(primary)
    return [read.verdict === 'ok', `${answer}, reads: ${read.verdict}`]
  }

  /**
   * Reads tell at once, where writes may stay unanswered until it is closed. Refused ones count only beside a meta leader that
   * lists the server as alive.
   */
  private async showsClosed(primary: PrimaryAt): Promise<[shown: boolean, answer: string]> {
    const read = await this.probes.read(primary)
    if (read.verdict !== 'refused') return [false, `answered reads: ${read.verdict} (${read.detail})`]
    const write = await this.probes.write(primary, QUICK_PROBE_TIMEOUT_MS)
    const answer = `answered writes: ${write.verdict} (${write.detail}), reads: ${read.verdict}`
    return [write.verdict === 'denied-reconfig' && (await this.isAlive(primary.server)), answer]
  }

  /** One question for all partitions that ask within a moment. */
  private async isAlive(server: string): Promise<boolean> {
    const {clock, cluster, signal} = this.options
    if (!this.nodes || clock.nowMs() - this.nodes.atMs > NODES_AGE_MS) {
      const alive = cluster
        .nodes({signal})
        .then((nodes) => new Set(nodes.filter((node) => node.alive).map(({address}) => address)))
      this.nodes = {alive, atMs: clock.nowMs()}
    }

    try {
      return (await this.nodes.alive).has(server)
    } catch (error) {
      signal.throwIfAborted()
      if (!mayPass(error)) throw error
      return false
    }
  }
}
