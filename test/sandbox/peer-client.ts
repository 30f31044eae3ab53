import type {Duplex} from 'node:stream'

import {type Clock, deadline} from '../../src/lib/clock.js'
import type {Call} from '../../src/lib/rpc/calls.js'
import type {Gpid} from '../../src/lib/rpc/custom-types.js'
import {decodeResponse, decodeResult, encodeRequest, responseLength} from '../../src/lib/rpc/frame.js'
import type {Transport} from '../../src/lib/rpc/transport.js'

const MAX_RESPONSE_BYTES = 256 << 20
/** Longer than any server here makes a caller wait on purpose. */
const SILENCE_MS = 30_000

export interface PeerCallOptions {
  partitionHash?: bigint
  pid?: Gpid
  timeoutMs: number
}

interface Waiting {
  fail: (error: Error) => void
  finish: (bytes: Buffer) => void
}

interface Link {
  /** When something last came, `Clock.nowMs`. */
  heardAtMs: number
  stream: Duplex
  waiting: Map<number, Waiting>
}

/** How a server calls other servers: one connection per address, calls side by side on it. */
export class PeerClient {
  /** What is being opened or open, and what is open. */
  private readonly links = new Map<string, Promise<Link>>()
  private readonly open = new Map<string, Link>()
  private seqid = 0

  constructor(
    private readonly transport: Transport,
    private readonly clock: Clock,
  ) {}

  /**
   * @returns the result of a call that the server ran
   * @throws Error with the RPC-level error's name, `ERR_TIMEOUT` or `ERR_NETWORK_FAILURE` as its message
   */
  async call<Q, S>(address: string, call: Call<Q, S>, request: Q, options: PeerCallOptions): Promise<S> {
    const endMs = this.clock.nowMs() + options.timeoutMs
    const link = this.open.get(address) ?? (await this.within(options.timeoutMs, this.link(address, options.timeoutMs)))
    const seqid = ++this.seqid
    const response = new Promise<Buffer>((finish, fail) => {
      link.waiting.set(seqid, {fail, finish})
    })
    const head = {
      clientTimeoutMs: options.timeoutMs,
      isBackupRequest: false,
      name: call.name,
      partitionHash: options.partitionHash ?? 0n,
      pid: options.pid ?? {appId: 0, partitionIndex: 0},
      seqid,
    }
    link.stream.write(encodeRequest(head, call.request, request))
    try {
      const decoded = decodeResponse(await this.within(endMs - this.clock.nowMs(), response))
      if (decoded.error !== 'ERR_OK') throw new Error(decoded.error)
      return decodeResult(call.response, decoded.result)
    } catch (error) {
      // A real one's TCP gives up a peer that went away without a word; here nobody would.
      const isSilent = this.clock.nowMs() - link.heardAtMs > SILENCE_MS
      if (error instanceof Error && error.message === 'ERR_TIMEOUT' && isSilent) link.stream.destroy()
      throw error
    } finally {
      link.waiting.delete(seqid)
    }
  }

  close(): void {
    for (const link of this.links.values()) {
      link.then(
        ({stream}) => stream.destroy(),
        () => {},
      )
    }

    this.links.clear()
    this.open.clear()
  }

  private within<T>(ms: number, promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.clock.setTimer(ms, () => reject(new Error('ERR_TIMEOUT')))
      promise.then(resolve, reject).finally(() => timer.cancel())
    })
  }

  private link(address: string, timeoutMs: number): Promise<Link> {
    const known = this.links.get(address)
    if (known) return known
    const opening = this.connect(address, timeoutMs)
    this.links.set(address, opening)
    // Forgotten when it failed or was cut, unless another took its place meanwhile.
    const forget = () => {
      if (this.links.get(address) !== opening) return
      this.links.delete(address)
      this.open.delete(address)
    }

    opening.then((link) => {
      if (this.links.get(address) === opening) this.open.set(address, link)
      link.stream.once('close', forget)
    }, forget)
    return opening
  }

  private async connect(address: string, timeoutMs: number): Promise<Link> {
    const limit = deadline(this.clock, timeoutMs, () => new Error('ERR_TIMEOUT'))
    const stream = await this.transport
      .connect(address, limit.signal)
      .catch(() => {
        throw new Error('ERR_NETWORK_FAILURE')
      })
      .finally(() => limit.dispose())
    const link: Link = {heardAtMs: this.clock.nowMs(), stream, waiting: new Map()}
    let bytes: Buffer = Buffer.alloc(0)
    stream.on('data', (chunk: Buffer) => {
      link.heardAtMs = this.clock.nowMs()
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
      for (;;) {
        const length = responseLength(bytes, MAX_RESPONSE_BYTES)
        if (length === undefined || bytes.length < length) return
        const response = bytes.subarray(0, length)
        bytes = bytes.subarray(length)
        link.waiting.get(decodeResponse(response).seqid)?.finish(response)
      }
    })
    stream.on('error', () => stream.destroy())
    stream.on('close', () => {
      for (const waiting of link.waiting.values()) waiting.fail(new Error('ERR_NETWORK_FAILURE'))
      link.waiting.clear()
    })
    return link
  }
}
