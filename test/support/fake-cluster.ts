import {Duplex} from 'node:stream'

import {PegasusClient} from '../../src/lib/pegasus/client.js'
import type {Transport} from '../../src/lib/rpc/transport.js'
import {memoryNetwork} from '../sandbox/network.js'
import {VirtualClock} from '../sandbox/virtual-clock.js'
import {FakeServer} from './fake-server.js'

/** Fake servers in memory on virtual time, and a client that reaches them. */
export class FakeCluster {
  readonly clock = new VirtualClock()
  /** Addresses that are asked and never answer to connect, as a machine that lost its power. */
  readonly unreachable = new Set<string>()
  readonly client: PegasusClient
  /** Every address that was connected to, in order. */
  readonly connected: string[] = []
  private readonly network = memoryNetwork(34_601)
  private readonly listeners = new Map<string, {close(): Promise<void>; open(): Promise<void>}>()

  constructor() {
    const connect: Transport['connect'] = (address, signal) => {
      this.connected.push(address)
      if (!this.unreachable.has(address)) return this.network.transport.connect(address, signal)
      return new Promise<Duplex>((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), {once: true})
      })
    }

    this.client = new PegasusClient({clock: this.clock, random: () => 0.5, transport: {connect}})
  }

  async listen(server = new FakeServer()): Promise<{address: string; server: FakeServer}> {
    const listener = await this.network.listen(server.accept)
    this.listeners.set(listener.address, listener)
    return {address: listener.address, server}
  }

  /** Cuts a server's connections and refuses new ones. */
  async kill(address: string): Promise<void> {
    await this.listeners.get(address)!.close()
  }

  async restart(address: string): Promise<void> {
    await this.listeners.get(address)!.open()
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.clock.run(promise)
  }
}
