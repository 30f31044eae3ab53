import {
  lockHeld,
  lockLost,
  type AcquireOptions,
  type LockNote,
  type SharedLock,
  type SharedLocks,
} from '../../src/lib/metaproxy/shared-lock.js'
import {sleep, type Clock} from '../../src/lib/clock.js'
import type {MemoryNodes} from '../sandbox/memory-nodes.js'

const POLL_MS = 300

interface Held {
  note: LockNote
  path: string
}

/** A model of the locks in ZooKeeper: nodes below the table's node, whose numbers never come again. */
export class MemoryLocks implements SharedLocks {
  private readonly held = new Map<string, Held>()
  private numbers = 0

  constructor(
    private readonly clock: Clock,
    private readonly nodes: MemoryNodes,
    private readonly root: string,
  ) {}

  async acquire(options: AcquireOptions): Promise<SharedLock> {
    await this.take(options, options.waitMs)
    let lost = false
    const {note, table} = options
    const mine = () => this.held.get(table)?.note.token === note.token
    return {
      async check() {
        lost ||= !mine()
        if (lost) throw lockLost(table, 'somebody expired it')
      },
      regain: async () => {
        lost ||= !mine()
        if (!mine()) await this.take(options, 0)
      },
      release: async () => {
        if (mine()) this.expire(table)
      },
      versionCheck: () => (mine() ? {path: this.held.get(table)!.path, version: 0} : undefined),
    }
  }

  /** As when ZooKeeper has not heard from the holder for its session's time. */
  expire(table: string): void {
    const held = this.held.get(table)
    this.held.delete(table)
    if (held) this.nodes.remove(held.path)
  }

  async holder(table: string): Promise<LockNote | undefined> {
    return this.held.get(table)?.note
  }

  private async take({isDead, note, onWait, signal, table}: AcquireOptions, waitMs: number): Promise<void> {
    const startMs = this.clock.nowMs()
    for (;;) {
      const holder = this.held.get(table)?.note
      if (holder && (await isDead(holder))) this.expire(table)
      if (!this.held.has(table)) break
      if (this.clock.nowMs() - startMs >= waitMs) throw lockHeld(table, holder!)
      onWait?.(holder!)
      await sleep(this.clock, POLL_MS, signal)
    }

    const path = `${this.root}/${table}/migration-lock-${this.numbers++}`
    this.nodes.put(path, '')
    this.held.set(table, {note, path})
  }
}
