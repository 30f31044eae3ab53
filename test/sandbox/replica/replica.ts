import type {AppInfo} from '../../../src/lib/rpc/structs/table.js'
import {PartitionStatus} from '../../../src/lib/rpc/structs/replica.js'
import {type Deny, DENY_ENV, parseDeny, Throttles} from './deny.js'
import type {Duplicator} from './duplicator.js'
import {EMPTY_WRITE, type Partition} from './partition.js'
import type {Row} from './row-store.js'
import {ScanContexts} from './scanner.js'
import type {ReplicaServer} from './server.js'

/** A copy of a partition's rows at a decree, on one server's disk. */
export interface Checkpoint {
  decree: number
  rows: readonly Row[]
}

/** One replica of a partition on one server. */
export class Replica {
  atomicIdempotent: boolean
  ballot: number
  checkpoint: Checkpoint | undefined
  /** Nothing until the server's next config sync: a replica opened anew knows no deny (protocol.md §13). */
  deny: Deny | undefined
  readonly duplicators = new Map<number, Duplicator>()
  duplicating: boolean
  role: PartitionStatus.PS_PRIMARY | PartitionStatus.PS_SECONDARY
  readonly scans: ScanContexts
  readonly throttles: Throttles
  private checkpointing = false
  private nextGroupCheckMs: number

  constructor(
    readonly server: ReplicaServer,
    readonly partition: Partition,
    readonly app: AppInfo,
    membership: {ballot: number; role: Replica['role']},
  ) {
    this.ballot = membership.ballot
    this.role = membership.role
    this.duplicating = app.duplicating ?? false
    this.atomicIdempotent = app.atomicIdempotent ?? false
    this.scans = new ScanContexts(server.world, server.timers.scanContextMs)
    this.throttles = new Throttles(app.partitionCount, server.world.clock)
    // A fixed phase per partition (measured.md §3).
    this.nextGroupCheckMs = server.world.clock.nowMs() + server.world.random() * this.groupCheckMs
  }

  get pid() {
    return this.partition.pid
  }

  /** What it says it is: nothing at all while its server knows no meta (measured.md §10b). */
  get status(): PartitionStatus {
    return this.server.connected ? this.role : PartitionStatus.PS_INACTIVE
  }

  get isPrimary(): boolean {
    return this.status === PartitionStatus.PS_PRIMARY
  }

  get durable(): number {
    return this.checkpoint?.decree ?? 0
  }

  private get groupCheckMs(): number {
    return this.server.config.number('group_check_interval_ms')
  }

  /** What the config sync brings (protocol.md §6.3). */
  applyTable(app: AppInfo): void {
    const envs = Object.fromEntries(app.envs)
    this.deny = parseDeny(envs[DENY_ENV])
    this.throttles.update(envs)
    this.duplicating = app.duplicating ?? false
    this.atomicIdempotent = app.atomicIdempotent ?? false
  }

  /** When its next group check is due. */
  get groupCheckDueMs(): number {
    return this.nextGroupCheckMs
  }

  /** A primary that had no write for a whole interval makes an empty one (protocol.md §4.2). */
  groupCheck(): void {
    const dueMs = this.nextGroupCheckMs
    this.nextGroupCheckMs = Math.max(dueMs + this.groupCheckMs, this.server.world.clock.nowMs())
    if (!this.isPrimary || this.server.config.boolean('empty_write_disabled')) return
    // By the time at which the check was due, not at which it ran: a late timer must not shift the next one.
    if (dueMs < this.partition.lastPrepareMs + this.groupCheckMs) return
    this.write({args: undefined, taskCode: EMPTY_WRITE, timestampUs: this.timestampUs()}, () => {}, dueMs)
  }

  timestampUs(): bigint {
    return BigInt(Math.floor(this.server.world.clock.wallMs() * 1000))
  }

  /** Prepares and, after the prepare delay, commits a mutation. `apply` changes the rows and answers the client. */
  write(mutation: Parameters<Partition['prepare']>[0], apply: (decree: number) => void, nowMs?: number): number {
    const {partition, server} = this
    const decree = partition.prepare(mutation, nowMs ?? server.world.clock.nowMs(), apply)
    const delayMs = server.prepareDelayMs
    if (delayMs <= 0) {
      partition.commit(decree)
    } else {
      server.world.clock.setTimer(delayMs, () => {
        // A dead primary commits nothing; its successor does.
        if (server.alive) partition.commit(decree)
      })
    }

    return decree
  }

  /** Writes its rows to disk; no client write ever: nothing to write (measured.md §14). */
  takeCheckpoint({evenEmpty = false} = {}): void {
    const {committed, clientWrites} = this.partition
    if (committed === 0 || (clientWrites === 0 && !evenEmpty)) return
    this.checkpoint = {decree: committed, rows: this.partition.rows.snapshot()}
  }

  /** The checkpoint that a duplication asks for; takes its time (protocol.md §3.12). */
  emergencyCheckpoint(startDecree: number): void {
    // master asks for a decree of at least 1 and makes one if need be, so that no partition is without checkpoint.
    const {isMaster} = this.server.cluster.spec.traits
    const wanted = isMaster ? Math.max(1, startDecree) : startDecree
    if (wanted <= this.durable || this.checkpointing) return
    if (isMaster && this.partition.committed === 0) {
      this.write({args: undefined, taskCode: EMPTY_WRITE, timestampUs: this.timestampUs()}, () => {})
    }

    this.checkpointing = true
    this.server.after(this.server.timers.checkpointMs, () => {
      this.checkpointing = false
      this.takeCheckpoint({evenEmpty: true})
    })
  }

  close(): void {
    for (const duplicator of this.duplicators.values()) duplicator.close()
    this.duplicators.clear()
    this.scans.clear()
  }
}
