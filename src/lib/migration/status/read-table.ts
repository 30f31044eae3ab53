import type {Cluster, ClusterInfo, TableConfiguration} from '../../pegasus/cluster.js'
import {type DuplicationEntry, DuplicationStatus} from '../../rpc/structs/duplication.js'
import type {AppInfo} from '../../rpc/structs/table.js'
import {DENY_ENV} from '../effects-live.js'
import {type Asking, metaLimits} from './asking.js'
import type {
  DuplicationFacts,
  JournalFacts,
  LockFacts,
  ProxyFacts,
  ShippingFacts,
  SourceFacts,
  StatusFacts,
} from './facts.js'
import {chooseJournal, type JournalFile} from './journal-facts.js'
import {readGuard, readHoldFacts, readLockFacts} from './read-guards.js'
import {readProxy} from './read-metaproxy.js'
import {readSettings, readShippingFacts, readTimers, type TimerFacts} from './read-servers.js'
import {metaproxyPlace, readTargetSide, type TargetSide} from './read-sides.js'
import {tableNamed, withoutPrimary} from './read-target.js'
import type {Reading} from './reader.js'
import {viewOf} from './view.js'
import {predict, type PredictionPair} from './window.js'

/** What a reading knows already when it comes to one table. */
export interface TableTask {
  info: ClusterInfo | undefined
  isMaster: boolean
  /** Of tables of this name. */
  journals: JournalFile[]
  name: string
  /** Of the source; absent: they could not be read. */
  tables: AppInfo[] | undefined
}

/** Reads all facts of one table, in as few rounds as they depend on each other. */
export async function readTable(reading: Reading, asking: Asking, task: TableTask): Promise<StatusFacts> {
  return new TableReading(reading, asking, task).run()
}

class TableReading {
  private configuration: TableConfiguration | undefined
  private journal: JournalFacts | undefined
  private readonly source: Cluster

  constructor(
    private readonly reading: Reading,
    private readonly asking: Asking,
    private readonly task: TableTask,
  ) {
    this.source = reading.source.cluster
  }

  async run(): Promise<StatusFacts> {
    const {asking, reading, task} = this
    const {info, name, tables} = task
    const table = tables && tableNamed(tables, name)
    const [duplications, configuration] = await Promise.all([
      table && this.readDuplications(),
      table && this.readConfiguration(),
    ])
    this.configuration = configuration
    const entries = duplications ?? []
    const journal = await this.chooseJournal(entries)
    this.journal = journal
    const isShipping = entries.some(({status}) => status === 'DS_LOG') && !table?.envs.has(DENY_ENV)
    const [target, shipping, timers, guard, hold, lock] = await Promise.all([
      readTargetSide(reading, asking, {duplications: entries, info, journal, name}),
      this.readShipping(entries),
      isShipping ? this.readTimers() : [],
      journal && asking.ask('guard', () => readGuard(reading.reader.world, name, journal)),
      journal && asking.ask('hold', () => readHoldFacts(reading.reader.world, name, journal, reading.nowMs)),
      this.readLock(),
    ])
    const [proxies, settings] = await Promise.all([this.readProxies(target), this.readSettings(target)])
    const facts: StatusFacts = {
      ...(guard ? {guard} : {}),
      ...(hold ? {hold} : {}),
      ...(journal ? {journal} : {}),
      ...(lock ? {lock} : {}),
      ...(target.node ? {node: target.node} : {}),
      nowMs: reading.nowMs,
      proxies,
      settings,
      ...(info && tables ? {source: this.sourceFacts(info, table, duplications, shipping)} : {}),
      table: name,
      ...(target.facts ? {target: target.facts} : {}),
      unread: asking.unread,
    }
    const prediction = this.predict(facts, timers)
    return {...facts, ...(prediction ? {prediction} : {})}
  }

  private readDuplications(): Promise<DuplicationFacts[] | undefined> {
    return this.asking.ask('duplications', async () => {
      const entries = await this.source.duplications(this.task.name, metaLimits(this.reading.signal))
      return entries.map((entry) => factsOf(entry))
    })
  }

  private readConfiguration(): Promise<TableConfiguration | undefined> {
    return this.asking.ask('configuration', () =>
      this.source.configuration(this.task.name, metaLimits(this.reading.signal)),
    )
  }

