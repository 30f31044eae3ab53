import type {Cluster, ClusterInfo, TableConfiguration} from '../../pegasus/cluster.js'
import {type DuplicationEntry, DuplicationStatus} from '../../rpc/structs/duplication.js'
import type {AppInfo} from '../../rpc/structs/table.js'
import {DENY_ENV} from '../effects-live.js'
import {type PredictionFacts, predictWindow, type WindowPrediction} from '../preflight/prediction.js'
import {type Asking, early, metaLimits} from './asking.js'
import type {DuplicationFacts, JournalFacts, ProxyFacts, ShippingFacts, SourceFacts, StatusFacts, TargetFacts} from './facts.js'
import {chooseJournal, type JournalFile} from './journal-facts.js'
import {type Names, nodeFacts, type NodeReading, readNode, readProxy} from './read-metaproxy.js'
import {generationOf, readSettings, readShippingFacts, readTimers} from './read-servers.js'
import {locateTarget, tableNamed, targetFacts, type TargetLocation, withoutPrimary} from './read-target.js'
import type {Reading} from './reader.js'
import {viewOf} from './view.js'

/** What a reading knows already when it comes to one table. */
export interface TableTask {
  files: JournalFile[]
  info: ClusterInfo | undefined
  isMaster: boolean
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
  private readonly source: Cluster

  constructor(
    private readonly reading: Reading,
    private readonly asking: Asking,
    private readonly task: TableTask,
  ) {
    this.source = reading.source.cluster
  }

  async run(): Promise<StatusFacts> {
    const {files, info, name, tables} = this.task
    const {nowMs, reader} = this.reading
    const table = tables && tableNamed(tables, name)
    const [duplications, configuration] = await Promise.all([
      table && this.ask('duplications', async (limits) => (await this.source.duplications(name, limits)).map((entry) => factsOf(entry))),
      table && this.ask('configuration', (limits) => this.source.configuration(name, limits)),
    ])
    this.configuration = configuration
    const {journal, unread} = await chooseJournal(files, {
      remotes: (duplications ?? []).map(({remote}) => remote),
      ...(info ? {sourceCluster: info.clusterName} : {}),
      ...(reader.query.targetCluster === undefined ? {} : {targetCluster: reader.query.targetCluster}),
    })
    this.asking.unread.push(...unread)

    const entries = duplications ?? []
    const [target, shipping] = await Promise.all([
      this.readTargetSide(entries, journal),
      this.readShipping(entries, journal),
    ])
    const [proxies, settings, guard, lock] = await Promise.all([
      this.readProxies(journal, target.configuration),
      this.readSettings(journal, target.location),
      reader.world.readGuard?.(name, target.location?.cluster ?? ''),
      reader.world.readLock?.(name, target.location?.cluster ?? ''),
    ])
    const facts: StatusFacts = {
      ...(guard ? {guard} : {}),
      ...(journal ? {journal} : {}),
      ...(lock ? {lock} : {}),
      ...(target.node ? {node: target.node} : {}),
      nowMs,
      proxies,
      settings,
      ...(info && tables ? {source: this.sourceFacts(info, table, duplications, shipping)} : {}),
      table: name,
      ...(target.facts ? {target: target.facts} : {}),
      unread: this.asking.unread,
    }
    const prediction = await this.predict(facts)
    return {...facts, ...(prediction ? {prediction} : {})}
  }

  private ask<T>(what: string, question: (limits: ReturnType<typeof metaLimits>) => Promise<T>): Promise<T | undefined> {
    return this.asking.ask(what, () => question(metaLimits(this.reading.signal)))
  }

  private sourceFacts(
    info: ClusterInfo,
    table: AppInfo | undefined,
    duplications: DuplicationFacts[] | undefined,
    shipping: ShippingFacts | undefined,
  ): SourceFacts {
    const deny = table?.envs.get(DENY_ENV)
    return {
      cluster: info.clusterName,
      ...(duplications ? {duplications} : {}),
      isMaster: this.task.isMaster,
      metaLevel: info.metaFunctionLevel,
      metas: this.reading.reader.query.sourceMetas,
      ...(shipping ? {shipping} : {}),
      ...(table ? {table: {appId: table.appId, ...(deny === undefined ? {} : {deny}), partitionCount: table.partitionCount}} : {}),
      withoutPrimary: withoutPrimary(this.configuration),
    }
  }

