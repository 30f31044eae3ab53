import {type IncomingMessage, request as httpRequest} from 'node:http'
import type {Duplex} from 'node:stream'

import {type Clock, deadline} from '../clock.js'
import {isMigratorError, MigratorError, messageOf} from '../errors.js'
import {abortedError} from './rpc-errors.js'
import {allowListeners} from './signals.js'
import type {HttpExchange, HttpResponse, Transport} from './transport.js'

/** A server's answers have some hundred bytes for each of its partitions. */
const MAX_BODY_BYTES = 16 * 1024 * 1024

export interface HttpOptions {
  signal?: AbortSignal
  timeoutMs: number
}

/** HTTP GET to replica servers (protocol.md §7). Follows no redirect; one connection per request. */
export class HttpClient {
  private readonly clock: Clock
  private readonly closing = new AbortController()
  private readonly exchange: HttpExchange
  private readonly maxBodyBytes: number
  private readonly transport: Transport

  constructor(options: {clock: Clock; maxBodyBytes?: number; transport: Transport}) {
    this.clock = options.clock
    this.maxBodyBytes = options.maxBodyBytes ?? MAX_BODY_BYTES
    this.transport = options.transport
    this.exchange = options.transport.exchange ?? ((...given) => this.byNode(...given))
    allowListeners(this.closing.signal)
  }

  /**
   * @param path with its query, beginning with `/`; never one of the metas' own paths: a follower of 2.4 and 2.5
   *   answers them from an empty state, and `/meta/cluster` kills it (protocol.md §7.2)
   * @throws MigratorError http.connection, http.timeout, http.too_large, rpc.aborted
   */
  async get(address: string, path: string, options: HttpOptions): Promise<HttpResponse> {
    if (/^\/*meta\b/.test(path)) throw new TypeError(`metas are asked by RPC only, not ${path}`)
    const what = path.split('?', 1)[0]!
    const facts = {address, path: what}
    const reason = () =>
      new MigratorError('http.timeout', `${address} did not answer GET ${what} within ${options.timeoutMs} ms`, {
        facts: {...facts, timeoutMs: options.timeoutMs},
        retrySafe: true,
      })
    allowListeners(options.signal)
    const ends = [options.signal, this.closing.signal]
    const limit = deadline(this.clock, options.timeoutMs, reason, ...ends)
    let stream: Duplex | undefined
    try {
      limit.signal.throwIfAborted()
      stream = await this.transport.connect(address, limit.signal)
      return await this.exchange(stream, {address, path}, limit.signal)
    } catch (error) {
      const ended = ends.find((signal) => signal?.aborted)
      if (ended) throw abortedError({address, call: `GET ${what}`}, ended.reason)
      if (limit.signal.aborted) throw limit.signal.reason
      if (isMigratorError(error)) throw error
      throw new MigratorError('http.connection', `GET ${what} of ${address} failed: ${messageOf(error)}`, {
        cause: error,
        facts,
        retrySafe: true,
      })
    } finally {
      limit.dispose()
      stream?.destroy()
    }
  }

  /** Ends what is under way, and takes no more. */
  close(): void {
    this.closing.abort(new Error('the HTTP client was closed'))
  }

  private byNode(...[stream, {address, path}, signal]: Parameters<HttpExchange>): Promise<HttpResponse> {
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        createConnection: () => stream,
        headers: {Host: address},
        method: 'GET',
        path,
        setHost: false,
        signal,
      })
      request.on('error', reject)
      stream.on('error', reject)
      request.once('response', (response) => {
        this.readBody(response, address).then((body) => resolve({body, status: response.statusCode ?? 0}), reject)
      })
      request.end()
    })
  }

  private async readBody(response: IncomingMessage, address: string): Promise<string> {
    const chunks: Buffer[] = []
    let length = 0
    for await (const chunk of response as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > this.maxBodyBytes) {
        throw new MigratorError('http.too_large', `${address} answered more than ${this.maxBodyBytes} bytes`, {
          facts: {address, maxBytes: this.maxBodyBytes},
        })
      }

      chunks.push(chunk)
    }

    return Buffer.concat(chunks).toString('utf8')
  }
}
