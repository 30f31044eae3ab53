import {once} from 'node:events'
import {type AddressInfo, connect, createServer, type Server, type Socket} from 'node:net'

import {type Clock, sleep, systemClock} from '../../src/lib/clock.js'
import {splitAddress, tcpTransport, type Transport} from '../../src/lib/rpc/transport.js'

/** What a proxy does to the connections through it, those that are open and those to come. */
export type Fault =
  /** Everything arrives so much later. */
  | {delayMs: number; kind: 'delay'}
  /** What a server answers is damaged: the first byte of each piece, where a length or a status line begins. */
  | {kind: 'corrupt'}
  /** Connections are reset, new ones too. */
  | {kind: 'cut'}
  /** Connections stay open and nothing comes through, as behind a firewall that forgot them; those never live again. */
  | {kind: 'half-open'}
  | {kind: 'none'}
  /** So many bytes a second and direction of each connection. */
  | {bytesPerSecond: number; kind: 'throttle'}

const none: Fault = {kind: 'none'}

/** Stands between clients and one server, over real sockets, and does to the traffic what it is told. */
export class FaultProxy {
  private current: Fault = none
  private readonly pairs = new Set<[Socket, Socket]>()
  private readonly server: Server

  private constructor(
    private readonly target: string,
    private readonly clock: Clock,
  ) {
    this.server = createServer({noDelay: true}, (near) => this.accept(near))
  }

  /** @param target `host:port` of the server */
  static async start(target: string, clock: Clock = systemClock): Promise<FaultProxy> {
    const proxy = new FaultProxy(target, clock)
    proxy.server.listen(0, '127.0.0.1')
    await once(proxy.server, 'listening')
    return proxy
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  /** How many connections go through. */
  get open(): number {
    return this.pairs.size
  }

  set(fault: Fault): void {
    this.current = fault
    if (fault.kind === 'cut') for (const pair of this.pairs) reset(pair)
  }

  async stop(): Promise<void> {
    for (const pair of this.pairs) reset(pair)
    this.server.close()
    await once(this.server, 'close')
  }

  private accept(near: Socket): void {
    const far = connect({...splitAddress(this.target), noDelay: true})
    const pair: [Socket, Socket] = [near, far]
    this.pairs.add(pair)
    for (const socket of pair) {
      socket.on('error', () => reset(pair))
      socket.on('close', () => {
        this.pairs.delete(pair)
        reset(pair)
      })
    }

    if (this.current.kind === 'cut') {
      reset(pair)
      return
    }

    const life = {forgotten: false}
    this.carry(near, far, false, life)
    this.carry(far, near, true, life)
  }

  /** Carries one direction, piece by piece and in order. */
  private carry(from: Socket, to: Socket, isAnswer: boolean, life: {forgotten: boolean}): void {
    let before = Promise.resolve()
    from.on('data', (piece) => {
      const fault = this.current
      from.pause()
      before = before.then(() => this.pass(piece, fault, to, isAnswer, life)).finally(() => from.resume())
    })
    from.on('end', () => {
      before = before.then(() => {
        if (!life.forgotten) to.end()
      })
    })
  }

  private async pass(
    piece: Buffer,
    fault: Fault,
    to: Socket,
    isAnswer: boolean,
    life: {forgotten: boolean},
  ): Promise<void> {
    if (fault.kind === 'half-open') life.forgotten = true
    if (life.forgotten) return
    if (fault.kind === 'delay') await sleep(this.clock, fault.delayMs)
    if (fault.kind === 'throttle') await sleep(this.clock, (1000 * piece.length) / fault.bytesPerSecond)
    const bytes = fault.kind === 'corrupt' && isAnswer ? damaged(piece) : piece
    if (!to.destroyed && !to.write(bytes)) await Promise.race([once(to, 'drain'), once(to, 'close')]).catch(() => {})
  }
}

function damaged(piece: Buffer): Buffer {
  const copy = Buffer.from(piece)
  copy[0]! ^= 0xc5
  return copy
}

function reset(pair: [Socket, Socket]): void {
  for (const socket of pair) if (!socket.destroyed) socket.resetAndDestroy()
}

/** A network in which every server is behind a proxy of its own, for whoever uses its transport. */
export class FaultyNetwork {
  private readonly faults = new Map<string, Fault>()
  private readonly proxies = new Map<string, Promise<FaultProxy>>()

  constructor(private readonly clock: Clock = systemClock) {}

  readonly transport: Transport = {
    connect: async (address, signal, receive) => {
      const proxy = await this.proxyOf(address)
      return tcpTransport.connect(proxy.address, signal, receive)
    },
  }

  /** From now on, for these servers. */
  async set(addresses: readonly string[], fault: Fault): Promise<void> {
    for (const address of addresses) {
      this.faults.set(address, fault)
      const proxy = await this.proxies.get(address)
      proxy?.set(fault)
    }
  }

  /** Nothing is wrong any more. */
  heal(): Promise<void> {
    return this.set([...this.faults.keys()], none)
  }

  async stop(): Promise<void> {
    for (const proxy of this.proxies.values()) await (await proxy).stop()
  }

  private proxyOf(address: string): Promise<FaultProxy> {
    const name = address.replace(/^localhost:/, '127.0.0.1:')
    const known = this.proxies.get(name)
    if (known) return known
    const starting = FaultProxy.start(name, this.clock).then((proxy) => {
      proxy.set(this.faults.get(name) ?? none)
      return proxy
    })
    this.proxies.set(name, starting)
    return starting
  }
}
