import type {Duplex} from 'node:stream'

import {type Clock, systemClock} from '../../src/lib/clock.js'
import {messageOf} from '../../src/lib/errors.js'
import {PegasusClient} from '../../src/lib/pegasus/client.js'
import type {Cluster} from '../../src/lib/pegasus/cluster.js'
import {metaErrorName} from '../../src/lib/pegasus/meta-client.js'
import {metaCalls} from '../../src/lib/rpc/calls.js'
import {
  decodeArguments,
  decodeRequest,
  type DecodedRequest,
  encodeResponse,
  requestLength,
} from '../../src/lib/rpc/frame.js'
import type {QueryCfgResponse} from '../../src/lib/rpc/structs/table.js'
import {type NodeEvent, type WatchedNodes, zooKeeperNodes} from './metaproxy-nodes.js'
import {type Listener, type SandboxNetwork, tcpNetwork} from './network.js'

export interface MetaproxyOptions {
  clock?: Clock
  network?: SandboxNetwork
  random?: () => number
  /** As in its config file: tables' nodes are `<root>/<table>`. */
  root: string
  /** `host:port` of a real ZooKeeper, or a model. */
  zookeeper: string | (() => WatchedNodes)
}

/** As long as anybody: it asks the metas without a limit. */
const FOR_EVER_MS = 1_000_000_000

/** What the proxy remembers of a table's node. */
interface CachedTable {
  metaAddresses: string[]
}

/** An error that goes into the response's `err`. */
class AnswerError extends Error {}

/**
 * Reads a node as Go's json.Unmarshal does for metaproxy: `null` and absent fields are fine and mean empty.
 * @throws AnswerError
 */
function parse(bytes: Buffer): CachedTable {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw new AnswerError('ERR_INVALID_DATA', {cause: error})
  }

  const {cluster_name: clusterName = '', meta_addrs: metaAddrs = ''} = (value ?? {}) as Record<string, unknown>
  const isRecord = value === null || (typeof value === 'object' && !Array.isArray(value))
  if (!isRecord || typeof clusterName !== 'string' || typeof metaAddrs !== 'string')
    throw new AnswerError('ERR_INVALID_DATA')
  // A blank in front of an address is taken (measured.md §8).
  return {metaAddresses: metaAddrs.split(',').map((address) => address.trim())}
}

/** metaproxy as it behaves (protocol.md §9, measured.md §0, §8), its own faults included. */
export class SimulatedMetaproxy {
  /** Why it went down by itself, if it did. */
  died: string | undefined
  private readonly clients = new Map<string, {client: PegasusClient; cluster: Cluster}>()
  private life = new AbortController()
  private listener!: Listener
  private nodes: undefined | WatchedNodes
  private readonly tables = new Map<string, CachedTable>()

  private constructor(private readonly options: Required<MetaproxyOptions>) {}

  static async start(options: MetaproxyOptions): Promise<SimulatedMetaproxy> {
    const defaults = {clock: systemClock, network: tcpNetwork(), random: Math.random}
    const proxy = new SimulatedMetaproxy({...defaults, ...options})
    proxy.listener = await proxy.options.network.listen((stream) => proxy.accept(stream))
    proxy.connect()
    return proxy
  }

  get address(): string {
    return this.listener.address
  }

  /**
   * Its ZooKeeper session expires: it gets a new one, and ignores from now on whatever happens to the nodes that it
   * had read (measured.md §8). Only a restart mends that.
   */
  async expireSession(): Promise<void> {
    await this.nodes?.expire()
  }

  /** Forgets everything and starts again at the same address. */
  async restart(): Promise<void> {
    await this.stop()
    this.died = undefined
    this.life = new AbortController()
    await this.listener.open()
    this.connect()
  }

  async stop(): Promise<void> {
    this.life.abort(new Error('the metaproxy was stopped'))
    this.tables.clear()
    await this.listener.close()
    const clients = [...this.clients.values()]
    this.clients.clear()
    await Promise.all(clients.map(({client}) => client.close()))
    await this.nodes?.close()
    this.nodes = undefined
  }

