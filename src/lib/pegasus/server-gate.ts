import {type Clock, sleep} from '../clock.js'
import {abortedError} from '../rpc/rpc-errors.js'
import {allowListeners, unlessAborted} from '../rpc/signals.js'

/** How servers may be asked: `freely`; `singly`, one question at a time each; `calmly`, also one a second each at most. */
export type Manner = 'calmly' | 'freely' | 'singly'

/** Between the beginnings of two questions to one server. */
const CALM_MS = 1000

interface Lane {
  /** When the last question was begun, `Clock.nowMs`. */
  lastMs: number
  tail: Promise<void>
}

/**
 * The one budget of questions to replica servers that all users of a client share: their state and settings, by RPC and HTTP. What
 * clients of a table send (reads, writes, scans, and the probes that are like them) does not pass here, nor what metas are asked.
 */
export class ServerGate {
  /** Counts for questions that begin from now on. */
  manner: Manner = 'freely'
  private readonly lanes = new Map<string, Lane>()

  constructor(
    private readonly clock: Clock,
    private readonly calmMs = CALM_MS,
  ) {}

  /** Asks when it is this question's turn; the time limits of `ask` begin then. @throws MigratorError rpc.aborted; what `ask` throws */
  async pass<T>(address: string, signal: AbortSignal | undefined, ask: () => Promise<T>): Promise<T> {
    if (this.manner === 'freely') return ask()
    allowListeners(signal)
    let lane = this.lanes.get(address)
    if (!lane) this.lanes.set(address, (lane = {lastMs: Number.NEGATIVE_INFINITY, tail: Promise.resolve()}))
    const before = lane.tail
    let leave!: () => void
    const mine = new Promise<void>((resolve) => {
      leave = resolve
    })
    lane.tail = before.then(() => mine)
    try {
      await this.turn(address, lane, before, signal)
      lane.lastMs = this.clock.nowMs()
      return await ask()
    } finally {
      leave()
    }
  }

  private async turn(
    address: string,
    lane: Lane,
    before: Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    try {
      await unlessAborted(before, signal)
      const restMs = this.manner === 'calmly' ? lane.lastMs + this.calmMs - this.clock.nowMs() : 0
      if (restMs > 0) await sleep(this.clock, restMs, signal)
    } catch (error) {
      throw abortedError({address, call: 'a question that waited for its turn'}, error)
    }
  }
}
