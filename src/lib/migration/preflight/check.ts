import type {MetaproxyStore, NodeRecord} from '../../metaproxy/store.js'
import type {PegasusClient} from '../../pegasus/client.js'
import type {Cluster, ClusterInfo, NodeStatusInfo, TableConfiguration} from '../../pegasus/cluster.js'
import type {ConfigDump} from '../../pegasus/config-dump.js'
import type {DuplicationEntry} from '../../rpc/structs/duplication.js'
import type {ReplicaInfo} from '../../rpc/structs/replica.js'
import type {AppInfo} from '../../rpc/structs/table.js'
import type {MigrationRequest} from '../request.js'

/** `error` stops the migration; `confirm` too, unless the operator types the check's id; `warning` is only told. */
export type Severity = 'confirm' | 'error' | 'ok' | 'skipped' | 'warning'

/** What one check found. */
export interface CheckResult {
  /** What was seen, with names and figures. */
  evidence: string
  /** Stable name, e.g. `data-version`; documented, accepted by `--accept`. */
  id: string
  /** What to do about it; empty when there is nothing to do. */
  remedy: string
  severity: Severity
  /** A few words, e.g. `every replica has data version 1`. */
  title: string
}

/** What a check says; the runner adds id and title. */
export type Finding = Omit<CheckResult, 'id' | 'title'>

/** What is read from the metas once; a check that needs one of them cannot judge when it could not be read. */
export type FactName =
  | 'source.configuration'
  | 'source.duplications'
  | 'source.info'
  | 'source.nodes'
  | 'source.table'
  | 'target.duplications'
  | 'target.info'
  | 'target.nodes'
  | 'target.table'

/** One named check: judges what was gathered, asks nobody. */
export interface Check {
  id: string
  /** Facts without which it cannot judge; the runner then reports which one could not be read, and why. */
  needs?: readonly FactName[]
  run(facts: PreflightFacts): Finding | Promise<Finding>
  title: string
  /** What it means that a needed fact could not be read; `error` unless told otherwise. */
  unread?: Severity
}

/** Generation of the servers, by what they can do. */
export type Generation = '2.4' | '2.5' | 'master'

/** What a replica server is asked. */
export type ServerQuestion =
  'activity' | 'config' | 'contact' | 'data-version' | 'disk' | 'dump' | 'replicas' | 'version'

/** What a replica server tells of the requests for the table: kind of request → figure, summed over its partitions. */
export type Activity = Map<string, number>

/** One replica server as preflight found it. */
export interface ServerFacts {
  /** Two samples of the table's requests, a few seconds apart: per second on 2.4/2.5, since the start on master. */
  activity: Activity[]
  address: string
  alive: boolean
  /** Values of `/config`; undefined where the server has no such flag. */
  config: Map<string, string | undefined>
  /** Data version per partition, of every replica of the table there; empty: none there. */
  dataVersions?: Map<number, string>
  /** Its configuration file as loaded, defaults included. */
  dump?: ConfigDump
  /** Why a question has no answer. */
  failures: Map<ServerQuestion, Error>
  /** Free room on all its disks together, MB. */
  freeMb?: number
  /** Partitions of the table it is primary of. */
  primaryOf: number[]
  /** Partitions of the table of which it holds a replica, by the metas. */
  replicaOf: number[]
  /** Its replicas of the table, as it sees them. */
  replicas?: ReplicaInfo[]
  /** Size of the table's files there, MB. */
  tableMb?: number
  version: string
  /** Set when the server could not be asked. */
  unreachable?: string
}

/** One meta server as preflight found it. */
export interface MetaFacts {
  address: string
  /** Its configuration file as loaded; each meta has its own. */
  dump?: ConfigDump
  error?: Error
  /** Whether the operator named it. */
  given: boolean
  version: string
}

/** What a metaproxy says today about the table. */
export interface ProxyFacts {
  address: string
  answer?: {appId: number; partitionCount: number; primaries: string[]}
  error?: Error
}

/**
 * What preflight gathers once, in parallel, before the checks judge it; also the base of the plan. Everything is
 * read from clusters and ZooKeeper; nothing comes from the journal but `ownDupid`, `ownDeny`, `ownHandOver` and `ownFinished`. A member whose name
 * is in `unread` holds an empty value: no check passes then, so that no later phase meets one.
 */
export interface PreflightFacts {
  /** Address as somebody wrote it → `a.b.c.d:port`, for every name that was met and could be resolved. */
  addresses: Map<string, string>
  client: PegasusClient
  /** Wall clock at the gathering, ms. */
  gatheredAtMs: number
  /** Milliseconds between the two samples of `activity`. */
  samplesApartMs: number
  /** Each `--proxy`. */
  proxies: ProxyFacts[]
  unread: Map<FactName, Error>
  /** Dupid that this machine's journal says we created, if any. */
  ownDupid?: number
  /** Deny value that this machine's journal says we set and have not taken back, if any. */
  ownDeny?: string
  /** Whether this machine's journal says that we handed the table over: the word was given, or the source told to refuse everyone. */
  ownHandOver?: boolean
  /** Whether this machine's journal says that a migration to this target was finished, and nothing of a later one. */
  ownFinished?: boolean
  request: MigrationRequest
  signal: AbortSignal
  source: {
    cluster: Cluster
    configuration: TableConfiguration
    duplications: DuplicationEntry[]
    generation: Generation
    info: ClusterInfo
    /** The metas that were given and those that the cluster names. */
    metas: MetaFacts[]
    nodes: NodeStatusInfo[]
    /** Living servers that host no replica of the table today: a failover may bring one there. */
    otherServers: ServerFacts[]
    /** Servers that host a replica of the table. */
    servers: ServerFacts[]
    table: AppInfo
  }
  target: {
    cluster: Cluster
    /** Duplications of the target's table of the same name. */
    duplications: DuplicationEntry[]
    generation: Generation
    info: ClusterInfo
    metas: MetaFacts[]
    nodes: NodeStatusInfo[]
    /** Every server of the cluster. */
    servers: ServerFacts[]
    /** The target's table of the same name, if there is one. */
    table?: AppInfo
  }
  /** Undefined without `-r`; `error` when the node could not be read. */
  metaproxy?: {error?: Error; node?: NodeRecord; store: MetaproxyStore}
}
