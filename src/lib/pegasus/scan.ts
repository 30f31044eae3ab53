import {type Clock, sleep} from '../clock.js'
import {type ErrorFacts, isMigratorError, MigratorError} from '../errors.js'
import {dataCalls} from '../rpc/calls.js'
import type {CallOptions} from '../rpc/connection.js'
import {formatGpid, type Gpid} from '../rpc/custom-types.js'
import type {ConnectionPool} from '../rpc/pool.js'
import {abortedError, rpcErrorName} from '../rpc/rpc-errors.js'
import {FilterType, StorageStatus} from '../rpc/structs/rrdb.js'
import {type CallLimits, DEFAULT_TIMEOUT_MS} from './env.js'
import type {Pace} from './pace.js'
import {packedCalls, type RowBatch, type ScanReply} from './row-batch.js'

/** The server has sent everything. Ids may be negative: nothing else means done (measured.md §0). */
const COMPLETED = -1n
const FIRST_KEY = Buffer.from([0, 0])
/** No key begins like this: a hash key is shorter than 65535 bytes. */
const STOP_KEY = Buffer.from([0xff, 0xff])

const DEFAULT_BATCH_ROWS = 500
const MAX_ATTEMPTS_WITHOUT_ROWS = 8
/** A server that passes over expired rows answers empty batches, each for up to 1000 rows. */
const MAX_EMPTY_BATCHES = 100_000
const BUSY_PAUSE_MS = 100
const BUSY_PAUSE_MAX_MS = 3200
const CLEAR_TIMEOUT_MS = 1000

export interface ScanOptions extends CallLimits {
  /** Rows per exchange, default 500; servers send at most 1000. */
  batchSize?: number
  /** How long a server may answer ERR_BUSY without a break, default 60 s. */
  busyMs?: number
  noValue?: boolean
  /** Holds exchanges back; default: none. */
  pace?: Pace
  /** Whether the next batch is asked for while the last one is looked at. */
  prefetch?: boolean
  /** Default true; false: begin after `startKey`. */
  startInclusive?: boolean
  /** A stored key to begin at. */
  startKey?: Buffer
}

/**
 * Reads one partition through GET_SCANNER and SCAN (protocol.md §8.4). A scan that the server has forgotten or cut
 * short goes on after the last key. For one use.
 * @throws MigratorError scan.no_progress, scan.out_of_order, scan.storage_error, or as `ConnectionPool.call`
 */
export class PartitionScan {
  private attempts = 0
  private batchSize: number
  /** The server's handle, another one after each reply; undefined: no scan is open there. */
  private context: bigint | undefined
  private emptyBatches = 0
  /** Ends pauses; exchanges under way are waited for, because only their reply tells what is to be cleared. */
  private readonly ending = new AbortController()
  private finished = false
  private inclusive: boolean
  private lastKey: Buffer

  constructor(
    private readonly env: {clock: Clock; random?: () => number},
    private readonly pool: ConnectionPool,
    private readonly primary: string,
    private readonly pid: Gpid,
    private readonly options: ScanOptions,
  ) {
    this.batchSize = options.batchSize ?? DEFAULT_BATCH_ROWS
    this.lastKey = options.startKey ?? FIRST_KEY
    this.inclusive = options.startInclusive ?? true
  }

  /** The rows in order of their keys; no batch is empty. Of their order only the ends of batches are checked. */
  async *batches(): AsyncGenerator<RowBatch> {
    let ahead: Promise<ScanReply | undefined> | undefined
    const unlink = this.link()
    try {
      while (ahead || !this.finished) {
        const reply: ScanReply | undefined = await (ahead ?? this.step(false))
        ahead = undefined
        if (!reply || reply.rows.length === 0) continue
        this.passOver(reply.rows)
        if (this.options.prefetch && !this.finished) {
          ahead = this.step(false)
          ahead.catch(() => {}) // thrown when its turn comes
        }

        yield reply.rows
      }
    } finally {
      this.ending.abort(new Error('the scan was given up'))
      await ahead?.catch(() => {})
      unlink()
      await this.clear()
    }
  }

  /** How many rows there are. */
  async count(): Promise<number> {
    let rows = 0
    const unlink = this.link()
    try {
      while (!this.finished) {
        const response = await this.step(true)
        // Cut short without a key to go on after: only reading the keys can tell.
        if (response?.error === StorageStatus.incomplete) return await this.countKeys()
        // Lost, it begins anew. 2.4 does not know how to count only, and sends the rows.
        rows = response ? rows + (response.kvCount ?? response.rows.length) : 0
      }

      return rows
    } finally {
      unlink()
      await this.clear()
    }
  }

  private callOptions(): CallOptions {
    const {signal, timeoutMs = DEFAULT_TIMEOUT_MS} = this.options
    return {idempotent: true, partitionHash: BigInt(this.pid.partitionIndex), pid: this.pid, signal, timeoutMs}
  }

  /** Tells the server that an unfinished scan is not wanted any more; without it, it forgets after 5 minutes. */
  private async clear(): Promise<void> {
    const contextId = this.context
    this.context = undefined
    if (contextId === undefined) return
    try {
      const options = {...this.callOptions(), signal: undefined, timeoutMs: CLEAR_TIMEOUT_MS}
      await this.pool.send(this.primary, dataCalls.clearScanner, contextId, options)
    } catch (error) {
      // A server that cannot be reached forgets the scan by itself.
      if (!isMigratorError(error)) throw error
    }
  }

