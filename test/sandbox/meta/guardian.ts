import type {Timer} from '../../../src/lib/clock.js'
import {PartitionStatus} from '../../../src/lib/rpc/structs/replica.js'
import {MetaFunctionLevel} from '../../../src/lib/rpc/structs/cluster.js'
import type {SimulatedCluster} from '../cluster.js'
import {pick} from '../random.js'
import type {ReplicaServer} from '../replica/server.js'
import {copyCheckpoint, followsAnother} from './follower.js'
import type {Membership, Table} from './state.js'

/** Retry of what waits for a leader. */
const RETRY_MS = 1000
/** replica_assign_delay_ms_for_dropouts: a lost replica is made anew elsewhere only after this. */
const REASSIGN_DELAY_MS = 300_000

/** Gives partitions their primaries and secondaries, in the steps in which metas do it (measured.md §0, §10). */
export class Guardian {
  private readonly timers = new Set<Timer>()
  private readonly deadSinceMs = new Map<string, number>()

  constructor(private readonly cluster: SimulatedCluster) {}

  private get world() {
    return this.cluster.world
  }

  /** Nothing of a cluster that was stopped goes on: what waits for a leader would wait for ever. */
  private later(delayMs: number, act: () => void): void {
    const timer = this.world.clock.setTimer(delayMs, () => {
      this.timers.delete(timer)
      act()
    })
    this.timers.add(timer)
  }

  stop(): void {
    for (const timer of this.timers) timer.cancel()
    this.timers.clear()
  }

  /** Begins to give replicas to a new or recalled table; its caller has answered already. */
  place(table: Table): void {
    const {timers} = this.cluster.spec
    const follower = followsAnother(table)
    const delayMs = pick(this.world.random, follower ? timers.followerPrimaryMs : timers.primaryMs)
    for (const index of table.memberships.keys()) {
      const spread = delayMs * (1 + 0.05 * this.world.random())
      this.later(spread, () => void this.openPrimary(table, index, follower))
    }
  }

  /** Places a table at once, all replicas of it: for tests that do not want to wait. */
  placeNow(table: Table): void {
    for (const index of table.memberships.keys()) {
      this.makePrimary(table, index, this.candidates(table, index)[0])
      while (this.addSecondary(table, index)) continue
    }
  }

  drop(table: Table): void {
    for (const [index, membership] of table.memberships.entries()) {
      for (const server of this.cluster.servers)
        server.release({appId: table.info.appId, partitionIndex: index}, {forget: true})
      membership.primary = undefined
      membership.secondaries = []
    }
  }

  /** A server's process ended: its partitions get other primaries after its lease (measured.md §10). */
  serverDied(address: string): void {
    const {timers} = this.cluster.spec
    this.deadSinceMs.set(address, this.world.clock.nowMs())
    this.later(pick(this.world.random, timers.replaceDeadMs), () => this.replaceDead(address))
    this.later(REASSIGN_DELAY_MS, () => {
      if (this.deadSinceMs.has(address)) this.refill()
    })
  }

  /** A server's process is there again: it gets its replicas back some seconds later (measured.md §10). */
  serverStarted(address: string): void {
    if (!this.deadSinceMs.delete(address)) return
    // Its new incarnation is noticed at once; whatever it led has lost its primary.
    this.removeFromAll(address)
    this.later(pick(this.world.random, this.cluster.spec.timers.relearnMs), () => this.refill())
  }

  isListedAlive(address: string): boolean {
    const since = this.deadSinceMs.get(address)
    return since === undefined || this.world.clock.nowMs() < since + this.cluster.spec.timers.unaliveMs
  }

  /** Moves a primary, as the balancer would: ballot + 1, the old one becomes secondary. */
  movePrimary(table: Table, index: number, to: string): void {
    const membership = table.memberships[index]!
    const from = membership.primary
    if (from === to) return
    membership.secondaries = membership.secondaries.filter((s) => s !== to)
    if (from !== undefined) membership.secondaries.push(from)
    membership.primary = undefined
    this.makePrimary(table, index, to)
  }

  /** Gives every partition that lacks replicas what it can have. */
  refill(): void {
    if (!this.mayAct()) {
      this.later(RETRY_MS, () => this.refill())
      return
    }

    for (const table of this.cluster.state.tables.values()) {
      if (!this.cluster.state.availableTable(table.info.appId)) continue
      for (const [index, membership] of table.memberships.entries()) {
        if (membership.ballot === 0) continue
        // Only a server that had the data can lead it again.
        const heirs = this.candidates(table, index).filter((address) => membership.lastDrops.includes(address))
        if (membership.primary === undefined) this.makePrimary(table, index, heirs.at(-1))
        while (this.addSecondary(table, index)) continue
      }
    }
  }

