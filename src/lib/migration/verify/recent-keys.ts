import {rowId} from './compare.js'

/** Each is read twice in the write-deny window: so many take a few round trips, 16 at once. */
const MOST_KEYS = 256

export interface RecentKey {
  key: Buffer
  partition: number
}

/**
 * The keys that are known to have been written lately: nothing that a server tells carries the time of a write, but a row that the
 * target did not have yet when it was compared was written a moment before. The newest are kept.
 */
export class RecentKeys {
  private readonly keys = new Map<string, RecentKey>()

  /** @param key kept as it is: no piece of a batch, which would stay in memory with it */
  add(partition: number, key: Buffer): void {
    const id = rowId(partition, key)
    this.keys.delete(id)
    this.keys.set(id, {key, partition})
    if (this.keys.size > MOST_KEYS) this.keys.delete(this.keys.keys().next().value!)
  }

  /** The one seen last comes first. */
  newestFirst(): RecentKey[] {
    return [...this.keys.values()].reverse()
  }
}
