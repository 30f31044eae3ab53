import type {Gpid} from '../../../src/lib/rpc/custom-types.js'
import {RowStore} from './row-store.js'

/** One record of the private log. */
export interface Mutation {
  /** The request's arguments in thrift, as DUPLICATE carries them on; undefined for an empty write. */
  args: Buffer | undefined
  decree: number
  taskCode: string
  timestampUs: bigint
}

export const EMPTY_WRITE = 'RPC_REPLICATION_WRITE_EMPTY'

/**
 * The data of one partition: rows, log and decrees. All replicas of the partition share it: two-phase commit is
 * taken as read (prepared everywhere at once), which is why a failover loses nothing that was acknowledged, and
 * why what was prepared is committed by the next primary.
 */
export class Partition {
  /** C */
  committed = 0
  /** The commit point that the last record of the log carries: 2.4/2.5 ship only up to here (protocol.md §4.2). */
  committedOnDisk = 0
  /** Client writes ever: a partition without any has no checkpoint (measured.md §14). */
  clientWrites = 0
  lastPrepareMs = Number.NEGATIVE_INFINITY
  /** P */
  prepared = 0
  readonly rows = new RowStore()
  private firstDecree = 1
  private log: Mutation[] = []
  /** Commits that wait for their turn, by decree. */
  private readonly watchers: (() => void)[] = []
  private readonly waiting = new Map<number, (decree: number) => void>()

  constructor(readonly pid: Gpid) {}

  /** Appends to the log; `onCommit` runs when this decree is committed, in order of decrees. */
  prepare(mutation: Omit<Mutation, 'decree'>, nowMs: number, onCommit: (decree: number) => void): number {
    const decree = ++this.prepared
    this.log.push({...mutation, decree})
    this.committedOnDisk = this.committed
    this.lastPrepareMs = nowMs
    if (mutation.taskCode !== EMPTY_WRITE) this.clientWrites++
    this.waiting.set(decree, onCommit)
    return decree
  }

  /** Calls back once, when there may be more to ship than now. */
  onProgress(callback: () => void): void {
    this.watchers.push(callback)
  }

  /** Commits everything up to `decree`. */
  commit(decree: number): void {
    while (this.committed < Math.min(decree, this.prepared)) {
      const next = this.committed + 1
      const apply = this.waiting.get(next)
      this.waiting.delete(next)
      this.committed = next
      apply?.(next)
    }

    for (const watcher of this.watchers.splice(0)) watcher()
  }

  /** Up to which decree the log may be shipped. */
  loadable(shipsLastMutation: boolean): number {
    return shipsLastMutation ? this.committed : this.committedOnDisk
  }

  /** Records from `from` to `to`, both included, at most about `maxBytes` of arguments. */
  read(from: number, to: number, maxBytes: number): Mutation[] {
    if (from < this.firstDecree) {
      throw new Error(`log of ${this.pid.appId}.${this.pid.partitionIndex} was truncated below ${this.firstDecree}`)
    }

    const result: Mutation[] = []
    let bytes = 0
    for (let decree = from; decree <= to && (bytes < maxBytes || result.length === 0); decree++) {
      const mutation = this.log[decree - this.firstDecree]
      if (!mutation) break
      result.push(mutation)
      bytes += mutation.args?.length ?? 0
    }

    return result
  }

  /** Lets go of records up to `decree`. */
  truncate(decree: number): void {
    const count = Math.min(decree, this.committed) - this.firstDecree + 1
    if (count < 1024) return
    this.log = this.log.slice(count)
    this.firstDecree += count
  }

  /** Begins anew at a copied checkpoint's decree, as a follower does. */
  beginAt(decree: number): void {
    this.prepared = decree
    this.committed = decree
    this.committedOnDisk = decree
    this.firstDecree = decree + 1
    this.log = []
  }
}