  /** Adds secondaries step by step, after a change of the replica count or at creation. */
  grow(table: Table, index: number): void {
    this.later(this.cluster.spec.timers.guardianStepMs, () => {
      const membership = table.memberships[index]!
      if (!this.cluster.state.availableTable(table.info.appId)) return
      if (this.mayAct() && membership.primary !== undefined) {
        const added = this.addSecondary(table, index)
        // master adds all in one step (measured-master.md §5); 2.4/2.5 one per step (measured.md §0).
        while (added && this.cluster.spec.traits.isMaster && this.addSecondary(table, index)) continue
      }

      if (1 + membership.secondaries.length < table.info.maxReplicaCount) this.grow(table, index)
    })
  }

  private async openPrimary(table: Table, index: number, follower: boolean): Promise<void> {
    if (!this.cluster.state.availableTable(table.info.appId)) return
    const target = this.candidates(table, index)[0]
    const ready =
      this.mayAct() && target !== undefined && (!follower || (await copyCheckpoint(this.cluster, table, index, target)))
    if (!this.cluster.state.availableTable(table.info.appId)) return
    if (!ready) {
      // protocol.md §3.12: no checkpoint to copy, no primary; tried again for ever.
      const {guardianStepMs} = this.cluster.spec.timers
      this.later(follower ? guardianStepMs : RETRY_MS, () => void this.openPrimary(table, index, follower))
      return
    }

    this.makePrimary(table, index, target)
    if (table.info.maxReplicaCount > 1) this.grow(table, index)
  }

  private mayAct(): boolean {
    const leader = this.cluster.leader
    return leader !== undefined && leader.level > MetaFunctionLevel.fl_freezed
  }

  /** Alive servers that do not hold it yet, in an order that spreads primaries. */
  private candidates(table: Table, index: number): string[] {
    const {servers} = this.cluster
    const {primary, secondaries} = table.memberships[index]!
    const first = (table.info.appId + index) % servers.length
    return [...servers.slice(first), ...servers.slice(0, first)]
      .filter((s) => s.alive && s.address !== primary && !secondaries.includes(s.address))
      .map((s) => s.address)
  }

  private makePrimary(table: Table, index: number, address: string | undefined): void {
    const server = address === undefined ? undefined : this.cluster.serverAt(address)
    if (!server?.alive) return
    const membership = table.memberships[index]!
    membership.primary = address
    membership.ballot++
    this.publish(table, index, membership)
    const replica = server.replica({appId: table.info.appId, partitionIndex: index})
    if (replica) server.lead(replica)
  }

  private addSecondary(table: Table, index: number): boolean {
    const membership = table.memberships[index]!
    const address = this.candidates(table, index)[0]
    if (address === undefined || membership.primary === undefined) return false
    if (1 + membership.secondaries.length >= table.info.maxReplicaCount) return false
    membership.secondaries.push(address)
    membership.ballot++
    this.publish(table, index, membership)
    return true
  }

  /** Tells the servers what a partition's membership now is. */
  private publish(table: Table, index: number, membership: Membership): void {
    const partition = table.partitions[index]!
    membership.lastCommittedDecree = partition.committed
    const open = (address: string, role: PartitionStatus.PS_PRIMARY | PartitionStatus.PS_SECONDARY) => {
      const server: ReplicaServer | undefined = this.cluster.serverAt(address)
      if (server?.alive)
        server.hold(partition, {...table.info, envs: new Map(table.info.envs)}, membership.ballot, role)
    }

    for (const secondary of membership.secondaries) open(secondary, PartitionStatus.PS_SECONDARY)
    if (membership.primary !== undefined) open(membership.primary, PartitionStatus.PS_PRIMARY)
  }

  private replaceDead(address: string): void {
    if (!this.deadSinceMs.has(address)) return
    if (!this.mayAct()) {
      this.later(RETRY_MS, () => this.replaceDead(address))
      return
    }

    this.removeFromAll(address)
  }

  private removeFromAll(address: string): void {
    for (const table of this.cluster.state.tables.values()) {
      for (const [index, membership] of table.memberships.entries()) {
        const led = membership.primary === address
        if (!led && !membership.secondaries.includes(address)) continue
        membership.lastDrops = [...membership.lastDrops.filter((d) => d !== address), address]
        membership.secondaries = membership.secondaries.filter((s) => s !== address)
        membership.ballot++
        if (led) {
          membership.primary = undefined
          const next = membership.secondaries.find((s) => this.cluster.serverAt(s)?.alive)
          membership.secondaries = membership.secondaries.filter((s) => s !== next)
          this.makePrimary(table, index, next)
        } else {
          this.publish(table, index, membership)
        }
      }
    }
  }
}
