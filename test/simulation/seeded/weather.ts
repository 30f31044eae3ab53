import {EventEmitter} from 'node:events'
import type {Duplex} from 'node:stream'

import type {Clock} from '../../../src/lib/clock.js'
import type {Transport} from '../../../src/lib/rpc/transport.js'
import {plainExchange} from '../../sandbox/plain-exchange.js'
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

/**
 * One end of a connection: as much of a stream as servers and clients here use, for node's own cost more than all that
 * is simulated. What is written arrives at the other end later, in order, if at all.
 */
class WeatherStream extends EventEmitter {
  destroyed = false
  peer!: WeatherStream
  private readonly queue: Waiting[] = []

  constructor(
    private readonly way: Way,
    private readonly clock: Clock,
    private readonly weather: Weather,
  ) {
    super()
  }

  get writable(): boolean {
    return !this.destroyed
  }

  /** @param bytes are not copied: nobody changes what was sent or received */
  write(bytes: Buffer): boolean {
    if (this.destroyed) return false
    const {copies, delayMs, reset} = this.weather.fate(this.way, bytes)
    if (reset) {
      this.send(delayMs, () => this.breakBoth())
      return true
    }

    for (let copy = 0; copy < copies; copy++) this.send(delayMs, () => this.peer.push(bytes))
    return true
  }

  /** Bytes have arrived. */
  push(bytes: Buffer): boolean {
    return !this.destroyed && this.emit('data', bytes)
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this
    this.destroyed = true
    process.nextTick(() => {
      if (error) this.emit('error', error)
      this.emit('close')
    })
    if (this.peer.destroyed) return this
    const {copies, delayMs} = this.weather.fate(this.way, undefined)
    // A half-open connection: the other end never hears that this one is gone.
    if (copies > 0) this.send(delayMs, () => this.peer.destroy())
    return this
  }

  private breakBoth(): void {
    this.destroy()
    this.peer.destroy()
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
      const accepted = asDuplex(far)
      far.on('error', () => far.destroy())
      far.on('close', () => server.streams.delete(accepted))
      server.streams.add(accepted)
      server.accept(accepted)
      return asDuplex(near)
    },
    exchange: plainExchange,
  })
  return {
    listen: (accept) => listenIn(open, `127.0.0.1:${nextPort++}`, accept),
    transport: transportOf('servers'),
    transportOf,
  }
}

/** For those who use no more of it than there is. */
function asDuplex(stream: WeatherStream): Duplex {
  return stream as unknown as Duplex
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), {once: true})
  })
}
