import {type Clock, sleep} from '../clock.js'
import {isMigratorError, MigratorError} from '../errors.js'
import {dataCalls} from '../rpc/calls.js'
import type {CallOptions} from '../rpc/connection.js'
import {formatGpid, type Gpid} from '../rpc/custom-types.js'
import type {ConnectionPool} from '../rpc/pool.js'
import {abortedError, rpcErrorName} from '../rpc/rpc-errors.js'
import {FilterType, type KeyValue, StorageStatus} from '../rpc/structs/rrdb.js'
import type {ValueOf} from '../rpc/codec.js'
import {scanResponse} from '../rpc/structs/rrdb.js'
import {type CallLimits, DEFAULT_TIMEOUT_MS} from './env.js'

/** The server has sent everything. Ids may be negative: nothing else means done (measured.md §0). */
const COMPLETED = -1n
const FIRST_KEY = Buffer.from([0, 0])
const STOP_KEY = Buffer.from([0xff, 0xff])
const MAX_ATTEMPTS_WITHOUT_PROGRESS = 8
const BUSY_PAUSE_MS = 100
const BUSY_PAUSE_MAX_MS = 3200

export interface ScanOptions extends CallLimits {
  /** Rows per exchange, default 500; servers send at most 1000. */
  batchSize?: number
  /** How long a server may answer ERR_BUSY without a break, default 60 s. */
  busyMs?: number
  noValue?: boolean
  /** A stored key to begin at. */
  startKey?: Buffer
  /** Default true; false: begin after `startKey`. */
  startInclusive?: boolean
}

type ScanResponse = ValueOf<typeof scanResponse>

/**
 * Reads one partition through GET_SCANNER and SCAN (protocol.md §8.4). A scan that the server has forgotten, or cut
 * short, goes on after the last key.
 * @throws MigratorError scan.no_progress, scan.out_of_order, scan.storage_error, or as `ConnectionPool.call`
 */
export class PartitionScan {
  private attempts = 0
  private batchSize: number
  private context = COMPLETED
  private inclusive: boolean
  private lastKey: Buffer
  private rowsSeen = false

  constructor(
    private readonly env: {clock: Clock; random?: () => number},
    private readonly pool: ConnectionPool,
    private readonly primary: string,
    private readonly pid: Gpid,
    private readonly options: ScanOptions,
  ) {
    this.batchSize = options.batchSize ?? 500
    this.lastKey = options.startKey ?? FIRST_KEY
    this.inclusive = options.startInclusive ?? true
  }

  async *batches(): AsyncGenerator<KeyValue[]> {
    try {
      let open = false
      for (;;) {
        const response = await this.exchange(() => (open ? this.next() : this.open(false)), () => {
          open = false
        })
        if (response === undefined) continue
        const {contextId, error, kvs} = response
        if (error !== StorageStatus.ok && error !== StorageStatus.notFound && error !== StorageStatus.incomplete) {
          throw this.storageError(error)
        }

        if (error !== StorageStatus.notFound && kvs.length > 0) {
          this.checkOrder(kvs)
          this.attempts = 0
          yield kvs
        }

        if (error === StorageStatus.ok && contextId === COMPLETED) return
        // The server's shortcut for an empty range: no rows and no scanner either.
        if (error === StorageStatus.ok && !open && contextId === 0n && kvs.length === 0) return
        open = error === StorageStatus.ok && contextId !== 0n
        this.context = open ? contextId : COMPLETED
        if (!open) this.countAttempt(`storage error ${error}`)
      }
    } finally {
      await this.clear()
    }
  }

  async count(): Promise<number> {
    let rows = 0
    try {
      let open = false
      for (;;) {
        const response = await this.exchange(() => (open ? this.next() : this.open(true)), () => {
          open = false
          rows = 0
        })
        if (response === undefined) continue
        const {contextId, error, kvCount, kvs} = response
        // Cut short without a key to go on after: only reading the keys can tell.
        if (error === StorageStatus.incomplete) return await this.countKeys()
        if (error !== StorageStatus.ok && error !== StorageStatus.notFound) throw this.storageError(error)
        if (error === StorageStatus.notFound) {
          this.context = COMPLETED
          open = false
          rows = 0
          this.countAttempt('storage error 1')
          continue
        }

        // 2.4 does not know how to count only, and sends the rows.
        rows += kvCount ?? kvs.length
        if (contextId === COMPLETED || (contextId === 0n && !kvCount && kvs.length === 0)) return rows
        this.context = contextId
        open = true
      }
    } finally {
      await this.clear()
    }
  }

