import {
  type DuplicationEntry,
  DuplicationFailMode,
  DuplicationStatus,
  type duplicationConfirmEntry,
} from '../../../src/lib/rpc/structs/duplication.js'
import type {ValueOf} from '../../../src/lib/rpc/codec.js'

type Confirm = ValueOf<typeof duplicationConfirmEntry>

interface Progress {
  lastCommitted: number
  lastUpdateMs: number
  prepared: boolean
  /** K: what ZooKeeper holds; -1 for nothing yet. */
  stored: number
}

const {DS_APP, DS_INIT, DS_LOG, DS_PAUSE, DS_PREPARE, DS_REMOVED} = DuplicationStatus

/** Legal changes of status (protocol.md §3.11); to itself and to DS_REMOVED always. */
const LEGAL: [DuplicationStatus, DuplicationStatus][] = [
  [DS_INIT, DS_PREPARE],
  [DS_INIT, DS_LOG],
  [DS_PREPARE, DS_APP],
  [DS_APP, DS_LOG],
  [DS_PAUSE, DS_LOG],
  [DS_LOG, DS_PAUSE],
]

/** One duplication of one table as its meta keeps it. */
export class Duplication {
  /** A call to the target's metas is under way. */
  busy = false
  failMode = DuplicationFailMode.FAIL_SLOW
  readonly progress: Progress[]
  status = DS_INIT

  constructor(
    readonly dupid: number,
    readonly createTsMs: number,
    readonly remote: {cluster: string; replicaCount: number; table: string},
    partitionCount: number,
  ) {
    this.progress = Array.from({length: partitionCount}, () => ({
      lastCommitted: -1,
      lastUpdateMs: Number.NEGATIVE_INFINITY,
      prepared: false,
      stored: -1,
    }))
  }

  get allPrepared(): boolean {
    return this.progress.every((p) => p.prepared)
  }

  /** @returns ERR_OK or why not */
  alter(status: DuplicationStatus, failMode = DuplicationFailMode.FAIL_SLOW): string {
    const legal =
      status === this.status || status === DS_REMOVED || LEGAL.some(([a, b]) => a === this.status && b === status)
    if (!legal) return 'ERR_INVALID_PARAMETERS'
    this.status = status
    this.failMode = failMode
    return 'ERR_OK'
  }

  /** What a primary reports; K is stored at most every `minUpdateMs` (protocol.md §4.2). */
  confirm(partitionIndex: number, report: Confirm, nowMs: number, minUpdateMs: number): void {
    const progress = this.progress[partitionIndex]
    if (!progress) return
    progress.prepared = report.checkpointPrepared ?? false
    progress.lastCommitted = report.lastCommittedDecree ?? progress.lastCommitted
    if (report.confirmedDecree > progress.stored && nowMs > progress.lastUpdateMs + minUpdateMs) {
      progress.stored = report.confirmedDecree
      progress.lastUpdateMs = nowMs
    }
  }

  /** For a replica server: with the stored progress, and without what only clients see. */
  entryForServers(isMaster: boolean): DuplicationEntry {
    return {
      ...this.base(isMaster),
      progress: new Map(this.progress.map((p, index) => [index, p.stored])),
    }
  }

  /** For clients: never any progress on 2.4/2.5 (protocol.md §3.10); partition states on master. */
  entryForClients(isMaster: boolean): DuplicationEntry {
    if (!isMaster) return this.base(false)
    const states = this.progress.map(
      (p, index) => [index, {confirmedDecree: p.stored, lastCommittedDecree: p.lastCommitted}] as const,
    )
    return {...this.base(true), partitionStates: new Map(states)}
  }

  private base(isMaster: boolean): DuplicationEntry {
    return {
      createTsMs: this.createTsMs,
      dupid: this.dupid,
      failMode: this.failMode,
      remote: this.remote.cluster,
      status: this.status,
      ...(isMaster ? {remoteAppName: this.remote.table, remoteReplicaCount: this.remote.replicaCount} : {}),
    }
  }
}
