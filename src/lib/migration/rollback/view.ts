import type {NodeRecord} from '../../metaproxy/store.js'
import type {DuplicationEntry} from '../../rpc/structs/duplication.js'
import type {Effect} from '../effects.js'
import type {Generation} from '../preflight/check.js'
import type {DroppedTable} from '../target-health.js'
import type {ServerTimers} from '../timers.js'

/** The target's table of the same name. */
export interface TargetTable {
  appId: number
  deny?: string
  /** `duplication.*`: what makes it a follower (protocol.md §3.12). */
  followerEnvs: Record<string, string>
  partitionCount: number
}

/** What a rollback found, read from the clusters, ZooKeeper and this machine's journal. The plan follows from it alone. */
export interface RollbackView {
  appId: number
  /** What the journal of this migration tells; undefined: there is none here. */
  journal?: {
    /** Value of the deny that it says is set. */
    deny?: string
    /** When it was sent, by the clock of the machine that sent it; wall clock, ms. */
    denySentAtMs?: number
    dupid?: number
    /** How its last run ended. */
    ended?: string
    /** When the last migration from here was finished, ISO 8601, unless it was taken back since. */
    finished?: string
    /** The node's bytes from before the switch. */
    nodeBefore?: string
    /** Without a node: the source was told to refuse everyone, or the operator gave the word. */
    handedOver: boolean
  }
  /** Value of the source's deny env. */
  deny?: string
  /** The duplication to the target. */
  entry?: DuplicationEntry
  generation: Generation
  /** Where the table's metaproxy node points; `absent`: there is none; `unknown`: no root is known. */
  node: {record: NodeRecord; side: 'other' | 'source' | 'target'} | {side: 'absent' | 'unknown'}
  /** Duplications of the table to other clusters: not ours. */
  otherRemotes: string[]
  partitionCount: number
  /** Settings that this migration changed and that are not put back: as effects that were done. */
  settings: Effect[]
  /** `duplicatesAs`: master's `dup_cluster_name`, where it is another than the cluster's. */
  source: {cluster: string; duplicatesAs?: string; metas: string[]}
  target?: {
    cluster: string
    /** The table of this name that was dropped last, while it can be recalled. */
    dropped?: DroppedTable
    metas: string[]
    table?: TargetTable
    trouble?: string
  }
  timers: ServerTimers
}
