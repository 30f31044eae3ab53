import type {ValueOf} from '../../../src/lib/rpc/codec.js'
import {dataCalls} from '../../../src/lib/rpc/calls.js'
import {
  type DuplicationEntry,
  DuplicationFailMode,
  DuplicationStatus,
  type duplicationConfirmEntry,
} from '../../../src/lib/rpc/structs/duplication.js'
import {gpidText} from './gate.js'
import {EMPTY_WRITE, type Mutation} from './partition.js'
import type {Replica} from './replica.js'
import {makeBatches, Shipping} from './shipping.js'

/** Bytes of log that one load takes at most: a backlog ships in loads of this size. */
const MAX_LOAD_BYTES = 64 << 10

/** Never shipped: empty writes, and atomic ones that were logged before the flag came (protocol.md §8.5). */
const SKIPPED = new Set([EMPTY_WRITE, dataCalls.incr.name, dataCalls.checkAndSet.name, dataCalls.checkAndMutate.name])

/**
 * One duplication of one partition on its primary: L and K, the start decree, and the pipeline load → ship → load.
 * A new primary begins at K and ships (K, L] once more (measured.md E1).
 */
export class Duplicator {
  /** K as its server knows it: what the meta had stored at the sync before; -1 for none. */
  confirmed: number
  failMode: DuplicationFailMode
  readonly dupid: number
  /** L: the last decree that the target acknowledged. */
  last: number
  /** What it left out last. */
  lost = 0
  readMutations = 0
  readonly remote: string
  readonly remoteTable: string
  readonly shipping: Shipping
  status: DuplicationStatus
  private checkpointPrepared = false
  /** Counts pipelines: an old one's answers are nobody's. 0: not running. */
  private pipeline = 0
  private pipelines = 0
  private inFlight = false
  private readonly startPoint: number

  constructor(
    private readonly replica: Replica,
    entry: DuplicationEntry,
  ) {
    const {committed, committedOnDisk} = replica.partition
    const {isMaster} = replica.server.cluster.spec.traits
    const stored = entry.progress?.get(replica.pid.partitionIndex) ?? -1
    this.confirmed = stored
    // Only the first primary knows where it began; after a change 2.4/2.5 call any checkpoint prepared (protocol.md §3.12).
    this.startPoint = stored === -1 ? (isMaster ? Math.max(committed, 1) : committedOnDisk) : -1
    this.last = stored === -1 ? (isMaster ? committed : committedOnDisk) : stored
    this.failMode = entry.failMode ?? DuplicationFailMode.FAIL_SLOW
    this.status = entry.status
    this.dupid = entry.dupid
    this.remote = entry.remote
    this.remoteTable = entry.remoteAppName ?? replica.app.appName
    this.shipping = new Shipping(replica, this.remote, this.remoteTable)
    this.enter()
  }

  get duplicating(): boolean {
    return this.pipeline !== 0
  }

  get notConfirmed(): number {
    return Math.max(0, this.replica.partition.committed - this.confirmed)
  }

  get notDuplicated(): number {
    return Math.max(0, this.replica.partition.committed - this.last)
  }

  /** What a dup sync brings. */
  update(entry: DuplicationEntry): void {
    this.confirmed = Math.max(this.confirmed, entry.progress?.get(this.replica.pid.partitionIndex) ?? -1)
    this.last = Math.max(this.last, this.confirmed)
    this.failMode = entry.failMode ?? this.failMode
    this.checkpointPrepared = this.startPoint <= this.replica.durable
    if (this.status === entry.status && entry.status !== DuplicationStatus.DS_PREPARE) return
    this.status = entry.status
    this.enter()
  }

  /** What the next dup sync reports, if anything. */
  report(): undefined | ValueOf<typeof duplicationConfirmEntry> {
    const preparing = this.status === DuplicationStatus.DS_PREPARE && this.checkpointPrepared
    if (this.last === this.confirmed && !preparing) return undefined
    return {
      checkpointPrepared: this.checkpointPrepared,
      confirmedDecree: this.last,
      dupid: this.dupid,
      lastCommittedDecree: this.replica.partition.committed,
    }
  }

  close(): void {
    const isRunning = this.inFlight && this.shipping.isSending
    if (isRunning && this.replica.server.cluster.hazards.crashWhenStoppedUnderLoad) {
      // measured.md §14: a double free when a running pipeline is cancelled. One that only tries again, because the target's table is
      // gone, was removed without harm (§10).
      this.replica.server.abort('double free while stopping a duplication')
    }

    this.halt()
  }

  /** Ends with its process. */
  halt(): void {
    this.pipeline = 0
    this.inFlight = false
  }

  private enter(): void {
    if (this.status === DuplicationStatus.DS_PREPARE) this.replica.emergencyCheckpoint(this.startPoint)
    else if (this.status === DuplicationStatus.DS_PAUSE) this.close()
    else if (this.status === DuplicationStatus.DS_LOG && this.pipeline === 0) {
      this.pipeline = ++this.pipelines
      this.load(this.pipeline)
    }
  }

  private load(pipeline: number): void {
    if (pipeline !== this.pipeline) return
    const {partition, server} = this.replica
    const {traits} = server.cluster.spec
    const to = partition.loadable(traits.shipsLastMutation)
    if (to <= this.last || !this.replica.isPrimary) {
      this.waitForMore(pipeline)
      return
    }

    const mutations = partition.read(this.last + 1, to, MAX_LOAD_BYTES)
    const last = mutations.at(-1)!.decree
    this.readMutations += mutations.length
    const shipped: Mutation[] = mutations.filter((m) => !SKIPPED.has(m.taskCode))
    if (server.logUnreadable && shipped.length > 0) {
      this.meetUnreadable(pipeline, last, shipped.length)
      return
    }

    const clusterId = server.config.clusterId(server.cluster.name) ?? 0
    const batches = makeBatches(shipped, clusterId, server.config.number('duplicate_log_batch_bytes'))
    const done = () => {
      this.inFlight = false
      this.last = Math.max(this.last, last)
      this.load(pipeline)
    }

    if (batches.size === 0) {
      done()
    } else {
      this.inFlight = true
      this.shipping.ship(batches, () => pipeline === this.pipeline, done)
    }
  }

  /** After many tries FAIL_SKIP leaves it out and counts on; what was in it is lost (load_from_private_log.cpp, mutation_batch.cpp). */
  private meetUnreadable(pipeline: number, last: number, count: number): void {
    const {server} = this.replica
    if (this.failMode === DuplicationFailMode.FAIL_SKIP) {
      this.lost = count
      server.counters.lost(gpidText(this.replica), count)
      this.last = Math.max(this.last, last)
    }

    server.after(server.timers.shipRetryMs, () => this.load(pipeline))
  }

  /** Looks again within the load delay after something was written; while it is not primary, now and then. */
  private waitForMore(pipeline: number): void {
    const {partition, server} = this.replica
    const {loadDelayMs, shipRetryMs} = server.timers
    if (!this.replica.isPrimary) {
      server.after(shipRetryMs, () => this.load(pipeline))
      return
    }

    partition.onProgress(() => {
      server.after(server.world.random() * loadDelayMs, () => this.load(pipeline))
    })
  }
}
