import {isMigratorError, MigratorError} from '../../errors.js'
import type {PegasusClient} from '../../pegasus/client.js'
import type {NodeStatusInfo, TableConfiguration} from '../../pegasus/cluster.js'
import {type CallLimits, DEFAULT_TIMEOUT_MS} from '../../pegasus/env.js'
import type {ReplicaServer} from '../../pegasus/replica-server.js'
import {parseMetrics} from '../../pegasus/server-text.js'
import type {Activity, ServerFacts, ServerQuestion} from './check.js'
import {liveFlags} from './settings.js'

/** What one server is asked, by why it is of interest. */
export type ServerRole = 'source-host' | 'source-other' | 'target'

/** Errors after which a server is not asked again in the same way: waiting for each question would add up. */
const SILENT: Record<'http' | 'rpc', string[]> = {
  http: ['http.connection', 'http.timeout', 'rpc.aborted'],
  rpc: ['rpc.aborted', 'rpc.connect', 'rpc.connection_lost', 'rpc.timeout', 'rpc.unauthenticated'],
}

/** Empty facts of every server of the cluster, with what the metas say it holds. */
export function serversOf(nodes: NodeStatusInfo[], configuration: TableConfiguration): ServerFacts[] {
  const servers = new Map<string, ServerFacts>()
  const server = (address: string, alive: boolean) => {
    const known = servers.get(address)
    if (known) return known
    const fresh = {activity: [], address, alive, config: new Map(), failures: new Map(), version: ''}
    const facts: ServerFacts = {...fresh, primaryOf: [], replicaOf: []}
    if (!alive) facts.unreachable = 'the metas list it as unalive'
    servers.set(address, facts)
    return facts
  }

  for (const {address, alive} of nodes) server(address, alive)
  for (const {pid, primary, secondaries} of configuration.partitions) {
    if (primary !== null) {
      const host = server(primary, true)
      host.primaryOf.push(pid.partitionIndex)
      host.replicaOf.push(pid.partitionIndex)
    }

    for (const address of secondaries) if (address !== null) server(address, true).replicaOf.push(pid.partitionIndex)
  }

  return [...servers.values()]
}

/** Asks one server, one question after the other, and writes the answers into its facts. */
export class ServerInterview {
  private readonly silent = new Map<'http' | 'rpc', Error>()

  constructor(
    private readonly client: PegasusClient,
    private readonly server: ReplicaServer,
    private readonly facts: ServerFacts,
    private readonly limits: CallLimits,
    private readonly about: {appId: number; isMaster: boolean},
  ) {}

  /** Throws only what is no failure of the server. */
  async run(role: ServerRole): Promise<void> {
    const {facts, limits, server} = this
    const {appId} = this.about
    facts.dump = await this.ask('dump', 'rpc', () => server.configDump(limits))
    if (role === 'target') await this.askDisk()
    if (role === 'source-host') {
      const replicas = await this.ask('replicas', 'rpc', () => server.replicas(limits))
      facts.replicas = replicas?.filter(({pid}) => pid.appId === appId)
      await this.sample()
      await this.askTableSize()
      facts.dataVersions = await this.ask('data-version', 'http', () => server.dataVersions(appId, limits))
    }

    facts.version = (await this.ask('version', 'http', () => server.version(limits)))?.version ?? ''
    if (role !== 'target') {
      await this.ask('config', 'http', async () => {
        for (const name of liveFlags) facts.config.set(name, await server.config(name, limits))
      })
    }

    const {http, rpc} = Object.fromEntries(this.silent)
    if (http && rpc) facts.unreachable = rpc.message
  }

  /** One sample of the requests for the table; nothing after the server fell silent. */
  async sample(): Promise<void> {
    if (this.facts.unreachable !== undefined) return
    const {about, limits, server} = this
    const {appId} = about
    const sample = about.isMaster
      ? await this.ask('activity', 'http', async () => {
          const names = ['incr', 'check_and_set', 'check_and_mutate', 'dup'].map((kind) => `${kind}_requests`)
          const entities = (await server.metrics(appId, names, limits)) ?? []
          return sumByKind(entities.flatMap(({values}) => [...values]))
        })
      : await this.ask('activity', 'rpc', async () =>
          activityOf(await server.counters(`_qps@${appId}.`, limits), appId),
        )
    if (sample) this.facts.activity.push(sample)
  }

  private async askTableSize(): Promise<void> {
    const {about, limits, server} = this
    const {appId} = about
    this.facts.tableMb = about.isMaster
      ? await this.ask('disk', 'http', async () => {
          const entities = (await server.metrics(appId, ['rdb_total_sst_size_mb'], limits)) ?? []
          return sum(entities.map(({values}) => values.get('rdb_total_sst_size_mb') ?? 0))
        })
      : await this.ask('disk', 'rpc', async () => {
          const counters = await server.counters(`disk.storage.sst(MB)@${appId}.`, limits)
          return sum([...counters.values()])
        })
  }

  private async askDisk(): Promise<void> {
    const {about, client, facts, limits, server} = this
    facts.disk = about.isMaster
      ? await this.ask('disk', 'http', async () => {
          const names = ['disk_capacity_total_mb', 'disk_capacity_avail_mb']
          const path = `/metrics?types=disk&metrics=${names.join(',')}&with_metric_fields=name,value`
          const {body} = await client.http.get(facts.address, path, {timeoutMs: DEFAULT_TIMEOUT_MS, ...limits})
          const values = parseMetrics(body).map((entity) => names.map((name) => entity.values.get(name) ?? 0))
          return {
            availableMb: sum(values.map(([, available]) => available!)),
            totalMb: sum(values.map(([total]) => total!)),
          }
        })
      : await this.ask('disk', 'rpc', async () => {
          const counters = await server.counters('disk.available.total(MB)', limits)
          const [availableMb] = counters.values()
          if (availableMb === undefined) throw noCounter(facts.address)
          return {availableMb}
        })
  }

  private async ask<T>(name: ServerQuestion, by: 'http' | 'rpc', question: () => Promise<T>): Promise<T | undefined> {
    const {failures} = this.facts
    const silent = this.silent.get(by)
    if (silent) {
      failures.set(name, silent)
      return undefined
    }

    try {
      const answer = await question()
      failures.delete(name)
      return answer
    } catch (error) {
      if (!(error instanceof MigratorError)) throw error
      failures.set(name, error)
      if (isMigratorError(error, ...SILENT[by])) this.silent.set(by, error)
      return undefined
    }
  }
}

function noCounter(address: string): MigratorError {
  return new MigratorError('preflight.no_counter', `${address} has no counter disk.available.total(MB)`)
}

const sum = (figures: number[]) => figures.reduce((total, figure) => total + figure, 0)

/** `incr_requests` and `duplicate_qps` alike → figures by kind of request. */
function sumByKind(entries: Array<[string, number]>): Activity {
  const activity: Activity = new Map()
  for (const [name, figure] of entries) {
    const kind = name.replace(/_(qps|requests)$/, '').replace(/^dup$/, 'duplicate')
    activity.set(kind, (activity.get(kind) ?? 0) + figure)
  }

  return activity
}

/** Requests per second for the table; the server matches substrings, so the table's id is compared here exactly. */
function activityOf(counters: Map<string, number>, appId: number): Activity {
  const pattern = /\*((?:incr|check_and_set|check_and_mutate|duplicate)_qps)@(\d+)\.\d+$/
  const entries = [...counters].flatMap(([name, figure]): Array<[string, number]> => {
    const match = pattern.exec(name)
    return match && Number(match[2]) === appId ? [[match[1]!, figure]] : []
  })
  return sumByKind(entries)
}
