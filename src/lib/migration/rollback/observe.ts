import type {MetaproxyStore, NodeRecord} from '../../metaproxy/store.js'
import {isMigratorError, messageOf, MigratorError} from '../../errors.js'
import {ExitCode} from '../../exit-codes.js'
import type {Files} from '../../files.js'
import type {PegasusClient} from '../../pegasus/client.js'
import type {Cluster} from '../../pegasus/cluster.js'
import type {ConfigDump} from '../../pegasus/config-dump.js'
import type {CallLimits} from '../../pegasus/env.js'
import {type DuplicationEntry, DuplicationStatus} from '../../rpc/structs/duplication.js'
import type {AppInfo} from '../../rpc/structs/table.js'
import {DENY_ENV} from '../effects-live.js'
import type {UnstampedEvent} from '../events.js'
import {type JournalRecord, readJournal} from '../journal.js'
import {insist} from '../mend.js'
import {forEachBounded} from '../preflight/bounded.js'
import type {Generation} from '../preflight/check.js'
import type {JournalFacts} from '../status/facts.js'
import {chooseJournal, listJournals} from '../status/journal-facts.js'
import {sideOf} from '../status/read-metaproxy.js'
import {locateTarget, tableNamed} from '../status/read-target.js'
import {mayPass} from '../wait.js'
import type {RollbackRequest} from './request.js'
import {findSettings} from './settings.js'
import type {RollbackView, TargetTable} from './view.js'

