import {MigratorError} from '../errors.js'
import {parseMetrics} from '../pegasus/server-text.js'
import {factsOf, type MigrationContext} from './context.js'
import {forEachBounded} from './preflight/bounded.js'

/*
 * Who still asks the source once it refuses everyone, as far as its servers' counters can tell: they count requests that failed, of
 * all tables together, and name nobody (replica_stub.cpp, `response_client`; the log names the client of each). What they served between the
 * switch and the closing cannot be told from our own probes.
 */

const QUESTION_MS = 3000
const SERVERS_AT_ONCE = 16
/** Perf counters show the last interval of 10 s, and the snapshot is up to 10 s old (protocol.md §4.7). */
const OWN_PROBES_GONE_MS = 20_000

const metrics = {reads: 'read_failed_requests', writes: 'write_failed_requests'}
const counters = {
  reads: 'replica*eon.replica_stub*recent.read.fail.count',
  writes: 'replica*eon.replica_stub*recent.write.fail.count',
}

interface Failed {
  reads: number
  writes: number
}

/** Requests that failed on servers of the source after it was closed, of all its tables. */
export interface RemainingClients {
  /** What the figures are of: everything since the source was closed (master), or the counters' last interval (2.4, 2.5). */
  counted: 'last-interval' | 'since-closed'
  /** Whether the tool's own last probes may be among them. */
  mayBeOurs: boolean
  refused: (Failed & {server: string})[]
  /** Servers that did not tell. */
  silent: string[]
}

/** What servers had counted when the source was closed. */
export type FailedBefore = Map<string, Failed>

/** To be read when the source is proved to be closed; never throws. */
export async function readFailedBefore(context: MigrationContext): Promise<FailedBefore> {
  const before: FailedBefore = new Map()
  if (factsOf(context).source.generation === 'master')
    await eachServer(context, (server, failed) => before.set(server, failed))
  return before
}

/** To be read as late as possible. @returns undefined when no server tells */
export async function readRemainingClients(
  context: MigrationContext,
  before: FailedBefore,
): Promise<RemainingClients | undefined> {
  const {clock, state} = context
  const isMaster = factsOf(context).source.generation === 'master'
  const refused: RemainingClients['refused'] = []
  const silent = await eachServer(context, (server, {reads, writes}) => {
    const earlier = before.get(server)
    // A server that restarted counts from 0 again.
    if (!isMaster) refused.push({reads, server, writes})
    else if (earlier) refused.push({reads: since(reads, earlier.reads), server, writes: since(writes, earlier.writes)})
  })
  if (refused.length === 0) return undefined
  const closedForMs = clock.wallMs() - (state.window.sourceClosedAtMs ?? clock.wallMs())
  return {
    counted: isMaster ? 'since-closed' : 'last-interval',
    mayBeOurs: !isMaster && closedForMs < OWN_PROBES_GONE_MS,
    refused: refused.sort((a, b) => a.server.localeCompare(b.server)),
    silent: silent.sort(),
  }
}

const since = (now: number, then: number) => (now >= then ? now - then : now)

/** @returns servers that did not tell */
async function eachServer(
  context: MigrationContext,
  tell: (server: string, failed: Failed) => void,
): Promise<string[]> {
  const {partitions} = factsOf(context).source.configuration
  const hosts = partitions.flatMap(({primary, secondaries}) => [primary, ...secondaries])
  const servers = new Set(hosts.filter((address) => address !== null))
  const silent: string[] = []
  await forEachBounded([...servers], SERVERS_AT_ONCE, async (server) => {
    try {
      const failed = await failedOn(context, server)
      if (failed) tell(server, failed)
      else silent.push(server)
    } catch (error) {
      if (!(error instanceof MigratorError)) throw error
      silent.push(server)
    }
  })
  return silent
}

async function failedOn(context: MigrationContext, address: string): Promise<Failed | undefined> {
  const {forward: signal, source} = context
  const limits = {signal, timeoutMs: QUESTION_MS}
  if (factsOf(context).source.generation === 'master') {
    const path = `/metrics?types=server&metrics=${metrics.reads},${metrics.writes}&with_metric_fields=name,value`
    const {body, status} = await source.server(address).get(path, limits)
    if (status !== 200) return undefined
    const values = new Map(parseMetrics(body).flatMap((entity) => [...entity.values]))
    return pair(values, metrics)
  }

  return pair(await source.server(address).counters('fail.count', limits), counters)
}

function pair(values: ReadonlyMap<string, number>, names: {reads: string; writes: string}): Failed | undefined {
  const [reads, writes] = [values.get(names.reads), values.get(names.writes)]
  return reads === undefined || writes === undefined ? undefined : {reads, writes}
}
