import {isMigratorError, MigratorError} from '../errors.js'
import {type Call, serverCalls} from '../rpc/calls.js'
import type {Gpid} from '../rpc/custom-types.js'
import type {HttpResponse} from '../rpc/transport.js'
import {excerpt} from '../rpc/rpc-errors.js'
import type {ReplicaInfo} from '../rpc/structs/replica.js'
import type {PegasusClient} from './client.js'
import {type ConfigDump, parseConfigDump} from './config-dump.js'
import {type CallLimits, DEFAULT_TIMEOUT_MS} from './env.js'
import {objectOf, parseJson, textIn} from './json.js'
import {parseProgress, type ReplicaProgress} from './replica-progress.js'
import {
  type DuplicationState,
  type MetricEntity,
  parseCounters,
  parseDataVersions,
  parseDuplicationStates,
  parseMetrics,
} from './server-text.js'

export type {ReplicaProgress} from './replica-progress.js'
export type {DuplicationState, MetricEntity} from './server-text.js'

/** Why a server reports no duplication state. */
export type NoDuplicationReason = 'disabled' | 'no-duplication' | 'no-primary'

const NO_DUPLICATION: Array<[RegExp, NoDuplicationReason]> = [
  [/^no primary for app/, 'no-primary'],
  [/^no duplication assigned for app/, 'no-duplication'],
  [/^duplication is not enabled/, 'disabled'],
]

const IPV4 = /^(\d{1,3}\.){3}\d{1,3}:\d{1,5}$/

/**
 * One server, asked directly. Commands and `configDump` work for metas too; the HTTP methods are for replica servers.
 * All methods throw MigratorError: server.error, rpc.*, http.*.
 */
export class ReplicaServer {
  constructor(
    private readonly client: PegasusClient,
    readonly address: string,
  ) {}

  /** Every replica on the server, of every table and status. */
  async replicas(limits?: CallLimits): Promise<ReplicaInfo[]> {
    // The server does not look at the node, but must be able to read it (protocol.md §4.5).
    const request = {node: IPV4.test(this.address) ? this.address : null}
    const {replicas} = await this.ask(serverCalls.queryReplicaInfo, request, limits)
    return replicas
  }

  /** C of one replica; 0 while it is learning. @throws also server.error ERR_OBJECT_NOT_FOUND */
  async lastCommittedDecree(pid: Gpid, limits?: CallLimits): Promise<number> {
    const request = {node: IPV4.test(this.address) ? this.address : null, pid}
    const {lastDecree} = await this.ask(serverCalls.queryReplicaDecree, request, limits)
    return lastDecree
  }

  /** Live state of each partition whose primary is here; `reason` tells why there is none. */
  async duplicationStates(
    appId: number,
    limits?: CallLimits,
  ): Promise<{reason?: NoDuplicationReason; states: DuplicationState[]}> {
    const response = await this.get(`/replica/duplication?appid=${appId}`, limits)
    if (response.status === 200) return {states: parseDuplicationStates(response.body, appId)}
    const known = NO_DUPLICATION.find(([pattern]) => response.status === 404 && pattern.test(response.body))
    if (known) return {reason: known[1], states: []}
    throw this.unexpected('/replica/duplication', response)
  }

  /** Data version by partition index, secondaries included; empty when the server has no replica of the table. */
  async dataVersions(appId: number, limits?: CallLimits): Promise<Map<number, string>> {
    const response = await this.get(`/replica/data_version?app_id=${appId}`, limits)
    if (response.status === 200) return parseDataVersions(response.body)
    if (response.status === 404 && response.body.startsWith(`app_id=${appId} not found`)) return new Map()
    throw this.unexpected('/replica/data_version', response)
  }

  /** Value of a registered flag; undefined when the server has no such flag. On master it may not be what acts. */
  async config(name: string, limits?: CallLimits): Promise<string | undefined> {
    const body = await this.body(`/config?name=${encodeURIComponent(name)}`, limits)
    if (body.startsWith('ERR_OBJECT_NOT_FOUND')) return undefined
    return textIn(objectOf(parseJson(body, '/config'), 'body'), 'value')
  }

  /**
   * Changes a flag in the server's memory. Success is no proof that it acts (measured-master.md §1).
   * @throws also server.config_refused with the server's words
   */
  async updateConfig(name: string, value: string, limits?: CallLimits): Promise<void> {
    const path = `/updateConfig?${encodeURIComponent(name)}=${encodeURIComponent(value)}`
    const status = textIn(objectOf(parseJson(await this.body(path, limits), '/updateConfig'), 'body'), 'update_status')
    if (status === 'ERR_OK') return
    throw new MigratorError('server.config_refused', `${this.address} refused ${name}=${value}: ${excerpt(status)}`, {
      facts: {address: this.address, name, status: excerpt(status), value},
    })
  }

