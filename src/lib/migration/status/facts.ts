import type {DuplicationStatus} from '../../rpc/structs/duplication.js'
import type {GuardStatus} from '../guard/channel.js'
import type {HoldFacts} from '../hold-notes.js'
import type {JournalHints} from '../journal.js'
import type {DroppedTable} from '../target-health.js'
import type {PredictionPair} from './window.js'

/** A duplication as the source's metas have it. */
export interface DuplicationFacts {
  /** Wall clock, ms. */
  createdAtMs: number
  dupid: number
  remote: string
  status: keyof typeof DuplicationStatus
}

/** How far one primary has shipped. */
export interface PartitionLag {
  /** Whether the pipeline runs: false in DS_PREPARE, DS_APP and DS_PAUSE. */
  duplicating: boolean
  failMode: string
  /** Mutations committed on the source and not yet acknowledged by the target. */
  lagMutations: number
  partitionIndex: number
  server: string
}

/** What the primaries tell of one duplication. */
export interface ShippingFacts {
  /** Source servers that host the table and ship in batches, which reorders overwrites (product.md, lesson 13). */
  batching: string[]
  dupid: number
  /** The worst first. */
  partitions: PartitionLag[]
  /** Partitions whose primary could be asked and does not report the duplication. */
  unreported: number[]
}

/** The table on the cluster it is moved from. */
export interface SourceFacts {
  cluster: string
  /** Absent when they could not be read. */
  duplications?: DuplicationFacts[]
  isMaster: boolean
  /** `lively`, `steady`, ... */
  metaLevel: string
  metas: string[]
  /** Absent when it was not asked for, or no primary could be found. */
  shipping?: ShippingFacts
  /** Absent: there is none of this name. */
  table?: {appId: number; deny?: string; partitionCount: number}
  /** Partitions that have no primary at the moment. */
  withoutPrimary: number[]
}

/** The table on the cluster it is moved to. */
export interface TargetFacts {
  cluster: string
  /** The table of this name that was dropped last, while it can be recalled. */
  dropped?: DroppedTable
  metas: string[]
  /** How it was found out which cluster this is. */
  knownFrom: 'duplication' | 'flags' | 'journal' | 'node'
  /** Whether its metas could be asked; if not, nothing is known of the table there. */
  reached: boolean
  table?: {
    appId: number
    deny?: string
    /** Envs `duplication.*`, which a duplication leaves on its copy (protocol.md §3.12). */
    followerEnvs: Record<string, string>
    partitionCount: number
  }
  withoutPrimary: number[]
}

/** Which cluster something leads clients to. */
export type Side = 'other' | 'source' | 'target'

/** The table's metaproxy node. */
export interface NodeFacts {
  /** What it names. */
  cluster?: string
  /** ZooKeeper's servers. */
  hosts: string
  path: string
  /** `zk.*` or `metaproxy.bad_node`: why it could not be used. */
  problem?: {code: string; message: string}
  side?: Side
  version?: number
}

export interface ProxyFacts {
  address: string
  problem?: {code: string; message: string}
  side?: Side
}

/** What this machine's journal of the table says. */
export interface JournalFacts {
  /** Every dupid that it ever wrote down. */
  dupids: number[]
  /** How the last run that began ended; absent: it did not end, it is running or was killed. */
  ended?: {atMs: number; outcome: string}
  /** What the last run's guard did, once it has ended. */
  guardDid?: {atMs: number; pid: number; state: 'lifted' | 'switched'; text: string}
  hints: JournalHints
  lastAtMs: number
  maxWriteDenyMs?: number
  metaproxyHosts?: string
  path: string
  phase?: {atMs: number; id: string; state: string}
  proxies: string[]
  root?: string
  run: string
  sourceCluster?: string
  startedAtMs: number
  /** The compare-and-set of the node was written down as done. */
  switched: boolean
  targetCluster: string
  targetMetas?: string[]
  thresholdMutations?: number
}

/** A setting that the journal says was changed, and what it is now. */
export interface SettingFacts {
  before: string
  /** Whether it still has the migration's value. */
  left: boolean
  name: string
  now?: string
  /** Absent for the meta level. */
  server?: string
  side: 'source' | 'target'
}

/** The process that watches over a cutover; `alive` is absent when this machine cannot tell. */
export interface GuardFacts extends GuardStatus {
  alive?: boolean
}

/** Who holds the table's lock; `held` false: it was looked at and nobody does. */
export interface LockFacts {
  held: boolean
  holder?: string
  /** Where it was looked for: only on this machine where nobody tells metaproxy's root. */
  scope: 'everywhere' | 'machine'
  sinceMs?: number
}

/** Something that could not be read, and why. */
export interface Unread {
  code: string
  message: string
  what: string
}

/** All that is known of one table, read once; `classify` judges it and asks nobody. */
export interface StatusFacts {
  /** Absent: the journal's last run had none. */
  guard?: GuardFacts
  /** Absent: no run on this machine waits for a person or for its cutover window. */
  hold?: HoldFacts
  journal?: JournalFacts
  /** Absent: it could not be read. */
  lock?: LockFacts
  /** Absent: nobody knows metaproxy's ZooKeeper root. */
  node?: NodeFacts
  /** Wall clock at the reading, ms. */
  nowMs: number
  /** The write-deny window if the table were cut over now; only while a duplication ships. */
  prediction?: PredictionPair
  proxies: ProxyFacts[]
  settings: SettingFacts[]
  /** Absent: its metas could not be asked. */
  source?: SourceFacts
  table: string
  /** Absent: nobody knows which cluster it is. */
  target?: TargetFacts
  unread: Unread[]
}
