import type {Duplex} from 'node:stream'

import type {Clock} from '../../src/lib/clock.js'
import type {ProcessName, Processes} from '../../src/lib/processes.js'
import type {Transport} from '../../src/lib/rpc/transport.js'

/** How a machine's clock differs from the true one. */
export interface ClockSkew {
  /** Its milliseconds per true one. */
  rate: number
  wallMs: number
}

export function skewed(clock: Clock, {rate, wallMs}: ClockSkew): Clock {
  return {
    nowMs: () => clock.nowMs() * rate,
    setTimer: (delayMs, callback) => clock.setTimer(delayMs / rate, callback),
    wallMs: () => Math.round(clock.wallMs() + clock.nowMs() * (rate - 1) + wallMs),
  }
}

/** One machine's processes: what `kill -0` and /proc tell. */
export class Machine {
  readonly lives: Life[] = []

  constructor(
    readonly name: string,
    private readonly base: {clock: Clock; transport: Transport},
  ) {}

  /** Starts a process. */
  begin(): Life {
    const life = new Life(this, 1000 + this.lives.length, this.base)
    this.lives.push(life)
    return life
  }
}

/**
 * One process of a simulation, as the kernel sees it: its timers, its connections and every promise that comes from outside of it.
 * Killed, none of them ever says anything again, and its connections are cut; stopped, all of them wait, while time goes on.
 */
export class Life {
  readonly clock: Clock
  readonly processes: Processes
  readonly transport: Transport
  private held: (() => void)[] = []
  private readonly onChange: (() => void)[] = []
  private state: 'dead' | 'running' | 'stopped' = 'running'
  private readonly streams = new Set<Duplex>()

  constructor(
    readonly machine: Machine,
    readonly pid: number,
    base: {clock: Clock; transport: Transport},
  ) {
    this.clock = {
      nowMs: () => base.clock.nowMs(),
      setTimer: (delayMs, callback) => base.clock.setTimer(delayMs, () => this.deliver(callback)),
      wallMs: () => base.clock.wallMs(),
    }
    this.transport = {
      connect: async (address, signal) => this.own(await this.outside(base.transport.connect(address, signal))),
      ...(base.transport.exchange ? {exchange: base.transport.exchange} : {}),
    }
    this.processes = {
      isDead: async (other) => other.host === machine.name && !this.processes.lives(other.pid),
      lives: (other) => machine.lives.some((life) => life.pid === other && life.isAlive),
      own: async () => this.name,
    }
  }

  get isAlive(): boolean {
    return this.state !== 'dead'
  }

  get isRunning(): boolean {
    return this.state === 'running'
  }

  get name(): ProcessName {
    return {host: this.machine.name, pid: this.pid, pidSpace: '', started: String(this.pid)}
  }

  /** SIGKILL. */
  kill(): void {
    if (this.state === 'dead') return
    this.state = 'dead'
    this.held = []
    for (const stream of this.streams) {
      // The process hears nothing of its own end.
      stream.removeAllListeners()
      stream.on('error', () => {})
      stream.destroy()
    }

    this.streams.clear()
    for (const listener of this.onChange) listener()
  }

  /** SIGSTOP. */
  stop(): void {
    if (this.state !== 'running') return
    this.state = 'stopped'
    for (const listener of this.onChange) listener()
  }

  /** SIGCONT. */
  resume(): void {
    if (this.state !== 'stopped') return
    this.state = 'running'
    for (const listener of this.onChange) listener()
    const {held} = this
    this.held = []
    for (const callback of held) this.deliver(callback)
  }

  /** Tells whoever keeps sessions for this process that it was killed, stopped or resumed. */
  whenChanged(listener: () => void): void {
    this.onChange.push(listener)
  }

  /** Something happens to the process: now, when it is resumed, or never. */
  deliver(callback: () => void): void {
    if (this.state === 'running') callback()
    else if (this.state === 'stopped') this.held.push(callback)
  }

  /** An answer from outside: comes when the process runs, and never once it is dead. */
  outside<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      answer.then(
        (value) => this.deliver(() => resolve(value)),
        (error: unknown) => this.deliver(() => reject(error)),
      )
    })
  }

  /** Whatever arrives on the stream waits while the process is stopped. */
  private own(stream: Duplex): Duplex {
    this.streams.add(stream)
    stream.once('close', () => this.streams.delete(stream))
    const push = stream.push.bind(stream)
    const destroy = stream.destroy.bind(stream)
    stream.push = (chunk: unknown) => {
      if (this.state === 'running') return push(chunk)
      this.deliver(() => push(chunk))
      return true
    }

    stream.destroy = (error?: Error) => {
      // The other end hung up: noticed when the process runs again.
      if (this.state === 'stopped') this.deliver(() => destroy(error))
      else destroy(error)
      return stream
    }

    return stream
  }
}
