import type {Duplex} from 'node:stream'

import type {Timer} from '../../src/lib/clock.js'
import type {SimulatedCluster} from './cluster.js'
import {ServerConfig} from './config.js'
import type {HttpHandler} from './http.js'
import type {Listener} from './network.js'
import {PeerClient} from './peer-client.js'
import {WireServer} from './rpc-dispatch.js'
import type {World} from './world.js'

/** A meta or replica server as a process: a port, a config file, timers that die with it, restart at the same port. */
export abstract class SimulatedProcess {
  alive = false
  config!: ServerConfig
  peers!: PeerClient
  startedWallMs = 0
  /** Why it went down by itself, if it did. */
  aborted: string | undefined
  protected wire!: WireServer
  private life = 0
  private listener: Listener | undefined
  private readonly timersOfLife = new Set<Timer>()

  constructor(readonly cluster: SimulatedCluster) {}

  get world(): World {
    return this.cluster.world
  }

  get timers() {
    return this.cluster.spec.timers
  }

  get address(): string {
    if (!this.listener) throw new Error('the server has no port yet')
    return this.listener.address
  }

  get bound(): boolean {
    return this.listener !== undefined
  }

  /** As it names itself in answers: by host name on master (measured-master.md §8). */
  get name(): string {
    return this.cluster.nameOf(this.address)
  }

  get wallNow(): number {
    return this.world.clock.wallMs()
  }

  /** Takes a port; nothing is answered before `boot`. */
  async bind(): Promise<void> {
    this.listener = await this.world.network.listen((stream: Duplex) => {
      if (this.alive) this.wire.accept(stream)
      else stream.destroy()
    })
  }

  /** Starts the process: a fresh config, no connections, no memory of before. */
  async boot(): Promise<void> {
    if (this.alive) return
    await this.listener?.open()
    this.life++
    this.config = new ServerConfig(this.cluster.configSource)
    this.cluster.applyConfigEdits(this.address, this.config)
    this.peers = new PeerClient(this.world.transport, this.world.clock)
    this.startedWallMs = this.wallNow
    this.aborted = undefined
    this.wire = new WireServer({
      address: () => this.address,
      faults: this.cluster.faults,
      http: this.http,
      mandatoryAuth: this.cluster.mandatoryAuth,
      onDeath: () => this.abort('a request took it down'),
    })
    this.register(this.wire)
    this.alive = true
    this.onBoot()
  }

  /** Ends the process at once, as kill -9 does. */
  async halt(): Promise<void> {
    if (!this.alive) return
    this.alive = false
    this.life++
    for (const timer of this.timersOfLife) timer.cancel()
    this.timersOfLife.clear()
    this.peers.close()
    this.onHalt()
    await this.listener?.close()
  }

  /** Ends it by itself, with a reason that tests can see. */
  abort(reason: string): void {
    if (!this.alive) return
    this.aborted = reason
    void this.cluster.processDied(this)
  }

  /** A timer that ends with the process. */
  after(delayMs: number, callback: () => void): void {
    const {life} = this
    const timer = this.world.clock.setTimer(delayMs, () => {
      this.timersOfLife.delete(timer)
      if (this.alive && this.life === life) callback()
    })
    this.timersOfLife.add(timer)
  }

  /**
   * Calls back for ever, in a fixed phase. The period is asked for anew when a tick fires, so a change counts only
   * after the tick that was already scheduled (measured.md §1).
   */
  every(firstMs: number, periodMs: () => number, tick: () => void): void {
    const arm = (dueMs: number) => {
      this.after(dueMs - this.world.clock.nowMs(), () => {
        tick()
        arm(Math.max(dueMs + periodMs(), this.world.clock.nowMs()))
      })
    }

    arm(this.world.clock.nowMs() + firstMs)
  }

  protected abstract readonly http: HttpHandler
  protected abstract onBoot(): void
  protected abstract onHalt(): void
  protected abstract register(wire: WireServer): void
}