/** For what nothing that must be quick depends on. */
const QUICK_MS = 2000
const SERVERS_AT_ONCE = 32
/** The code's (protocol.md §12). */
const defaultTimers = {configSyncMs: 30_000, groupCheckMs: 10_000}
const unknownTimers = {configSyncMs: 0, groupCheckMs: 0}

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
  for (const {code, message} of unread) emit({code, message: `a journal could not be read: ${message}`, type: 'warning'})

  const metaproxy = locateMetaproxy(request, journal, info.zookeeperHosts)
  const store = metaproxy && options.openStore(metaproxy)
  const quickly = {signal, timeoutMs: QUICK_MS}
  const [record, timers, generation] = await Promise.all([
    store && patiently('looking at the metaproxy node; nothing is lifted before', () => readNode(store, table, signal)),
    readTimers(source, found.servers, quickly),
    readGeneration(source, table, quickly),
  ])
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
  })
  const sourceNames = {metas: [...request.sourceMetas, ...info.metaServers], names: [info.clusterName]}
  const targetNames = location && {metas: location.metas, names: [location.cluster]}
  const targetCluster = nameTarget(request, journal, location?.cluster, found.duplications)
  const entry = found.duplications.find(({remote}) => remote === targetCluster)
  const view: RollbackView = {
    appId: found.table.appId,
    ...(journal ? {journal: await tellJournal(journal, found.table, options.files)} : {}),
    ...denyOf(found.table),
    ...(entry ? {entry} : {}),
    generation,
    node: record
      ? {record, side: sideOf(record.data, sourceNames, targetNames)}
      : {side: metaproxy ? 'absent' : 'unknown'},
    otherRemotes: found.duplications.filter((other) => other !== entry).map(({remote}) => remote),
    partitionCount: found.table.partitionCount,
    settings: journal ? journal.hints.settings : await findSettings(source, found, quickly),
    source: {cluster: info.clusterName, metas: request.sourceMetas},
    ...(targetCluster === undefined
      ? {}
      : {target: {cluster: targetCluster, ...(await readTarget(client, location?.metas ?? [], table, quickly))}}),
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

/** The table with everything that is asked of it at once. */
export interface FoundTable {
  duplications: DuplicationEntry[]
  /** Servers that host a replica of it. */
  servers: string[]
  table: AppInfo
  /** Whether other tables of the cluster are duplicated. */
  othersDuplicate: boolean
}

async function readTable(source: Cluster, name: string, signal: AbortSignal): Promise<FoundTable> {
  const tables = await source.tables({signal})
  const table = tableNamed(tables, name)
  if (!table) {
    throw new MigratorError('rollback.no_table', `the source has no table ${name}`, {
      exitCode: ExitCode.refused,
      next: 'Check the name and --source-meta. Nothing was changed.',
    })
  }

  const [duplications, {partitions}] = await Promise.all([
    source.duplications(name, {signal}),
    source.configuration(name, {signal}),
  ])
  const hosts = new Set(partitions.flatMap(({primary, secondaries}) => [primary, ...secondaries]))
  return {
    duplications: duplications.filter(({status}) => status !== DuplicationStatus.DS_REMOVED),
    othersDuplicate: tables.some((other) => other.duplicating === true && other.appId !== table.appId),
    servers: [...hosts].filter((address) => address !== null).sort(),
    table,
  }
}

function denyOf(table: AppInfo): {deny?: string} {
  const deny = table.envs.get(DENY_ENV)
  return deny === undefined ? {} : {deny}
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

/** What a server that does not answer has is taken from the code's defaults: only limits follow from them. */
async function readTimers(source: Cluster, servers: string[], limits: CallLimits) {
  const timers = {...unknownTimers}
  await forEachBounded(servers, SERVERS_AT_ONCE, async (address) => {
    try {
      const server = source.server(address)
      const [configSync, groupCheck] = await Promise.all([
        server.config('config_sync_interval_ms', limits),
        server.config('group_check_interval_ms', limits),
      ])
      timers.configSyncMs = Math.max(timers.configSyncMs, Number(configSync) || 0)
      timers.groupCheckMs = Math.max(timers.groupCheckMs, Number(groupCheck) || 0)
    } catch (error) {
      limits.signal?.throwIfAborted()
      if (!mayPass(error)) throw error
    }
  })
  return {
    configSyncMs: timers.configSyncMs || defaultTimers.configSyncMs,
    groupCheckMs: timers.groupCheckMs || defaultTimers.groupCheckMs,
  }
}

async function readGeneration(source: Cluster, table: string, limits: CallLimits): Promise<Generation> {
  try {
    return (await source.listDuplications(table, limits)) === undefined ? '2.5' : 'master'
  } catch (error) {
    limits.signal?.throwIfAborted()
    if (!mayPass(error)) throw error
    return '2.5' // the generation that needs more patience
  }
}

/** @returns undefined when it could not be had quickly */
async function readDump(source: Cluster, signal: AbortSignal): Promise<ConfigDump | undefined> {
  const limits = {signal, timeoutMs: QUICK_MS}
  try {
    return await source.server(await source.leader(limits)).configDump(limits)
  } catch (error) {
    signal.throwIfAborted()
    if (!mayPass(error)) throw error
    return undefined
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

async function readTarget(
  client: PegasusClient,
  metas: string[],
  name: string,
  limits: CallLimits,
): Promise<{metas: string[]; table?: TargetTable; trouble?: string}> {
  if (metas.length === 0) return {metas, trouble: 'nobody knows its metas, say them with -m'}
  try {
    const table = tableNamed(await client.cluster(metas).tables(limits), name)
    if (!table) return {metas}
    const followerEnvs = Object.fromEntries([...table.envs].filter(([key]) => key.startsWith('duplication.')))
    return {metas, table: {appId: table.appId, ...denyOf(table), followerEnvs, partitionCount: table.partitionCount}}
  } catch (error) {
    limits.signal?.throwIfAborted()
    if (!mayPass(error)) throw error
    return {metas, trouble: messageOf(error)}
  }
}

async function tellJournal(journal: JournalFacts, table: AppInfo, files: Files): Promise<RollbackView['journal']> {
  const {ended, hints} = journal
  const records = await readJournal(journal.path, files)
  const deny = ownDeny(records)
  const nodeBefore = nodeBytesBefore(records)
  const closed = table.envs.get(DENY_ENV) === 'reconfig*all'
  const moved = hints.closed === true || ['handed-over', 'migrated', 'switched-unfinished'].includes(ended?.outcome ?? '')
  return {
    ...(deny === undefined ? {} : {deny}),
    ...(hints.dupid === undefined ? {} : {dupid: hints.dupid}),
    ...(ended ? {ended: ended.outcome} : {}),
    handedOver: hints.word === true || (closed && moved),
    ...(nodeBefore === undefined ? {} : {nodeBefore}),
  }
}

/** The value that this migration, or its way back, gave the source's deny env last and has not taken off. */
function ownDeny(records: readonly JournalRecord[]): string | undefined {
  let deny: string | undefined
  for (const record of records) {
    if (record.kind === 'after' && record.effect.kind === 'lift-deny' && record.outcome === 'done') deny = undefined
    if (record.kind !== 'before') continue
    const {effect} = record
    if (effect.kind === 'deny' || effect.kind === 'close-source' || effect.kind === 'open-source-reads') deny = effect.value
  }

  return deny
}

/** What the node held before the last switch. */
function nodeBytesBefore(records: readonly JournalRecord[]): string | undefined {
  const bytes = records.flatMap((record) => (record.kind === 'before' && record.effect.kind === 'switch-node' ? [record.effect.before] : []))
  return bytes.at(-1)
}
