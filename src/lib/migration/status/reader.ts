import {deadline} from '../../clock.js'
import {MigratorError} from '../../errors.js'
import {diskFiles, type Files} from '../../files.js'
import {parseZooKeeperAuth} from '../../metaproxy/zookeeper-options.js'
import {ZooKeeperStore} from '../../metaproxy/zookeeper-store.js'
import type {MetaproxyStore} from '../../metaproxy/store.js'
import {PegasusClient} from '../../pegasus/client.js'
import type {Cluster, ClusterInfo} from '../../pegasus/cluster.js'
import type {ConfigDump} from '../../pegasus/config-dump.js'
import {type AppInfo, AppStatus} from '../../rpc/structs/table.js'
import {DENY_ENV} from '../effects-live.js'
import {forEachBounded} from '../preflight/bounded.js'
import {Asking, early, metaLimits, serverLimits} from './asking.js'
import {type JournalFile, listJournals} from './journal-facts.js'
import type {StatusQuery, StatusWorld} from './query.js'
import type {TimerFacts} from './read-servers.js'
import {readTable} from './read-table.js'
import {reportAll, reportTable, type StatusReport, type TableStatus} from './report.js'

/** What has not answered by then counts as unread. */
const READ_MS = 8000
const TABLES_AT_ONCE = 8
/** No table has this name; only whether the call exists is asked. */
const NO_TABLE = '__is_it_master__'

/** What one reading asks a cluster once, however many tables there are. */
export interface ClusterReading {
  cluster: Cluster
  info: Promise<ClusterInfo | undefined>
  tables: Promise<AppInfo[] | undefined>
}

/** Reads the status again and again over the same connections. */
export class StatusReader {
  readonly client: PegasusClient
  readonly files: Files
  /** Configuration files of servers that do not register their timers as flags. */
  readonly dumps = new Map<string, TimerFacts['dump']>()
  private readonly clusters = new Map<string, Cluster>()
  private isMaster: boolean | undefined
  private metaDump: ConfigDump | undefined
  private readonly stores = new Map<string, MetaproxyStore>()

  constructor(
    readonly query: StatusQuery,
    readonly world: StatusWorld,
  ) {
    this.files = world.files ?? diskFiles
    this.client = new PegasusClient({clock: world.clock, random: world.random, transport: world.transport})
  }

  async close(): Promise<void> {
    await Promise.all([this.client.close(), ...[...this.stores.values()].map((store) => store.close())])
  }

  /** Changes nothing anywhere. @throws the signal's reason once it is aborted */
  async read(signal?: AbortSignal): Promise<StatusReport> {
    const {clock} = this.world
    const startMs = clock.nowMs()
    const reason = () => new MigratorError('status.deadline', `no answer within ${READ_MS} ms`)
    const limit = deadline(clock, READ_MS, reason, signal)
    try {
      return await new Reading(this, limit.signal, signal).run(startMs)
    } finally {
      limit.dispose()
    }
  }

  clusterOf(metas: string[]): Cluster {
    const key = metas.join(',')
    const cluster = this.clusters.get(key) ?? this.client.cluster(metas)
    this.clusters.set(key, cluster)
    return cluster
  }

  storeOf(hosts: string, root: string): MetaproxyStore {
    const {query, world} = this
    const auth = query.zooKeeperAuth
    const key = `${hosts} ${root}`
    const open = () =>
      world.openStore?.({auth, hosts, root}, world.clock) ??
      new ZooKeeperStore({
        ...(auth === undefined ? {} : {auth: parseZooKeeperAuth(auth)}),
        clock: world.clock,
        hosts,
        root,
      })
    const store = this.stores.get(key) ?? open()
    this.stores.set(key, store)
    return store
  }

  /** `[pegasus.clusters]` cannot change without a restart: read once. */
  async sourceDump(source: Cluster, asking: Asking, signal: AbortSignal): Promise<ConfigDump | undefined> {
    this.metaDump ??= await asking.ask('config-dump of the source', async () => {
      const leader = await source.leader(metaLimits(signal))
      return source.server(leader).configDump(serverLimits(signal))
    })
    return this.metaDump
  }

