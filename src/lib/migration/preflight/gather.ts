import {type Clock, deadline, sleep} from '../../clock.js'
import {formatSeconds} from '../../durations.js'
import {MigratorError} from '../../errors.js'
import {queryProxy} from '../../metaproxy/proxy.js'
import type {MetaproxyStore} from '../../metaproxy/store.js'
import type {PegasusClient} from '../../pegasus/client.js'
import {type AppInfo, AppStatus} from '../../rpc/structs/table.js'
import type {MigrationRequest} from '../request.js'
import {AddressBook, resolveByDns, type ResolveHost, splitAddresses} from './addresses.js'
import {CONTACT_MS, type ServerInterview} from './ask-servers.js'
import {forEachBounded} from './bounded.js'
import type {PreflightFacts, ProxyFacts} from './check.js'
import {gatherSide, SERVERS_AT_ONCE, type SideFacts} from './gather-side.js'
import {configuredMetas} from './settings.js'

export interface GatherOptions {
  /** Deny value that this machine's journal claims. */
  ownDeny?: string
  /** Whether the journal says that we handed the table over. */
  ownHandOver?: boolean
  /** Dupid that this machine's journal claims. */
  ownDupid?: number
  /** How host names become addresses; default the machine's DNS. */
  resolve?: ResolveHost
  signal: AbortSignal
  store?: MetaproxyStore
}

/** Between the two samples of the request counters. */
const SAMPLES_APART_MS = 3000

/**
 * Reads everything that the checks judge, once; changes nothing. Whatever cannot be read, or not within
 * `limits.preflightMs`, is told in `unread`, `failures`, `unreachable` and `error`, and hides nothing else.
 * @throws the signal's reason once it is aborted
 */
export async function gatherFacts(
  request: MigrationRequest,
  client: PegasusClient,
  options: GatherOptions,
): Promise<PreflightFacts> {
  options.signal.throwIfAborted()
  const {clock} = client.env
  const book = new AddressBook(clock, options.resolve ?? client.env.resolve ?? resolveByDns)
  const {preflightMs} = request.limits
  const reason = () =>
    new MigratorError(
      'preflight.deadline',
      `no answer within the ${formatSeconds(preflightMs)} of preflight (--preflight-limit)`,
    )
  const limit = deadline(clock, preflightMs, reason, options.signal)
  const {signal} = limit
  try {
    const [source, target, metaproxy, proxies] = await Promise.all([
      gatherSide('source', client, request, book, signal),
      gatherSide('target', client, request, book, signal),
      options.store && readNode(options.store, request.table, signal),
      Promise.all(request.proxies.map((address) => askProxy(client, address, request.table, signal))),
    ])
    const samplesApartMs = await sampleAgain(source.interviews, clock, signal)
    options.signal.throwIfAborted()
    const facts: PreflightFacts = {
      addresses: new Map(),
      client,
      gatheredAtMs: clock.wallMs(),
      metaproxy,
      ownHandOver: options.ownHandOver,
      ownDeny: options.ownDeny,
      ownDupid: options.ownDupid,
      proxies,
      request,
      samplesApartMs,
      signal: options.signal,
      source: {
        ...clusterFacts(source),
        configuration: source.configuration,
        otherServers: source.servers.filter(({alive, replicaOf}) => alive && replicaOf.length === 0),
        servers: source.servers.filter(({replicaOf}) => replicaOf.length > 0),
        table: source.table ?? absentTable(request.table),
      },
      target: {...clusterFacts(target), servers: target.servers, table: target.table},
      unread: new Map([...source.unread, ...target.unread]),
    }
    facts.addresses = await book.resolveAll(addressesIn(facts))
    options.signal.throwIfAborted()
    return facts
  } finally {
    limit.dispose()
  }
}

function clusterFacts({cluster, duplications, generation, info, metas, nodes}: SideFacts) {
  return {cluster, duplications, generation, info, metas, nodes}
}

/** Stands for the source's table when there is none; `unread` names it then. */
function absentTable(appName: string): AppInfo {
  const unset = {appId: 0, createSecond: 0, dropSecond: 0, expireSecond: 0, maxReplicaCount: 0, partitionCount: 0}
  const status = AppStatus.AS_INVALID
  return {...unset, appName, appType: '', envs: new Map(), initPartitionCount: -1, isStateful: false, status}
}

async function readNode(
  store: MetaproxyStore,
  table: string,
  signal: AbortSignal,
): Promise<PreflightFacts['metaproxy']> {
  try {
    return {node: await store.read(table, signal), store}
  } catch (error) {
    if (error instanceof MigratorError) return {error, store}
    throw error
  }
}

async function askProxy(
  client: PegasusClient,
  address: string,
  table: string,
  signal: AbortSignal,
): Promise<ProxyFacts> {
  try {
    return {address, answer: await queryProxy(client.pool, address, table, {signal, timeoutMs: CONTACT_MS})}
  } catch (error) {
    if (error instanceof MigratorError) return {address, error}
    throw error
  }
}

/** Second look at the request counters. @returns how long after the first, ms; 0 when the time was over */
async function sampleAgain(all: ServerInterview[], clock: Clock, signal: AbortSignal): Promise<number> {
  const interviews = all.filter(({sampledAtMs}) => sampledAtMs !== undefined)
  if (interviews.length === 0) return 0
  const firstMs = Math.max(...interviews.map(({sampledAtMs}) => sampledAtMs!))
  try {
    await sleep(clock, Math.max(0, firstMs + SAMPLES_APART_MS - clock.nowMs()), signal)
  } catch (error) {
    if (error instanceof MigratorError) return 0 // the limit: one sample has to do, and the check says so
    throw error
  }

  const apartMs = clock.nowMs() - firstMs
  await forEachBounded(interviews, SERVERS_AT_ONCE, (interview) => interview.sample())
  return apartMs
}

/** Every address that some check compares with another. */
function addressesIn({metaproxy, request, source, target}: PreflightFacts): string[] {
  const dumps = [...source.metas, ...source.servers, ...source.otherServers].map(({dump}) => dump)
  return [
    ...request.sourceMetas,
    ...request.targetMetas,
    ...source.info.metaServers,
    ...target.info.metaServers,
    ...(metaproxy?.node?.data.metaAddresses ?? []),
    ...dumps.flatMap((dump) => splitAddresses((dump && configuredMetas(dump, request.targetCluster)) ?? '')),
  ]
}
