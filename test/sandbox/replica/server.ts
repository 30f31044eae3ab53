import type {Gpid} from '../../../src/lib/rpc/custom-types.js'
import type {DuplicationEntry} from '../../../src/lib/rpc/structs/duplication.js'
import {PartitionStatus} from '../../../src/lib/rpc/structs/replica.js'
import type {AppInfo} from '../../../src/lib/rpc/structs/table.js'
import type {HttpHandler} from '../http.js'
import {SimulatedProcess} from '../process.js'
import {pick} from '../random.js'
import type {WireServer} from '../rpc-dispatch.js'
import {registerAdmin} from './admin.js'
import {Counters} from './counters.js'
import {Duplicator} from './duplicator.js'
import {replicaHttp} from './http.js'
import type {Partition} from './partition.js'
import {registerReads} from './reads.js'
import {type Checkpoint, Replica} from './replica.js'
import {registerWrites} from './writes.js'

interface OnDisk {
  checkpoint: Checkpoint | undefined
  duplicating: boolean
}

const keyOf = ({appId, partitionIndex}: Gpid) => `${appId}.${partitionIndex}`

/** A replica server: holds replicas, asks its metas by timers, tells nobody anything by itself. */
export class ReplicaServer extends SimulatedProcess {
  /** Whether it knows a meta leader; without one all its replicas are inactive (measured.md §10b). */
  connected = true
  counters = new Counters(this.world)
  /** Set by tests: free room on its disks. */
  diskAvailableMb = 100_000
  /** Remote command `replica.deny-client`: every client request is dropped. */
  denyAll = false
  /** Set by tests: from a mutation's prepare to its commit. */
  prepareDelayMs = this.timers.prepareMs
  /** Its log cannot be read by a duplication: retried for ever, or left out in FAIL_SKIP. */
  logUnreadable = false
  /** Set by tests: it never config-syncs (cut off from its metas in that one respect). */
  ticksStopped = false
  private readonly disk = new Map<string, OnDisk>()
  private readonly held = new Map<string, Replica>()

  protected override readonly http: HttpHandler = (request) => replicaHttp(this, request)

  get replicas(): Replica[] {
    return [...this.held.values()]
  }

  replica(pid: Gpid): Replica | undefined {
    return this.held.get(keyOf(pid))
  }

  /** Opens a replica, or changes the role of one that is open. A replica opened anew knows no deny (protocol.md §13). */
  hold(partition: Partition, app: AppInfo, ballot: number, role: Replica['role']): Replica {
    const key = keyOf(partition.pid)
    let replica = this.held.get(key)
    if (replica) {
      const wasPrimary = replica.role === PartitionStatus.PS_PRIMARY
      replica.ballot = ballot
      replica.role = role
      if (wasPrimary && role !== PartitionStatus.PS_PRIMARY) this.dropDuplicators(replica)
    } else {
      replica = new Replica(this, partition, app, {ballot, role})
      const onDisk = this.disk.get(key)
      replica.checkpoint = onDisk?.checkpoint
      if (onDisk) replica.duplicating = onDisk.duplicating
      this.held.set(key, replica)
      this.counters.watch(key, () => partition.rows.bytes / (1 << 20))
      this.watchGroup(replica)
    }

    return replica
  }

  /** The replica is now primary: what its predecessors prepared is committed, and its duplications begin at K. */
  lead(replica: Replica): void {
    replica.partition.commit(replica.partition.prepared)
    // measured.md E1: shipping went on "at once with the new primary".
    const entries = this.cluster.leaderState()?.duplications.entriesOf(replica.pid.appId)
    if (entries) this.updateDuplicators(replica, entries)
  }

  release(pid: Gpid, {forget = false} = {}): void {
    const key = keyOf(pid)
    this.held.get(key)?.close()
    this.held.delete(key)
    this.counters.forget(key)
    if (forget) this.disk.delete(key)
  }

  /** What it has on disk of a partition that it does not hold now. */
  checkpointOf(pid: Gpid): Checkpoint | undefined {
    return this.replica(pid)?.checkpoint ?? this.disk.get(keyOf(pid))?.checkpoint
  }

  /** Meta leader lost (`undefined`) or there again: it notices some seconds later. */
  leaderChanged(leaderExists: boolean): void {
    const generation = ++this.leaderGeneration
    if (leaderExists === this.connected) return
    const delay = leaderExists ? this.timers.reconnectMs : this.timers.disconnectMs
    this.after(pick(this.world.random, delay), () => {
      if (generation !== this.leaderGeneration) return
      this.connected = leaderExists
      // On connecting it asks for its configuration first (measured.md §10b).
      if (leaderExists) this.configSync()
    })
  }