  private async countKeys(): Promise<number> {
    let rows = 0
    const options = {...this.options, noValue: true}
    const scan = new PartitionScan(this.env, this.pool, this.primary, this.pid, options)
    for await (const batch of scan.batches()) rows += batch.length
    return rows
  }

  private error(code: string, what: string, o: {facts?: ErrorFacts; retrySafe?: boolean} = {}): MigratorError {
    const facts = {address: this.primary, pid: formatGpid(this.pid), ...o.facts}
    return new MigratorError(code, `scan of ${facts.pid} on ${this.primary}: ${what}`, {...o, facts})
  }

  private failedAttempt(why: string): void {
    if (++this.attempts < MAX_ATTEMPTS_WITHOUT_ROWS) return
    throw this.error('scan.no_progress', `no rows after ${this.attempts} attempts: ${why}`, {retrySafe: true})
  }

  /** Pauses end with the caller too. @returns what undoes it */
  private link(): () => void {
    const {signal} = this.options
    const onAbort = () => this.ending.abort(signal!.reason)
    if (signal?.aborted) onAbort()
    else signal?.addEventListener('abort', onAbort, {once: true})
    return () => signal?.removeEventListener('abort', onAbort)
  }

  private next(contextId: bigint): Promise<ScanReply> {
    return this.pool.call(this.primary, packedCalls.scan, {contextId}, this.callOptions())
  }

  private open(onlyCount: boolean): Promise<ScanReply> {
    const request = {
      batchSize: this.batchSize,
      fullScan: true,
      hashKeyFilterPattern: Buffer.alloc(0),
      hashKeyFilterType: FilterType.FT_NO_FILTER,
      noValue: onlyCount || (this.options.noValue ?? false),
      onlyReturnCount: onlyCount || undefined,
      returnExpireTs: true,
      sortKeyFilterPattern: Buffer.alloc(0),
      sortKeyFilterType: FilterType.FT_NO_FILTER,
      startInclusive: this.inclusive,
      startKey: this.lastKey,
      stopInclusive: false,
      stopKey: STOP_KEY,
      validatePartitionHash: true,
    }
    return this.pool.call(this.primary, packedCalls.getScanner, request, this.callOptions())
  }

  /** Keys must grow: that is what lets a scan go on after the last one, and what makes it end. */
  private passOver(rows: RowBatch): void {
    const [first, last] = [rows.key(0), rows.key(rows.length - 1)]
    const order = Buffer.compare(first, this.lastKey)
    const forward = order > 0 || (order === 0 && this.inclusive)
    if (!forward || Buffer.compare(first, last) > (rows.length > 1 ? -1 : 0)) {
      throw this.error('scan.out_of_order', 'keys out of order')
    }

    this.lastKey = last
    this.inclusive = false
    this.attempts = 0
  }

  /**
   * One exchange with the server, of either kind.
   * @returns undefined when the scan was lost and has to be opened again
   */
  private async step(onlyCount: boolean): Promise<ScanReply | undefined> {
    const {context} = this
    this.context = undefined
    let response: ScanReply
    try {
      response = await this.throttled(() => (context === undefined ? this.open(onlyCount) : this.next(context)))
    } catch (error) {
      if (isMigratorError(error, 'rpc.too_large') && this.batchSize > 1) this.batchSize = Math.ceil(this.batchSize / 4)
      else if (!isMigratorError(error, 'rpc.timeout', 'rpc.connection_lost')) throw error
      this.failedAttempt(error.message)
      return undefined
    }

    const {contextId, error, kvCount, rows} = response
    this.options.pace?.spend(kvCount ?? rows.length, rows.byteLength)
    const empty = rows.length === 0 && !kvCount
    if (error === StorageStatus.notFound) {
      this.failedAttempt('the server has forgotten the scan')
      return undefined
    }

    if (error === StorageStatus.incomplete) {
      if (empty) this.failedAttempt('the server cut it short')
      return response
    }

    if (error !== StorageStatus.ok) throw this.error('scan.storage_error', `storage error ${error}`, {facts: {error}})
    if (contextId === 0n && empty) {
      // The server's shortcut for an empty range has no scanner. Later on it is no id to go on with.
      if (context === undefined) this.finished = true
      else this.failedAttempt('the server named no scan to go on with')
      return undefined
    }

    this.emptyBatches = empty ? this.emptyBatches + 1 : 0
    if (this.emptyBatches > MAX_EMPTY_BATCHES) {
      throw this.error('scan.no_progress', 'nothing but empty batches', {retrySafe: true})
    }

    this.finished = contextId === COMPLETED
    if (!this.finished) this.context = contextId
    return response
  }

  /** Waits longer and longer while the server throttles reads. */
  private async throttled(send: () => Promise<ScanReply>): Promise<ScanReply> {
    const {clock, random = () => 0.5} = this.env
    await this.pausing((signal) => this.options.pace?.ready(signal))
    const endMs = clock.nowMs() + (this.options.busyMs ?? 60_000)
    for (let pauseMs = BUSY_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, BUSY_PAUSE_MAX_MS)) {
      try {
        return await send()
      } catch (error) {
        if (rpcErrorName(error) !== 'ERR_BUSY' || clock.nowMs() >= endMs) throw error
      }

      await this.pausing((signal) => sleep(clock, pauseMs * (0.5 + random()), signal))
    }
  }

  private async pausing(pause: (signal: AbortSignal) => Promise<void> | undefined): Promise<void> {
    try {
      await pause(this.ending.signal)
    } catch (error) {
      throw abortedError({address: this.primary, call: 'a scan'}, error)
    }
  }
}