  private callOptions(): CallOptions {
    const {signal, timeoutMs = DEFAULT_TIMEOUT_MS} = this.options
    return {idempotent: true, partitionHash: BigInt(this.pid.partitionIndex), pid: this.pid, signal, timeoutMs}
  }

  private checkOrder(kvs: KeyValue[]): void {
    for (const {key} of kvs) {
      const order = Buffer.compare(key, this.lastKey)
      if (order < 0 || (order === 0 && (this.rowsSeen || !this.inclusive))) {
        const facts = {address: this.primary, pid: formatGpid(this.pid)}
        throw new MigratorError('scan.out_of_order', `${this.primary} sent keys of ${facts.pid} out of order`, {facts})
      }

      this.lastKey = key
      this.rowsSeen = true
    }

    this.inclusive = false
  }

  /** Tells the server that an unfinished scan is not wanted any more; without it, it forgets after 5 minutes. */
  private async clear(): Promise<void> {
    if (this.context === COMPLETED) return
    const contextId = this.context
    this.context = COMPLETED
    try {
      await this.pool.send(this.primary, dataCalls.clearScanner, contextId, {...this.callOptions(), signal: undefined})
    } catch (error) {
      // A server that cannot be reached forgets the scan by itself.
      if (!isMigratorError(error)) throw error
    }
  }

  private countAttempt(last: string): void {
    if (++this.attempts < MAX_ATTEMPTS_WITHOUT_PROGRESS) return
    const pid = formatGpid(this.pid)
    const message = `scan of ${pid} on ${this.primary} makes no progress after ${this.attempts} attempts: ${last}`
    throw new MigratorError('scan.no_progress', message, {
      facts: {address: this.primary, attempts: this.attempts, last, pid},
      retrySafe: true,
    })
  }

  private async countKeys(): Promise<number> {
    await this.clear()
    this.attempts = 0
    let rows = 0
    for await (const batch of new PartitionScan(this.env, this.pool, this.primary, this.pid, {
      ...this.options,
      noValue: true,
    }).batches()) {
      rows += batch.length
    }

    return rows
  }

  /** @returns undefined when the scan must be opened anew */
  private async exchange(send: () => Promise<ScanResponse>, reopen: () => void): Promise<ScanResponse | undefined> {
    try {
      return await this.throttled(send)
    } catch (error) {
      if (isMigratorError(error, 'rpc.too_large') && this.batchSize > 1) {
        this.batchSize = Math.ceil(this.batchSize / 4)
      } else if (!isMigratorError(error, 'rpc.timeout', 'rpc.connection_lost')) {
        throw error
      }

      this.context = COMPLETED
      reopen()
      this.countAttempt(error.message)
      return undefined
    }
  }

  private next(): Promise<ScanResponse> {
    return this.pool.call(this.primary, dataCalls.scan, {contextId: this.context}, this.callOptions())
  }

  private open(onlyReturnCount: boolean): Promise<ScanResponse> {
    const request = {
      batchSize: this.batchSize,
      fullScan: true,
      hashKeyFilterPattern: Buffer.alloc(0),
      hashKeyFilterType: FilterType.FT_NO_FILTER,
      noValue: this.options.noValue ?? false,
      onlyReturnCount: onlyReturnCount || undefined,
      returnExpireTs: true,
      sortKeyFilterPattern: Buffer.alloc(0),
      sortKeyFilterType: FilterType.FT_NO_FILTER,
      startInclusive: this.inclusive,
      startKey: this.lastKey,
      stopInclusive: false,
      stopKey: STOP_KEY,
      validatePartitionHash: true,
    }
    return this.pool.call(this.primary, dataCalls.getScanner, request, this.callOptions())
  }

  private storageError(error: number): MigratorError {
    const pid = formatGpid(this.pid)
    return new MigratorError('scan.storage_error', `${this.primary} answered storage error ${error} to a scan of ${pid}`, {
      facts: {address: this.primary, error, pid},
    })
  }

  /** Waits longer and longer while the server throttles reads. */
  private async throttled(send: () => Promise<ScanResponse>): Promise<ScanResponse> {
    const {clock, random = () => 0.5} = this.env
    const endMs = clock.nowMs() + (this.options.busyMs ?? 60_000)
    for (let pauseMs = BUSY_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, BUSY_PAUSE_MAX_MS)) {
      try {
        return await send()
      } catch (error) {
        if (rpcErrorName(error) !== 'ERR_BUSY' || clock.nowMs() >= endMs) throw error
      }

      try {
        await sleep(clock, pauseMs * (0.5 + random()), this.options.signal)
      } catch (error) {
        throw abortedError({address: this.primary, call: dataCalls.scan.name}, error)
      }
    }
  }
}
