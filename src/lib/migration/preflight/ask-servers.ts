import {isMigratorError, MigratorError} from '../../errors.js'
import type {PegasusClient} from '../../pegasus/client.js'
import type {NodeStatusInfo, TableConfiguration} from '../../pegasus/cluster.js'
import type {CallLimits} from '../../pegasus/env.js'
import type {ReplicaServer} from '../../pegasus/replica-server.js'
import type {ServerFacts, ServerQuestion} from './check.js'
import {type FigureSource, freeSpaceMb, requestFigures, tableSizeMb} from './figures.js'
import {judgedPartOf, liveFlags} from './settings.js'

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

/** For the first question to a server by RPC, and by HTTP: one that is dead must not hold the others up. */
export const CONTACT_MS = 3000
/** For every other question, once the server has answered: a configuration is 600 KB, and the link may be slow. */
export const QUESTION_MS = 10_000

/** Asks one server, one question after the other, and writes the answers into its facts. */
export class ServerInterview {
  /** When the first sample of the request counters was taken, `Clock.nowMs`. */
  sampledAtMs: number | undefined
  private readonly limits: CallLimits
  private readonly silent = new Map<'http' | 'rpc', Error>()

  constructor(
    private readonly client: PegasusClient,
    private readonly server: ReplicaServer,
    readonly facts: ServerFacts,
    private readonly signal: AbortSignal,
    private readonly about: {appId: number; isMaster: boolean},
  ) {
    this.limits = {signal, timeoutMs: QUESTION_MS}
  }

  /** Finds out whether the server answers at all. Throws only what is no failure of the server, as `run` and `sample`. */
  async contact(): Promise<void> {
    const {facts, server, signal} = this
    const limits = {signal, timeoutMs: CONTACT_MS}
    const byRpc = await this.ask('contact', 'rpc', async () =>
      versionIn(await server.command('server-info', [], limits)),
    )
    const byHttp = await this.ask('version', 'http', () => server.version(limits))
    facts.version = byHttp?.version ?? byRpc ?? ''
    const rpc = this.silent.get('rpc')
    if (rpc && this.silent.has('http')) facts.unreachable = rpc.message
  }

  async run(role: ServerRole): Promise<void> {
    const {facts, limits, server} = this
    const {appId} = this.about
    facts.dump = await this.ask('dump', 'rpc', async () => judgedPartOf(await server.configDump(limits)))
    if (role === 'target') {
      facts.freeMb = await this.ask('disk', this.figuresBy, () => freeSpaceMb(this.figures))
      return
    }

    if (role === 'source-host') {
      await this.sample()
      const replicas = await this.ask('replicas', 'rpc', () => server.replicas(limits))
      facts.replicas = replicas?.filter(({pid}) => pid.appId === appId)
      facts.tableMb = await this.ask('disk', this.figuresBy, () => tableSizeMb(this.figures))
      facts.dataVersions = await this.ask('data-version', 'http', () => server.dataVersions(appId, limits))
    }

    await this.ask('config', 'http', async () => {
      for (const name of liveFlags) facts.config.set(name, await server.config(name, limits))
    })
  }

  /** One sample of the requests for the table; nothing after the server fell silent. */
  async sample(): Promise<void> {
    if (this.facts.unreachable !== undefined) return
    const sample = await this.ask('activity', this.figuresBy, () => requestFigures(this.figures, this.facts.primaryOf))
    if (!sample) return
    this.facts.activity.push(sample)
    this.sampledAtMs ??= this.client.env.clock.nowMs()
  }

  private get figures(): FigureSource {
    const {about, client, limits, server} = this
    return {...about, client, limits, server}
  }

  private get figuresBy(): 'http' | 'rpc' {
    return this.about.isMaster ? 'http' : 'rpc'
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

/** The version in the text of `server-info`: a sentence on 2.4 and 2.5, JSON on master. */
export function versionIn(serverInfo: string): string {
  const [, sentence, json] = /Pegasus Server (\S+)|"version":\s*"([^"]+)"/.exec(serverInfo) ?? []
  return sentence ?? json ?? ''
}
