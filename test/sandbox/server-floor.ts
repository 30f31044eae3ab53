import type {Clock} from '../../src/lib/clock.js'
import type {Sandbox, SimulatedReplicaServer} from './index.js'
import {EMPTY_WRITE, type Partition} from './replica/partition.js'

const LOOK_MS = 20

/** When something came to be on a server; `Clock.nowMs`. */
export interface ServerTick {
  address: string
  atMs: number
}

/** What the servers themselves needed, whoever migrates; ms. */
export interface Floor {
  /** First and last primary of the source that refused writes. */
  firstTickMs: number
  lastTickMs: number
  /** Between the two. */
  spreadMs: number
  /** From the last primary's refusal until the last client write of every partition was acknowledged by the target. */
  shipMs: number
  /** From the switch until the last primary of the source refused everyone. */
  closeMs?: number
}

/**
 * Watches the source's servers from inside: when each of them really heard of the deny and of the closing, when each partition took its
 * last client write, and when the target had acknowledged it. The floor of a cutover, to hold what the tool says against.
 */
export class ServerFloor {
  /** When each server's replicas of the table came to refuse writes, and to refuse everyone. */
  readonly closed: ServerTick[] = []
  readonly denied: ServerTick[] = []
  /** By partition, `Clock.nowMs`: when its last client write was taken, and when the target had it. */
  readonly lastWriteMs = new Map<number, number>()
  readonly shippedMs = new Map<number, number>()
  private readonly lastDecree = new Map<number, number>()
  private stopped = false

  constructor(
    private readonly sandbox: Sandbox,
    private readonly tableName: string,
    private readonly clock: Clock,
  ) {
    for (const server of sandbox.source.servers) this.listen(server)
    for (const [index, partition] of this.partitions.entries()) this.hear(index, partition)
  }

  stop(): void {
    this.stopped = true
  }

  /** @throws Error while the cutover is not through */
  floor(switchedMs?: number): Floor {
    const primaries = new Set(this.table.memberships.map(({primary}) => primary))
    const ticks = this.denied.filter(({address}) => primaries.has(address)).map(({atMs}) => atMs)
    const closes = this.closed.filter(({address}) => primaries.has(address)).map(({atMs}) => atMs)
    if (ticks.length < primaries.size) throw new Error('not every primary was denied')
    if (this.shippedMs.size < this.partitions.length) throw new Error('not every partition was shipped')
    const [firstTickMs, lastTickMs] = [Math.min(...ticks), Math.max(...ticks)]
    return {
      ...(switchedMs === undefined || closes.length < primaries.size
        ? {}
        : {closeMs: Math.max(0, Math.max(...closes) - switchedMs)}),
      firstTickMs,
      lastTickMs,
      shipMs: Math.max(0, Math.max(...this.shippedMs.values()) - lastTickMs),
      spreadMs: lastTickMs - firstTickMs,
    }
  }

  private get table() {
    return this.sandbox.source.table(this.tableName)
  }

  private get partitions(): Partition[] {
    return this.table.partitions
  }

  private listen(server: SimulatedReplicaServer): void {
    const sync = server.configSync.bind(server)
    server.configSync = () => {
      const before = this.denyOf(server)
      sync()
      const after = this.denyOf(server)
      if (after === before || after === undefined) return
      const tick = {address: server.address, atMs: this.clock.nowMs()}
      if (after === 'all') this.closed.push(tick)
      else this.denied.push(tick)
      if (after === 'write' && this.denied.length === 1) this.look()
    }
  }

  private denyOf(server: SimulatedReplicaServer): 'all' | 'write' | undefined {
    const {appId} = this.table.info
    const deny = server.replicas.find(({pid}) => pid.appId === appId)?.deny
    return deny?.read ? 'all' : deny?.write ? 'write' : undefined
  }

  private hear(index: number, partition: Partition): void {
    const prepare = partition.prepare.bind(partition)
    partition.prepare = (mutation, nowMs, onCommit) => {
      const decree = prepare(mutation, nowMs, onCommit)
      if (mutation.taskCode !== EMPTY_WRITE) {
        this.lastDecree.set(index, decree)
        this.lastWriteMs.set(index, nowMs)
        this.shippedMs.delete(index)
      }

      return decree
    }
  }

  /** Looks again and again how far the primaries have shipped, from the first refusal on. */
  private look(): void {
    if (this.stopped) return
    for (const index of this.partitions.keys()) {
      if (this.shippedMs.has(index)) continue
      const shipped = this.shippedOf(index)
      if (shipped >= (this.lastDecree.get(index) ?? 0)) this.shippedMs.set(index, this.clock.nowMs())
    }

    this.clock.setTimer(LOOK_MS, () => this.look())
  }

  private shippedOf(index: number): number {
    const address = this.table.memberships[index]?.primary
    const server = address === undefined ? undefined : this.sandbox.source.serverAt(address)
    const replica = server?.replica({appId: this.table.info.appId, partitionIndex: index})
    return Math.max(-1, ...[...(replica?.duplicators.values() ?? [])].map(({last}) => last))
  }
}
