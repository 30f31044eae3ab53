import {Duplex} from 'node:stream'

import type {Clock} from '../../../src/lib/clock.js'
import type {Transport} from '../../../src/lib/rpc/transport.js'
import {listenIn, type OpenServers, type SandboxNetwork} from '../../sandbox/network.js'

/** A way through the network: who opened the connection, to which address; `back`: an answer. */
export interface Way {
  address: string
  back: boolean
  /** Machine, `servers` or `others` (application, metaproxy). */
  from: string
}

/** What becomes of one message. */
export interface Fate {
  /** How often it arrives; 0: never. */
  copies: number
  delayMs: number
  /** The connection breaks instead. */
  reset?: boolean
}

/** Decides the fate of each message, and whether connections can be had. */
export interface Weather {
  /** Connecting takes for ever. */
  blocks(way: Way): boolean
  /** @param chunk undefined: the end of the connection */
  fate(way: Way, chunk: Buffer | undefined): Fate
}

interface Waiting {
  act(): void
  atMs: number
}

/** One end of a connection. What is written arrives at the other end later, in order, if at all. */
class WeatherStream extends Duplex {
  peer!: WeatherStream
  private isClosing = false
  private readonly queue: Waiting[] = []

  constructor(
    private readonly way: Way,
    private readonly clock: Clock,
    private readonly weather: Weather,
  ) {
    super({allowHalfOpen: false})
  }

  override _read(): void {
    // What has arrived is pushed at once, whatever the reader's pace.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const bytes = Buffer.from(chunk)
    const {copies, delayMs, reset} = this.weather.fate(this.way, bytes)
    if (reset) {
      callback()
      this.send(delayMs, () => this.breakBoth())
      return
    }

    for (let copy = 0; copy < copies; copy++) {
      this.send(delayMs, () => {
        if (!this.peer.destroyed) this.peer.push(copy === 0 ? bytes : Buffer.from(bytes))
      })
    }

    callback()
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.close(() => {
      if (!this.peer.destroyed) this.peer.push(null)
    })
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.close(() => {
      if (!this.peer.destroyed) this.peer.destroy()
    })
    callback(error)
  }

  private breakBoth(): void {
    if (!this.destroyed) this.destroy()
    if (!this.peer.destroyed) this.peer.destroy()
  }

  private close(act: () => void): void {
    if (this.isClosing) return
    this.isClosing = this.destroyed
    const {copies, delayMs} = this.weather.fate(this.way, undefined)
    // A half-open connection: the other end never hears that this one is gone.
    if (copies > 0) this.send(delayMs, act)
  }

  /** In order: nothing overtakes what was sent before it. */
  private send(delayMs: number, act: () => void): void {
    const last = this.queue.at(-1)
    if (delayMs <= 0 && !last) {
      process.nextTick(act)
      return
    }

    const nowMs = this.clock.nowMs()
    const atMs = Math.max(last?.atMs ?? 0, nowMs + delayMs)
    this.queue.push({act, atMs})
    this.clock.setTimer(atMs - nowMs, () => this.queue.shift()!.act())
  }
}

/** Streams within this process, through a weather of delays and losses. */
export function weatherNetwork(
  clock: Clock,
  weather: Weather,
  firstPort = 34_601,
): SandboxNetwork & {transportOf(from: string): Transport} {
  const open: OpenServers = new Map()
  let nextPort = firstPort
  const transportOf = (from: string): Transport => ({
    async connect(address, signal) {
      signal.throwIfAborted()
      const name = address.replace(/^localhost:/, '127.0.0.1:')
      const way = {address: name, back: false, from}
      if (weather.blocks(way)) await aborted(signal)
      const server = open.get(name)
      if (!server) throw new Error(`ECONNREFUSED ${address}`)
      const near = new WeatherStream(way, clock, weather)
      const far = new WeatherStream({...way, back: true}, clock, weather)
      near.peer = far
      far.peer = near
      far.on('error', () => far.destroy())
      far.on('close', () => server.streams.delete(far))
      server.streams.add(far)
      server.accept(far)
      return near
    },
  })
  return {
    listen: (accept) => listenIn(open, `127.0.0.1:${nextPort++}`, accept),
    transport: transportOf('servers'),
    transportOf,
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), {once: true})
  })
}
