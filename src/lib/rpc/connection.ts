import type {Duplex} from 'node:stream'

import type {Clock, Timer} from '../clock.js'
import {isMigratorError, type MigratorError} from '../errors.js'
import type {Call} from './calls.js'
import type {Gpid} from './custom-types.js'
import {decodeResponse, decodeResult, encodeRequest} from './frame.js'
import {malformed} from './memory-transport.js'
import {MessageReader} from './message-reader.js'
import {abortedError, type CallSite, lostError, serverError, timeoutError, tooLargeError} from './rpc-errors.js'
import {allowListeners} from './signals.js'

export const DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024

export interface CallOptions {
  /** Whether sending it twice does no harm; decides `retrySafe` of errors that come after it was sent. */
  idempotent?: boolean
  /** Answered by secondaries too, maybe with old data. */
  isBackupRequest?: boolean
  partitionHash?: bigint
  pid?: Gpid
  signal?: AbortSignal
  timeoutMs: number
}

export interface ConnectionOptions {
  address: string
  clock: Clock
  maxMessageBytes?: number
}

interface Pending {
  name: string
  reject(error: unknown): void
  resolve(result: Buffer): void
  retrySafe: boolean
}

const MAX_SEQID = 0x7f_ff_ff_ff

/** One stream to one server that carries many calls at once. Replies may come in any order (protocol.md §1.2). */
export class Connection {
  readonly address: string
  /** Resolves when the stream is gone. */
  readonly ended: Promise<void>
  private bytesReceived = 0
  private readonly clock: Clock
  private isRetired = false
  private isSuspect = false
  private lost: {cause?: unknown; why: string} | undefined
  private readonly maxMessageBytes: number
  private readonly pending = new Map<number, Pending>()
  private readonly reader: MessageReader
  private replies = 0
  private seqid = 0

  constructor(
    private readonly stream: Duplex,
    options: ConnectionOptions,
  ) {
    this.address = options.address
    this.clock = options.clock
    this.maxMessageBytes = options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES
    this.reader = new MessageReader(this.maxMessageBytes)
    this.ended = new Promise((resolve) => {
      stream.once('close', resolve)
    })
    stream.on('data', (chunk: Buffer) => this.receive(chunk))
    stream.on('error', (error) => this.fail('broke the connection', error))
    stream.on('end', () => this.fail('closed the connection'))
    stream.on('close', () => this.fail('closed the connection'))
  }

  get closed(): boolean {
    return this.lost !== undefined
  }

  get inFlight(): number {
    return this.pending.size
  }

  /** Whether the server ever answered on this connection: one that demands Kerberos never does. */
  get hasReplied(): boolean {
    return this.replies > 0
  }

  /** A call ran out of time and nothing at all came since it was sent: the peer may be gone without a word. */
  get suspect(): boolean {
    return this.isSuspect
  }

  /**
   * Sends `request` and waits for its reply.
   * @throws MigratorError rpc.timeout, rpc.aborted, rpc.connection_lost, rpc.server_error, rpc.malformed, rpc.too_large
   */
  async call<Q, S>(call: Call<Q, S>, request: Q, options: CallOptions): Promise<S> {
    const site = {address: this.address, call: call.name}
    const idempotent = options.idempotent ?? false
    const bytes = this.encode(site, call, request, options, this.nextSeqid())
    const result = await this.exchange(site, bytes, options)
    try {
      return decodeResult(call.response, result)
    } catch (error) {
      throw this.describe(site, error, idempotent)
    }
  }

  /** Sends `request` and expects no reply (protocol.md §8.4, CLEAR_SCANNER). @throws MigratorError as `call` */
  send<Q, S>(call: Call<Q, S>, request: Q, options: Omit<CallOptions, 'signal'>): void {
    const site = {address: this.address, call: call.name}
    const bytes = this.encode(site, call, request, options, this.nextSeqid())
    this.checkOpen(site)
    this.stream.write(bytes)
  }

  /** Ends the connection at once; calls in flight fail with rpc.connection_lost. */
  close(): void {
    this.fail('was disconnected by us')
  }

  /** Takes no new calls; ends as soon as none is in flight. */
  retire(): void {
    this.isRetired = true
    if (this.pending.size === 0) this.close()
  }

  private checkOpen(site: CallSite): void {
    if (this.lost) throw lostError(site, this.lost.why, {cause: this.lost.cause, retrySafe: true, unsent: true})
  }

