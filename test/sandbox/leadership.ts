import type {SimulatedCluster} from './cluster.js'
import type {MetaServer} from './meta/server.js'
import {pick} from './random.js'

/** Which meta leads, and how long nobody does after a death (measured.md §10). */
export class Leadership {
  leader: MetaServer | undefined
  /** Whom followers name, also after its death. */
  known: MetaServer
  private takeoverPending = false

  constructor(
    private readonly cluster: SimulatedCluster,
    first: MetaServer,
  ) {
    this.leader = first
    this.known = first
  }

  died(meta: MetaServer): void {
    if (this.leader !== meta) return
    this.leader = undefined
    for (const server of this.cluster.servers) server.leaderChanged(false)
    if (!this.cluster.metaServers.some((m) => m.alive)) return
    // A follower waits for the leader's ZooKeeper session to expire; a graceful stop is no better.
    this.takeoverPending = true
    const {leaderTakeoverMs} = this.cluster.spec.timers
    this.cluster.world.clock.setTimer(pick(this.cluster.world.random, leaderTakeoverMs), () => {
      this.takeoverPending = false
      const next = this.cluster.metaServers.find((m) => m.alive && m !== meta) ?? (meta.alive ? meta : undefined)
      if (next) this.lead(next)
    })
  }

  started(meta: MetaServer): void {
    if (this.leader || this.takeoverPending) return
    this.cluster.world.clock.setTimer(this.cluster.spec.timers.loneLeaderStartMs, () => {
      if (!this.leader && !this.takeoverPending && meta.alive) this.lead(meta)
    })
  }

  private lead(meta: MetaServer): void {
    this.leader = meta
    this.known = meta
    for (const server of this.cluster.servers) server.leaderChanged(true)
  }
}
