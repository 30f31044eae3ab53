import {type Clock, deadline} from '../clock.js'
import {isMigratorError, MigratorError} from '../errors.js'
import {type Call, serverCalls} from './calls.js'
import {type CallOptions, Connection, DEFAULT_MAX_MESSAGE_BYTES} from './connection.js'
import {abortedError, connectError, unauthenticatedError} from './rpc-errors.js'
import {allowListeners, unlessAborted} from './signals.js'
import {NegotiationStatus} from './structs/cluster.js'
import type {Transport} from './transport.js'

export interface PoolOptions {
  clock: Clock
  connectTimeoutMs?: number
  maxMessageBytes?: number
  transport: Transport
}

/** One connection per address, opened when needed and again after a loss; shared by all users. */
export class ConnectionPool {
  private readonly clock: Clock
  private readonly closing = new AbortController()
  private readonly connectTimeoutMs: number
  /** What is being opened, and what is open. */
  private readonly connecting = new Map<string, Promise<Connection>>()
  private readonly live = new Set<Connection>()
  private readonly maxMessageBytes: number
  private readonly open = new Map<string, Connection>()
  /** Questions whether a server demands Kerberos that are under way. */
  private readonly probes = new Map<string, Promise<string | undefined>>()
  private readonly transport: Transport

  constructor(options: PoolOptions) {
    this.clock = options.clock
    this.connectTimeoutMs = options.connectTimeoutMs ?? 3000
    this.maxMessageBytes = options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES
    this.transport = options.transport
    allowListeners(this.closing.signal)
  }

  /**
   * Calls `address`; `timeoutMs` covers connecting too.
   * @throws MigratorError rpc.connect, rpc.unauthenticated, or as `Connection.call`
   */
  async call<Q, S>(address: string, call: Call<Q, S>, request: Q, options: CallOptions): Promise<S> {
    const endMs = this.clock.nowMs() + options.timeoutMs
    const connection = await this.connection(address, call.name, options)
    const remainingMs = () => Math.max(1, endMs - this.clock.nowMs())
    try {
      return await connection.call(call, request, {...options, timeoutMs: remainingMs()})
    } catch (error) {
      const lost = isMigratorError(error, 'rpc.connection_lost')
      if (!lost || connection.hasReplied || this.closing.signal.aborted) throw error
      const question = this.probe(address, Math.min(remainingMs(), this.connectTimeoutMs))
      const mechanisms = await unlessAborted(question, options.signal).catch((error_: unknown) => {
        throw abortedError({address, call: call.name}, error_)
      })
      throw mechanisms === undefined ? error : unauthenticatedError(address, mechanisms, error)
    }
  }

  /** Sends a call that has no reply. @throws MigratorError rpc.connect, rpc.connection_lost */
  async send<Q, S>(address: string, call: Call<Q, S>, request: Q, options: CallOptions): Promise<void> {
    const connection = await this.connection(address, call.name, options)
    connection.send(call, request, options)
  }

  /** Ends every connection; calls in flight fail. Resolves when all sockets are gone. */
  async close(): Promise<void> {
    this.closing.abort(new Error('the connection pool was closed'))
    const live = [...this.live]
    for (const connection of live) connection.close()
    await Promise.all(live.map((connection) => connection.ended))
    await Promise.allSettled([...this.connecting.values(), ...this.probes.values()])
  }

  private async connection(address: string, call: string, options: CallOptions): Promise<Connection> {
    const site = {address, call}
    if (options.signal?.aborted) throw abortedError(site, options.signal.reason)
    const known = this.open.get(address)
    if (known && !known.closed && !known.suspect) return known
    if (known) {
      this.open.delete(address)
      known.retire()
    }

    let opening = this.connecting.get(address)
    if (!opening) {
      opening = this.connect(address).finally(() => this.connecting.delete(address))
      this.connecting.set(address, opening)
      opening.then(
        (connection) => this.open.set(address, connection),
        () => undefined, // every caller that waits gets the error by itself
      )
    }

    allowListeners(options.signal)
    // Others may wait for the same connection: this caller's limit ends only its own waiting.
    const reason = () => new Error(`not connected within ${options.timeoutMs} ms`)
    const limit = deadline(this.clock, options.timeoutMs, reason, options.signal)
    try {
      return await unlessAborted(opening, limit.signal)
    } catch (error) {
      if (options.signal?.aborted) throw abortedError(site, options.signal.reason)
      throw isMigratorError(error, 'rpc.connect', 'rpc.aborted') ? error : connectError(address, error)
    } finally {
      limit.dispose()
    }
  }

  private async connect(address: string, timeoutMs = this.connectTimeoutMs): Promise<Connection> {
    const {clock, maxMessageBytes} = this
    const reason = () => new Error(`not connected within ${timeoutMs} ms`)
    const limit = deadline(clock, timeoutMs, reason, this.closing.signal)
    try {
      // Nobody speaks before it is asked: nothing arrives before the connection is there.
      const reader: {connection?: Connection} = {}
      const stream = await this.transport.connect(address, limit.signal, (piece) => reader.connection?.receive(piece))
      const connection = new Connection(stream, {address, clock, maxMessageBytes})
      reader.connection = connection
      this.live.add(connection)
      void connection.ended.then(() => this.live.delete(connection))
      if (this.closing.signal.aborted) connection.close()
      return connection
    } catch (error) {
      if (this.closing.signal.aborted) throw abortedError({address, call: 'connect'}, this.closing.signal.reason)
      throw connectError(address, error)
    } finally {
      limit.dispose()
    }
  }

  /**
   * Asks on a fresh connection which SASL mechanisms the server offers (protocol.md §1.7).
   * @returns the list, or undefined when it demands none or does not answer
   */
  private probe(address: string, timeoutMs: number): Promise<string | undefined> {
    const running = this.probes.get(address)
    if (running) return running
    const probe = this.askMechanisms(address, timeoutMs).finally(() => this.probes.delete(address))
    this.probes.set(address, probe)
    return probe
  }

  private async askMechanisms(address: string, timeoutMs: number): Promise<string | undefined> {
    const endMs = this.clock.nowMs() + timeoutMs
    let connection: Connection | undefined
    try {
      connection = await this.connect(address, timeoutMs)
      const request = {msg: Buffer.alloc(0), status: NegotiationStatus.SASL_LIST_MECHANISMS}
      const options = {idempotent: true, timeoutMs: Math.max(1, endMs - this.clock.nowMs())}
      const reply = await connection.call(serverCalls.negotiation, request, options)
      return reply.status === NegotiationStatus.SASL_LIST_MECHANISMS_RESP ? reply.msg.toString('utf8') : undefined
    } catch (error) {
      // No answer is no proof of Kerberos: the error that led here stands.
      if (error instanceof MigratorError) return undefined
      throw error
    } finally {
      connection?.close()
    }
  }
}