  private async chooseJournal(entries: DuplicationFacts[]): Promise<JournalFacts | undefined> {
    const {info, journals} = this.task
    const {files, query} = this.reading.reader
    const choice = {
      remotes: entries.map(({remote}) => remote),
      ...(info ? {sourceCluster: info.clusterName} : {}),
      ...(query.targetCluster === undefined ? {} : {targetCluster: query.targetCluster}),
    }
    const {journal, unread} = await chooseJournal(journals, choice, files)
    this.asking.unread.push(...unread)
    return journal
  }

  private sourceFacts(
    info: ClusterInfo,
    table: AppInfo | undefined,
    duplications: DuplicationFacts[] | undefined,
    shipping: ShippingFacts | undefined,
  ): SourceFacts {
    const deny = table?.envs.get(DENY_ENV)
    const {appId = 0, partitionCount = 0} = table ?? {}
    return {
      cluster: info.clusterName,
      ...(duplications ? {duplications} : {}),
      isMaster: this.task.isMaster,
      metaLevel: info.metaFunctionLevel,
      metas: this.reading.reader.query.sourceMetas,
      ...(shipping ? {shipping} : {}),
      ...(table ? {table: {appId, ...(deny === undefined ? {} : {deny}), partitionCount}} : {}),
      withoutPrimary: withoutPrimary(this.configuration),
    }
  }

  private async readShipping(entries: DuplicationFacts[]): Promise<ShippingFacts | undefined> {
    const wanted = this.reading.reader.query.targetCluster ?? this.journal?.targetCluster
    const entry = entries.find(({remote}) => remote === wanted) ?? entries[0]
    if (!entry || !this.configuration) return undefined
    return readShippingFacts(this.asking, this.source, this.configuration, entry.dupid, this.reading.signal)
  }

  private async readTimers(): Promise<TimerFacts[]> {
    const {reader, signal} = this.reading
    return this.configuration ? readTimers(this.asking, this.source, this.configuration, reader.dumps, signal) : []
  }

  private async readLock(): Promise<LockFacts | undefined> {
    const {info, name} = this.task
    const {reader, signal} = this.reading
    const {query, world} = reader
    if (!info) return undefined
    const metaproxy = metaproxyPlace(query, info, this.journal)
    const place = {
      clock: world.clock,
      directory: world.journalDirectory,
      ...(world.files ? {files: world.files} : {}),
      ...(world.openLocks ? {openLocks: world.openLocks} : {}),
      ...(world.processes ? {processes: world.processes} : {}),
      ...(metaproxy ? {metaproxy: {...metaproxy, auth: query.zooKeeperAuth}} : {}),
      sourceCluster: info.clusterName,
      table: name,
    }
    return this.asking.ask('lock', () => (world.readLock ?? readLockFacts)(place, signal))
  }

  private async readProxies({configuration}: TargetSide): Promise<ProxyFacts[]> {
    const {reader, signal, stop} = this.reading
    const addresses = reader.query.proxies.length > 0 ? reader.query.proxies : (this.journal?.proxies ?? [])
    const sides = {
      ...(this.configuration ? {source: this.configuration} : {}),
      ...(configuration ? {target: configuration} : {}),
    }
    return Promise.all(
      addresses.map((address) => readProxy(reader.client.pool, address, this.task.name, sides, signal, stop)),
    )
  }

  private readSettings({location}: TargetSide) {
    const {asking, reading} = this
    const side = (wanted: 'source' | 'target') => {
      if (wanted === 'source') return reading.source
      return location && reading.clusterReading(location.metas, 'target', asking)
    }

    const clusters = {
      async metaLevel(wanted: 'source' | 'target') {
        return (await side(wanted)?.info)?.metaFunctionLevel
      },
      of: (wanted: 'source' | 'target') => side(wanted)?.cluster,
    }
    return readSettings(asking, this.journal?.hints.settings ?? [], clusters, reading.signal)
  }

  /** Only of a table that could be cut over: while its duplication ships and nothing is denied yet. */
  private predict(facts: StatusFacts, servers: TimerFacts[]): PredictionPair | undefined {
    const {committed, entry} = viewOf(facts)
    if (entry?.status !== 'DS_LOG' || committed || servers.length === 0) return undefined
    return predict(this.task.isMaster, servers)
  }
}

function factsOf({createTsMs, dupid, remote, status}: DuplicationEntry): DuplicationFacts {
  const name = DuplicationStatus[status] as keyof typeof DuplicationStatus
  return {createdAtMs: createTsMs, dupid, remote, status: name}
}