  async version(limits?: CallLimits): Promise<{gitCommit: string; version: string}> {
    const body = objectOf(parseJson(await this.body('/version', limits), '/version'), 'body')
    return {gitCommit: textIn(body, 'GitCommit'), version: textIn(body, 'Version')}
  }

  /** Differs after a restart; the server's local time as text. */
  async startTime(limits?: CallLimits): Promise<string> {
    const body = parseJson(await this.body('/recentStartTime', limits), '/recentStartTime')
    return textIn(objectOf(body, 'body'), 'RecentStartTime')
  }

  /** Runs a remote command, once. @throws also server.unknown_command */
  command(cmd: string, args: string[], limits?: CallLimits): Promise<string> {
    return this.run(cmd, args, false, limits)
  }

  /** The loaded configuration, some 600 KB. */
  async configDump(limits?: CallLimits): Promise<ConfigDump> {
    // Never with an argument: that makes the server write a file (protocol.md §3.12).
    return parseConfigDump(await this.run('config-dump', [], true, limits))
  }

  /** Decrees of each replica of the table; undefined where the command does not exist (2.4, 2.5). */
  async progress(appId: number, limits?: CallLimits): Promise<ReplicaProgress[] | undefined> {
    try {
      const all = parseProgress(await this.run('replica.query-progress', [String(appId)], true, limits))
      return all.filter((replica) => replica.appId === appId)
    } catch (error) {
      if (isMigratorError(error, 'server.unknown_command')) return undefined
      throw error
    }
  }

  /** Perf counters whose name contains `substring`, as of the last snapshot; none on master. */
  async counters(substring: string, limits?: CallLimits): Promise<Map<string, number>> {
    return parseCounters(await this.run('perf-counters-by-substr', [substring], true, limits))
  }

  /** Metrics of the replicas of a table; undefined where they do not exist (2.4, 2.5). */
  async metrics(appId: number, names: string[], limits?: CallLimits): Promise<MetricEntity[] | undefined> {
    const metrics = names.map((name) => encodeURIComponent(name)).join(',')
    const path = `/metrics?types=replica&attributes=table_id,${appId}&metrics=${metrics}&with_metric_fields=name,value`
    const response = await this.get(path, limits)
    if (response.status === 200) return parseMetrics(response.body)
    if (response.status === 404) return undefined
    throw this.unexpected('/metrics', response)
  }

  /** Any page of the server's HTTP service, as it is. */
  get(path: string, limits: CallLimits = {}): Promise<HttpResponse> {
    const {gate, http} = this.client
    const {signal, timeoutMs = DEFAULT_TIMEOUT_MS} = limits
    return gate.pass(this.address, signal, () => http.get(this.address, path, {signal, timeoutMs}))
  }

  private async ask<Q, S extends {err: string}>(call: Call<Q, S>, request: Q, limits: CallLimits = {}): Promise<S> {
    const response = await this.exchange(call, request, true, limits)
    if (response.err === 'ERR_OK') return response
    const err = excerpt(response.err, 80)
    throw new MigratorError('server.error', `${this.address} answered ${err} to ${call.name}`, {
      facts: {address: this.address, call: call.name, err},
    })
  }

  private async body(path: string, limits?: CallLimits): Promise<string> {
    const response = await this.get(path, limits)
    if (response.status !== 200) throw this.unexpected(path.split('?', 1)[0]!, response)
    return response.body
  }

  private async exchange<Q, S>(call: Call<Q, S>, request: Q, idempotent: boolean, limits: CallLimits): Promise<S> {
    const {gate, pool} = this.client
    const options = {idempotent, signal: limits.signal, timeoutMs: limits.timeoutMs ?? DEFAULT_TIMEOUT_MS}
    const ask = () => gate.pass(this.address, limits.signal, () => pool.call(this.address, call, request, options))
    try {
      return await ask()
    } catch (error) {
      // The usual cause is a restart since the last call: a fresh connection tells.
      if (!idempotent || !isMigratorError(error, 'rpc.connection_lost')) throw error
      return ask()
    }
  }

  private async run(cmd: string, args: string[], idempotent: boolean, limits: CallLimits = {}): Promise<string> {
    const text = await this.exchange(serverCalls.remoteCommand, {args, cmd}, idempotent, limits)
    if (!text.startsWith('unknown command')) return text
    throw new MigratorError('server.unknown_command', `${this.address} has no command ${cmd}`, {
      facts: {address: this.address, command: cmd},
    })
  }

  private unexpected(path: string, response: HttpResponse): MigratorError {
    const body = excerpt(response.body)
    return new MigratorError('http.status', `${this.address} answered ${response.status} to GET ${path}: ${body}`, {
      facts: {address: this.address, body, path, status: response.status},
    })
  }
}