  private leaderGeneration = 0

  /** Envs and the duplicating flag reach the replicas only here (protocol.md §6.3). */
  configSync(): void {
    if (this.ticksStopped || !this.connected) return
    const state = this.cluster.leaderState()
    if (!state) return
    for (const replica of this.replicas) {
      const app = state.availableTable(replica.pid.appId)
      if (app) replica.applyTable(app.info)
    }
  }

  /** Reports L, learns status and K (protocol.md §3.12). */
  dupSync(): void {
    if (!this.connected) return
    const state = this.cluster.leaderState()
    if (!state) return
    const primaries = this.replicas.filter((r) => r.isPrimary)
    let pending = 0
    for (const {duplicators} of primaries) for (const d of duplicators.values()) pending += d.notDuplicated
    this.counters.gauge('replica*eon.replica_stub*dup.pending_mutations_count', () => pending)
    const reports = primaries.map((replica) => ({
      confirms: [...replica.duplicators.values()].flatMap((d) => d.report() ?? []),
      pid: replica.pid,
    }))
    const answer = state.duplications.sync(new Set(primaries.map((r) => r.pid.appId)), reports)
    for (const replica of this.replicas) this.updateDuplicators(replica, answer.get(replica.pid.appId) ?? [])
  }

  private updateDuplicators(replica: Replica, entries: DuplicationEntry[]): void {
    // A secondary drops what it had; so does a primary whose table has no duplication any more.
    const wanted = replica.isPrimary ? entries : []
    if (this.cluster.spec.traits.isMaster && wanted.length > 0) replica.duplicating = true
    for (const [dupid, duplicator] of replica.duplicators) {
      if (wanted.some((entry) => entry.dupid === dupid)) continue
      duplicator.close()
      replica.duplicators.delete(dupid)
    }

    for (const entry of wanted) {
      const known = replica.duplicators.get(entry.dupid)
      if (known) known.update(entry)
      else replica.duplicators.set(entry.dupid, new Duplicator(replica, entry))
    }
  }

  private dropDuplicators(replica: Replica): void {
    for (const duplicator of replica.duplicators.values()) duplicator.close()
    replica.duplicators.clear()
  }

  private watchGroup(replica: Replica): void {
    const arm = () => {
      this.after(replica.groupCheckDueMs - this.world.clock.nowMs(), () => {
        if (this.held.get(keyOf(replica.pid)) !== replica) return
        replica.groupCheck()
        arm()
      })
    }

    arm()
  }

  /** One record of everything that is written to disk, now and then. */
  private checkpointAll(): void {
    for (const replica of this.replicas) {
      if (replica.partition.committed > replica.durable) replica.takeCheckpoint()
      if (replica.duplicators.size === 0 && replica.isPrimary && !replica.duplicating) {
        replica.partition.truncate(replica.durable)
      }
    }
  }

  protected override register(wire: WireServer): void {
    registerAdmin(this, wire)
    registerReads(this, wire)
    registerWrites(this, wire)
  }

  protected override onBoot(): void {
    const {random} = this.world
    const {timers} = this
    this.world.replicaServers.set(this.address, this)
    this.connected = this.cluster.leaderState() !== undefined
    this.counters = new Counters(this.world)
    this.counters.gauge('replica*eon.replica_stub*disk.available.total(MB)', () => this.diskAvailableMb)
    const startInterval = this.config.number('config_sync_interval_ms')
    // On master and 2.4 the timer never hears of a change (measured-master.md §1, protocol.md §13).
    const syncMs = this.cluster.spec.traits.syncIntervalIsMutable
      ? () => this.config.number('config_sync_interval_ms')
      : () => startInterval
    this.every(random() * startInterval, syncMs, () => this.configSync())
    this.every(
      random() * timers.dupSyncMs,
      () => timers.dupSyncMs,
      () => this.dupSync(),
    )
    this.every(
      timers.perfCounterMs,
      () => timers.perfCounterMs,
      () => this.counters.refresh(timers.perfCounterMs),
    )
    this.every(
      random() * timers.checkpointIntervalMs,
      () => timers.checkpointIntervalMs,
      () => this.checkpointAll(),
    )
  }

  protected override onHalt(): void {
    for (const replica of this.replicas) {
      this.disk.set(keyOf(replica.pid), {checkpoint: replica.checkpoint, duplicating: replica.duplicating})
      for (const duplicator of replica.duplicators.values()) duplicator.halt()
      replica.duplicators.clear()
      replica.scans.clear()
    }

    this.held.clear()
    this.denyAll = false
  }
}