  /** Only master answers RPC_CM_LIST_DUPLICATION. */
  async knowsMaster(source: Cluster, asking: Asking, signal: AbortSignal): Promise<boolean> {
    this.isMaster ??= await asking.ask(
      'generation',
      async () => (await source.listDuplications(NO_TABLE, metaLimits(signal))) !== undefined,
    )
    return this.isMaster ?? false
  }
}

/** One reading: what is asked once for all tables. */
export class Reading {
  readonly nowMs: number
  readonly source: ClusterReading
  private readonly clusters = new Map<string, ClusterReading>()
  private readonly head: Asking

  constructor(
    readonly reader: StatusReader,
    /** Aborts at the time limit, or with `stop`. */
    readonly signal: AbortSignal,
    readonly stop: AbortSignal | undefined,
  ) {
    this.nowMs = reader.world.clock.wallMs()
    this.head = new Asking(stop)
    this.source = this.clusterReading(reader.query.sourceMetas, 'source', this.head)
  }

  /** The cluster's own name and tables, asked at most once in a reading. */
  clusterReading(metas: string[], what: string, asking: Asking): ClusterReading {
    const key = metas.join(',')
    const known = this.clusters.get(key)
    if (known) return known
    const cluster = this.reader.clusterOf(metas)
    const reading = {
      cluster,
      info: early(asking.ask(what, () => cluster.info(metaLimits(this.signal)))),
      tables: early(asking.ask(what, () => cluster.tables(metaLimits(this.signal)))),
    }
    this.clusters.set(key, reading)
    return reading
  }

  async run(startMs: number): Promise<StatusReport> {
    const {query, world} = this.reader
    const [info, tables, journals] = await Promise.all([this.source.info, this.source.tables, this.listJournals()])
    const isMaster = info !== undefined && (await this.reader.knowsMaster(this.source.cluster, this.head, this.signal))
    const names = query.table === undefined ? namesToShow(tables ?? [], journals) : [query.table]
    this.stop?.throwIfAborted()
    const status = new Map<string, TableStatus>()
    await forEachBounded(names, TABLES_AT_ONCE, async (name) => {
      const asking = new Asking(this.stop)
      asking.unread.push(...this.head.unread)
      const own = journals.filter(({table}) => table === name)
      const facts = await readTable(this, asking, {info, isMaster, journals: own, name, tables})
      status.set(name, reportTable(facts, {sourceMetas: query.sourceMetas}))
    })
    this.stop?.throwIfAborted()
    // A journal that is not of this cluster, or of a run that never began, is no reason to show a table.
    const shown = names
      .map((name) => status.get(name)!)
      .filter((table) => query.table !== undefined || isWorthShowing(table))
    return reportAll(shown, {
      readAtMs: this.nowMs,
      source: {...(info ? {cluster: info.clusterName} : {}), metas: query.sourceMetas},
      tookMs: Math.round(world.clock.nowMs() - startMs),
      unread: this.head.unread,
    })
  }

  private async listJournals(): Promise<JournalFile[]> {
    return (
      (await this.head.ask('journal', () => listJournals(this.reader.world.journalDirectory, this.reader.files))) ?? []
    )
  }
}

function isWorthShowing({journal, source, state}: TableStatus): boolean {
  return journal !== undefined || source.deny !== null || (state !== 'idle' && state !== 'no-table')
}

/** Tables with a journal here, a duplication or a deny. */
function namesToShow(tables: readonly AppInfo[], journals: readonly JournalFile[]): string[] {
  const names = new Set(journals.map(({table}) => table))
  for (const {appName, duplicating, envs, status} of tables) {
    if (status !== AppStatus.AS_DROPPED && (duplicating || envs.has(DENY_ENV))) names.add(appName)
  }

  return [...names].sort()
}