  /** The node first: what it names may be all that tells the target. */
  private async readTargetSide(
    duplications: DuplicationFacts[],
    journal?: JournalFacts,
  ): Promise<{configuration?: TableConfiguration; facts?: TargetFacts; location?: TargetLocation; node?: StatusFacts['node']}> {
    const {info, name} = this.task
    const {reader, signal} = this.reading
    const {query} = reader
    const reads = early(this.readNode(journal))
    const sourceCluster = info?.clusterName ?? ''
    const clues = {
      duplications,
      ...(journal ? {journal} : {}),
      query,
      sourceCluster,
      sourceDump: () => reader.sourceDump(this.source, this.asking, signal),
    }
    const knownEarly = duplications.length > 0 || journal !== undefined || query.targetCluster !== undefined
    const location = (knownEarly ? await locateTarget(clues) : undefined) ?? (await this.locateByNode(clues, reads))
    if (!location) return {node: await this.nodeOf(reads)}
    const {cluster, info: targetInfo, tables: targetTables} = this.reading.clusterReading(location.metas, 'target', this.asking)
    const [tables, configuration] = await Promise.all([
      targetTables,
      targetTables.then((known) =>
        known && tableNamed(known, name) ? this.ask('target', (limits) => cluster.configuration(name, limits)) : undefined,
      ),
    ])
    const own = await targetInfo
    const names: Names = {
      metas: [...location.metas, ...(own?.metaServers ?? [])],
      names: [location.cluster, ...(own ? [own.clusterName] : [])],
    }
    const node = await this.nodeOf(reads, names)
    return {
      ...(configuration ? {configuration} : {}),
      facts: targetFacts(location, tables, name, configuration),
      location,
      ...(node ? {node} : {}),
    }
  }

  private async locateByNode(clues: Parameters<typeof locateTarget>[0], reads: Promise<NodeReading | undefined>) {
    const node = await reads
    return node && locateTarget({...clues, node})
  }

  private async nodeOf(reads: Promise<NodeReading | undefined>, target?: Names): Promise<StatusFacts['node']> {
    const node = await reads
    const {info} = this.task
    const {query} = this.reading.reader
    const source = {metas: [...query.sourceMetas, ...(info?.metaServers ?? [])], names: info ? [info.clusterName] : []}
    return node && nodeFacts(node, source, target)
  }

  private async readNode(journal?: JournalFacts): Promise<NodeReading | undefined> {
    const {info, name} = this.task
    const {reader, signal, stop} = this.reading
    const root = reader.query.zooKeeperRoot ?? journal?.root
    const hosts = reader.query.zooKeeperHosts ?? journal?.metaproxyHosts ?? info?.zookeeperHosts
    if (root === undefined || !hosts) return undefined
    return readNode(reader.storeOf(hosts, root), {hosts, root, table: name}, signal, stop)
  }

  private async readShipping(entries: DuplicationFacts[], journal?: JournalFacts): Promise<ShippingFacts | undefined> {
    const wanted = this.reading.reader.query.targetCluster ?? journal?.targetCluster
    const entry = entries.find(({remote}) => remote === wanted) ?? entries[0]
    if (!entry || !this.configuration) return undefined
    return readShippingFacts(this.asking, this.source, this.configuration, entry.dupid, this.reading.signal)
  }

  private async readProxies(journal?: JournalFacts, target?: TableConfiguration): Promise<ProxyFacts[]> {
    const {reader, signal, stop} = this.reading
    const addresses = reader.query.proxies.length > 0 ? reader.query.proxies : (journal?.proxies ?? [])
    const sides = {...(this.configuration ? {source: this.configuration} : {}), ...(target ? {target} : {})}
    return Promise.all(
      addresses.map((address) => readProxy(reader.client.pool, address, this.task.name, sides, signal, stop)),
    )
  }

  private readSettings(journal?: JournalFacts, target?: TargetLocation) {
    const side = (wanted: 'source' | 'target') =>
      wanted === 'source' ? this.reading.source : target && this.reading.clusterReading(target.metas, 'target', this.asking)
    return readSettings(
      this.asking,
      journal?.hints.settings ?? [],
      {
        async metaLevel(wanted) {
          return (await side(wanted)?.info)?.metaFunctionLevel
        },
        of: (wanted) => side(wanted)?.cluster,
      },
      this.reading.signal,
    )
  }

  /** Only of a table that could be cut over: while its duplication ships and nothing is denied yet. */
  private async predict(facts: StatusFacts): Promise<WindowPrediction | undefined> {
    const view = viewOf(facts)
    if (view.entry?.status !== 'DS_LOG' || view.committed || view.deny !== undefined || !this.configuration) return undefined
    const {reader, signal} = this.reading
    const servers = await readTimers(this.asking, this.source, this.configuration, reader.dumps, signal)
    if (servers.length === 0) return undefined
    const source: PredictionFacts['source'] = {generation: generationOf(this.task.isMaster), servers}
    return predictWindow({source})
  }
}

function factsOf({createTsMs, dupid, remote, status}: DuplicationEntry): DuplicationFacts {
  const name = DuplicationStatus[status] as keyof typeof DuplicationStatus
  return {createdAtMs: createTsMs, dupid, remote, status: name}
}