  private accept(stream: Duplex): void {
    const connection = new AbortController()
    let bytes: Buffer = Buffer.alloc(0)
    stream.on('error', () => stream.destroy())
    stream.on('close', () => connection.abort(new Error('the client has gone')))
    stream.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      try {
        for (;;) {
          const length = requestLength(bytes)
          if (length === undefined || bytes.length < length) return
          const request = decodeRequest(bytes.subarray(0, length))
          bytes = bytes.subarray(length)
          // Anything else is read and never answered.
          if (request.head.name === metaCalls.queryConfig.name) void this.answer(stream, request, connection.signal)
        }
      } catch {
        // What it cannot read is logged, and the connection stays open.
        bytes = Buffer.alloc(0)
      }
    })
  }

  private async answer(stream: Duplex, {args, head}: DecodedRequest, connection: AbortSignal): Promise<void> {
    const {appName} = decodeArguments(metaCalls.queryConfig.request, args)
    const signal = AbortSignal.any([connection, this.life.signal])
    const value = await this.configuration(appName, signal)
    if (signal.aborted || value === undefined) return
    stream.write(encodeResponse(head.name, head.seqid, 'ERR_OK', {type: metaCalls.queryConfig.response, value}))
  }

  private async configuration(table: string, signal: AbortSignal): Promise<QueryCfgResponse | undefined> {
    try {
      const {metaAddresses} = this.tables.get(table) ?? (await this.load(table))
      if (metaAddresses.length < 2) throw new AnswerError('ERR_INVALID_DATA')
      const cluster = this.clusterOf(metaAddresses)
      const answer = await cluster.configuration(table, {patienceMs: FOR_EVER_MS, signal})
      return {...answer, err: 'ERR_OK', isStateful: true}
    } catch (error) {
      if (signal.aborted) return undefined
      const err = error instanceof AnswerError ? error.message : (metaErrorName(error) ?? 'ERR_UNKNOWN')
      return {appId: 0, err, isStateful: false, partitionCount: 0, partitions: []}
    }
  }

  private clusterOf(metaAddresses: string[]): Cluster {
    const key = metaAddresses.join(',')
    let known = this.clients.get(key)
    if (!known) {
      const {clock, network, random} = this.options
      const client = new PegasusClient({clock, random, transport: network.transport})
      known = {client, cluster: client.cluster([...new Set(metaAddresses)])}
      this.clients.set(key, known)
    }

    return known.cluster
  }

  private connect(): void {
    const {zookeeper} = this.options
    this.nodes = typeof zookeeper === 'string' ? zooKeeperNodes(zookeeper) : zookeeper()
  }

  private die(reason: string): void {
    this.died = reason
    void this.stop()
  }

  /** Reads a node and watches it. @throws AnswerError */
  private async load(table: string): Promise<CachedTable> {
    const {nodes} = this
    let bytes: Buffer | undefined
    try {
      bytes = await nodes!.read(`${this.options.root}/${table}`, (event) => {
        if (this.nodes === nodes) void this.follow(table, event)
      })
    } catch (error) {
      throw new AnswerError('ERR_ZOOKEEPER_OPERATION', {cause: error})
    }

    if (bytes === undefined) throw new AnswerError('ERR_OBJECT_NOT_FOUND')
    const loaded = parse(bytes)
    this.tables.set(table, loaded)
    return loaded
  }

  private async follow(table: string, event: NodeEvent): Promise<void> {
    if (event === 'deleted') {
      this.tables.delete(table)
      return
    }

    try {
      await this.load(table)
    } catch (error) {
      this.die(`failed to get cluster info of ${table} when its watch fired: ${messageOf(error)}`)
    }
  }
}

/** Starts a metaproxy on a port of its own. */
export function startMetaproxy(options: MetaproxyOptions): Promise<SimulatedMetaproxy> {
  return SimulatedMetaproxy.start(options)
}
