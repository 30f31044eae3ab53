import type {Duplex} from 'node:stream'

import type {Clock, Timer} from '../clock.js'
import {isMigratorError} from '../errors.js'
import type {Call} from './calls.js'
import type {Gpid} from './custom-types.js'
import {decodeResponse, decodeResult, encodeRequest} from './frame.js'
import {malformed} from './memory-transport.js'
import {MessageReader} from './message-reader.js'
import {
  abortedError,
  brokenError,
  type CallSite,
  excerpt,
  lostError,
  serverError,
  timeoutError,
  tooLargeError,
} from './rpc-errors.js'
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

const MAX_I32 = 0x7f_ff_ff_ff

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
    const seqid = this.nextSeqid()
    const result = await this.exchange(site, seqid, this.encode(site, call, request, options, seqid), options)
    try {
      return decodeResult(call.response, result)
    } catch (error) {
      throw isMigratorError(error) ? brokenError(site, error, options.idempotent ?? false) : error
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

  private encode<Q, S>(site: CallSite, call: Call<Q, S>, request: Q, o: CallOptions, seqid: number): Buffer {
    const head = {
      clientTimeoutMs: Math.min(Math.ceil(o.timeoutMs), MAX_I32),
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

  private exchange(site: CallSite, seqid: number, bytes: Buffer, options: CallOptions): Promise<Buffer> {
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
    for (const {name, reject, retrySafe} of this.pending.values()) {
      const site = {address: this.address, call: name}
      // An error of ours says what was wrong with the bytes that came.
      reject(isMigratorError(cause) ? brokenError(site, cause, retrySafe) : lostError(site, why, {cause, retrySafe}))
    }

    this.stream.destroy()
  }

  private nextSeqid(): number {
    do this.seqid = this.seqid >= MAX_I32 ? 1 : this.seqid + 1
    while (this.pending.has(this.seqid))
    return this.seqid
  }

  /** Takes what has arrived, where the transport does not emit it as `data`. The piece is not kept. */
  receive(chunk: Buffer): void {
    if (this.lost) return
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
      pending.reject(brokenError(site, malformed(`reply is named ${excerpt(name, 80)}`), pending.retrySafe))
    } else if (error === 'ERR_OK') {
      pending.resolve(result)
    } else {
      pending.reject(serverError(site, error, pending.retrySafe))
    }
  }
}
