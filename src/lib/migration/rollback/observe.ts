import type {MetaproxyStore, NodeRecord} from '../../metaproxy/store.js'
import {isMigratorError} from '../../errors.js'
import type {Files} from '../../files.js'
import type {PegasusClient} from '../../pegasus/client.js'
import {type DuplicationEntry, DuplicationStatus} from '../../rpc/structs/duplication.js'
import type {UnstampedEvent} from '../events.js'
import {findSettings} from '../found-settings.js'
import {insist} from '../mend.js'
import {duplicationNameIn} from '../preflight/settings.js'
import type {JournalFacts} from '../status/facts.js'
import {chooseJournal, listJournals} from '../status/journal-facts.js'
import {sideOf} from '../status/read-metaproxy.js'
import {locateTarget} from '../status/read-target.js'
import {tellJournal} from './journal-view.js'
import {denyOf, QUICK_MS, readDump, readGeneration, readTable, readTarget, readTimers} from './read.js'
import type {RollbackRequest} from './request.js'
import type {RollbackView} from './view.js'

export interface ObserveOptions {
  client: PegasusClient
  emit(event: UnstampedEvent): void
  files: Files
  journalDirectory: string
  openStore(location: {hosts: string; root: string}): MetaproxyStore
  request: RollbackRequest
  signal: AbortSignal
}

export interface Observed {
  hints: JournalFacts['hints']
  journal?: JournalFacts
  metaproxy?: {hosts: string; root: string}
  store?: MetaproxyStore
  view: RollbackView
}

/**
 * Reads where the table stands, as fast as it can: somebody may be waiting for writes. Insists where the answer decides
 * whether a deny may be lifted.
 * @throws MigratorError `rollback.no_table`; what the clusters throw once the limit is over
 */
export async function observe(options: ObserveOptions): Promise<Observed> {
  const {client, emit, request, signal} = options
  const {limitMs, table} = request
  const {clock} = client.env
  const source = client.cluster(request.sourceMetas)
  const patiently = <T>(what: string, read: () => Promise<T>) =>
    insist({clock, emit, request: {table, targetCluster: ''}}, {limitMs, signal}, what, read)
  const [info, found, files] = await Promise.all([
    patiently('reading the source', () => source.info({signal})),
    patiently('reading the table', () => readTable(source, table, signal)),
    listJournals(options.journalDirectory, options.files),
  ])
  const {journal, unread} = await chooseJournal(
    files.filter((file) => file.table === table),
    {
      remotes: found.duplications.map(({remote}) => remote),
      sourceCluster: info.clusterName,
      ...(request.targetCluster === undefined ? {} : {targetCluster: request.targetCluster}),
    },
    options.files,
  )
  for (const {code, message} of unread)
    emit({code, message: `a journal could not be read: ${message}`, type: 'warning'})

  const metaproxy = locateMetaproxy(request, journal, info.zookeeperHosts)
  const store = metaproxy && options.openStore(metaproxy)
  const quickly = {signal, timeoutMs: QUICK_MS}
  const [record, timers, generation] = await Promise.all([
    store && patiently('looking at the metaproxy node; nothing is lifted before', () => readNode(store, table, signal)),
    readTimers(source, found.servers, quickly),
    readGeneration(source, table, quickly),
  ])
  const sourceNames = {metas: [...request.sourceMetas, ...info.metaServers], names: [info.clusterName]}
  const location = await locateTarget({
    duplications: found.duplications.map(({createTsMs, dupid, remote, status}) => ({
      createdAtMs: createTsMs,
      dupid,
      remote,
      status: DuplicationStatus[status] as keyof typeof DuplicationStatus,
    })),
    ...(journal ? {journal} : {}),
    ...(record ? {node: {hosts: '', path: record.path, record}} : {}),
    query: {...request, proxies: []},
    sourceCluster: info.clusterName,
    sourceDump: () => readDump(source, signal),
    sourceMetas: sourceNames.metas,
  })
  const targetNames = location && {metas: location.metas, names: [location.cluster]}
  const targetCluster = nameTarget(request, journal, location?.cluster, found.duplications)
  const entry = found.duplications.find(({remote}) => remote === targetCluster)
  const target =
    targetCluster === undefined
      ? undefined
      : {cluster: targetCluster, ...(await readTarget(client, location?.metas ?? [], table, quickly))}
  const master = target?.table?.followerEnvs['duplication.master_cluster']
  // master follows by its dup_cluster_name, which only its configuration tells (protocol.md §13).
  const dump = master === undefined || master === info.clusterName ? undefined : await readDump(source, signal)
  const duplicatesAs = dump && duplicationNameIn(dump)
  const known = journal?.hints.settings ?? []
  const view: RollbackView = {
    appId: found.table.appId,
    ...(journal ? {journal: await tellJournal(journal, found.table, entry, options.files)} : {}),
    ...denyOf(found.table),
    ...(entry ? {entry} : {}),
    generation,
    node: record
      ? {record, side: sideOf(record.data, sourceNames, targetNames)}
      : {side: metaproxy ? 'absent' : 'unknown'},
    otherRemotes: found.duplications.filter((other) => other !== entry).map(({remote}) => remote),
    partitionCount: found.table.partitionCount,
    settings: [...known, ...(await findSettings(source, {...found, known}, quickly))],
    source: {
      cluster: info.clusterName,
      ...(duplicatesAs === undefined ? {} : {duplicatesAs}),
      metas: request.sourceMetas,
    },
    ...(target ? {target} : {}),
    timers,
  }
  return {
    hints: journal?.hints ?? {settings: []},
    ...(journal ? {journal} : {}),
    ...(metaproxy ? {metaproxy} : {}),
    ...(store ? {store} : {}),
    view,
  }
}

function locateMetaproxy(
  {zooKeeperHosts, zooKeeperRoot}: RollbackRequest,
  journal: JournalFacts | undefined,
  sourceHosts: string,
): {hosts: string; root: string} | undefined {
  const root = zooKeeperRoot ?? journal?.root
  if (root === undefined) return undefined
  return {hosts: zooKeeperHosts ?? journal?.metaproxyHosts ?? sourceHosts, root}
}

/** @returns undefined when the table has no node */
async function readNode(store: MetaproxyStore, table: string, signal: AbortSignal): Promise<NodeRecord | undefined> {
  try {
    return await store.read(table, signal)
  } catch (error) {
    if (isMigratorError(error, 'zk.no_node')) return undefined
    throw error
  }
}

/** Of several duplications that nobody names none is ours. */
function nameTarget(
  request: RollbackRequest,
  journal: JournalFacts | undefined,
  located: string | undefined,
  duplications: readonly DuplicationEntry[],
): string | undefined {
  const named = request.targetCluster ?? journal?.targetCluster
  if (named !== undefined) return named
  if (duplications.length > 1) return undefined
  return duplications[0]?.remote ?? located
}
