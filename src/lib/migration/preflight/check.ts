import type {MetaproxyStore, NodeRecord} from '../../metaproxy/store.js'
import type {Cluster, ClusterInfo, NodeStatusInfo, TableConfiguration} from '../../pegasus/cluster.js'
import type {PegasusClient} from '../../pegasus/client.js'
import type {AppInfo} from '../../rpc/structs/table.js'
import type {DuplicationEntry} from '../../rpc/structs/duplication.js'
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

/** One named check. Read-only, bounded by the signal it is given. */
export interface Check {
  id: string
  run(facts: PreflightFacts): Promise<Finding>
  title: string
}

/** Generation of the servers, by what they can do. */
export type Generation = '2.4' | '2.5' | 'master'

/** One replica server as preflight found it. */
export interface ServerFacts {
  address: string
  alive: boolean
  /** Values of `/config`; undefined where the server has no such flag. */
  config: Map<string, string | undefined>
  /** Partitions of the table it is primary of. */
  primaryOf: number[]
  version: string
  /** Set when the server could not be asked. */
  unreachable?: string
}

/**
 * What preflight gathers once, in parallel, before the checks judge it; also the base of the plan. Everything is
 * read from clusters and ZooKeeper; nothing comes from the journal but `ownDupid`.
 */
export interface PreflightFacts {
  client: PegasusClient
  /** Dupid that this machine's journal says we created, if any. */
  ownDupid?: number
  /** Deny value that this machine's journal says we set and have not taken back, if any. */
  ownDeny?: string
  request: MigrationRequest
  signal: AbortSignal
  source: {
    cluster: Cluster
    configuration: TableConfiguration
    duplications: DuplicationEntry[]
    generation: Generation
    info: ClusterInfo
    nodes: NodeStatusInfo[]
    /** Servers that host a replica of the table. */
    servers: ServerFacts[]
    table: AppInfo
  }
  target: {
    cluster: Cluster
    generation: Generation
    info: ClusterInfo
    nodes: NodeStatusInfo[]
    servers: ServerFacts[]
    /** The target's table of the same name, if there is one. */
    table?: AppInfo
  }
  /** Undefined without `-r`; `error` when the node could not be read. */
  metaproxy?: {error?: Error; node?: NodeRecord; store: MetaproxyStore}
}