  private describe(site: CallSite, error: unknown, retrySafe: boolean): unknown {
    if (!isMigratorError(error, 'rpc.malformed')) return error
    const described = malformed(`${site.call} of ${site.address}: ${error.message}`, error.cause)
    Object.assign(described.facts, site)
    return Object.assign(described, {retrySafe})
  }

  private encode<Q, S>(site: CallSite, call: Call<Q, S>, request: Q, o: CallOptions, seqid: number): Buffer {
    const head = {
      clientTimeoutMs: Math.ceil(o.timeoutMs),
      isBackupRequest: o.isBackupRequest ?? false,
      name: call.name,
      partitionHash: o.partitionHash ?? 0n,
      pid: o.pid ?? {appId: 0, partitionIndex: 0},
      seqid,
    }
    const bytes = encodeRequest(head, call.request, request)
    if (bytes.length > this.maxMessageBytes) {
      throw tooLargeError(`request ${site.call} to ${site.address}`, bytes.length, this.maxMessageBytes)
    }

    return bytes
  }

  private exchange(site: CallSite, bytes: Buffer, options: CallOptions): Promise<Buffer> {
    const {seqid} = this
    const retrySafe = options.idempotent ?? false
    return new Promise((resolve, reject) => {
      if (options.signal?.aborted) throw abortedError(site, options.signal.reason)
      this.checkOpen(site)
      const receivedBefore = this.bytesReceived
      const onAbort = () => finish(() => reject(abortedError(site, options.signal!.reason)))
      const timer: Timer = this.clock.setTimer(options.timeoutMs, () => {
        if (this.bytesReceived === receivedBefore) this.isSuspect = true
        finish(() => reject(timeoutError(site, options.timeoutMs, retrySafe)))
      })
      const finish = (settle: () => void) => {
        if (!this.pending.delete(seqid)) return
        timer.cancel()
        options.signal?.removeEventListener('abort', onAbort)
        settle()
        if (this.isRetired && this.pending.size === 0) this.close()
      }

      allowListeners(options.signal)
      options.signal?.addEventListener('abort', onAbort, {once: true})
      this.pending.set(seqid, {
        name: site.call,
        reject: (error) => finish(() => reject(error)),
        resolve: (result) => finish(() => resolve(result)),
        retrySafe,
      })
      this.stream.write(bytes)
    })
  }

  private fail(why: string, cause?: unknown): void {
    if (this.lost) return
    this.lost = {cause, why}
    const broken = isMigratorError(cause)
    for (const {name, reject, retrySafe} of this.pending.values()) {
      const site = {address: this.address, call: name}
      reject(broken ? this.describeBroken(site, cause, retrySafe) : lostError(site, why, {cause, retrySafe}))
    }

    this.stream.destroy()
  }

  /** The peer broke the framing: every call in flight ends with what was wrong. */
  private describeBroken(site: CallSite, cause: MigratorError, retrySafe: boolean): unknown {
    if (cause.code === 'rpc.malformed') return this.describe(site, cause, retrySafe)
    const error = tooLargeError(`reply of ${site.address}`, Number(cause.facts.bytes), Number(cause.facts.maxBytes))
    Object.assign(error.facts, site)
    return Object.assign(error, {retrySafe})
  }

  private nextSeqid(): number {
    do this.seqid = this.seqid >= MAX_SEQID ? 1 : this.seqid + 1
    while (this.pending.has(this.seqid))
    return this.seqid
  }

  private receive(chunk: Buffer): void {
    this.bytesReceived += chunk.length
    try {
      for (const message of this.reader.push(chunk)) this.settle(message)
    } catch (error) {
      this.fail('sent what is no reply', error)
    }
  }

  private settle(message: Buffer): void {
    const {error, name, result, seqid} = decodeResponse(message)
    this.replies++
    const pending = this.pending.get(seqid)
    // Nobody waits for it any more: its call ran out of time or was aborted.
    if (!pending) return
    const site = {address: this.address, call: pending.name}
    if (name !== `${pending.name}_ACK`) {
      pending.reject(
        this.describe(site, malformed(`reply is named ${JSON.stringify(name.slice(0, 80))}`), pending.retrySafe),
      )
    } else if (error === 'ERR_OK') {
      pending.resolve(result)
    } else {
      pending.reject(serverError(site, error, pending.retrySafe))
    }
  }
}
