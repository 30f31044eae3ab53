import type {Clock} from '../clock.js'
import {MigratorError} from '../errors.js'
import {type Call, dataCalls} from '../rpc/calls.js'
import {formatGpid, type Gpid} from '../rpc/custom-types.js'
import type {ConnectionPool} from '../rpc/pool.js'
import {type KeyValue, StorageStatus} from '../rpc/structs/rrdb.js'
import type {TableConfiguration} from './cluster.js'
import {type CallLimits, DEFAULT_TIMEOUT_MS} from './env.js'
import {crc64, decodeKey, encodeKey, partitionOf} from './key-hash.js'
import type {RowBatch} from './row-batch.js'
import {PartitionScan, type ScanOptions} from './scan.js'

export type {ScanOptions} from './scan.js'

/** Seconds from 1970 to 2016-01-01 UTC, where Pegasus's expiry times begin (protocol.md §4.11). */
export const PEGASUS_EPOCH_SECONDS = 1_451_606_400

/** A row's key in its two parts. */
export interface RowKey {
  hashKey: Buffer
  sortKey: Buffer
}

/**
 * Rows of one table, asked from the primaries that `configuration` names; it does not follow them when they move.
 * All methods throw MigratorError: rpc.*, rows.no_primary, rows.storage_error, and those of `scan.ts`.
 */
export class TableReader {
  constructor(
    private readonly pool: ConnectionPool,
    readonly configuration: TableConfiguration,
    private readonly env: {clock: Clock; random?: () => number},
  ) {}

  /** @returns undefined when there is no such row */
  async get(key: RowKey, limits?: CallLimits): Promise<Buffer | undefined> {
    const {error, value} = await this.route(dataCalls.get, key, encodeKey(key.hashKey, key.sortKey), true, limits)
    if (error === StorageStatus.notFound) return undefined
    checkStatus(error, 'GET')
    return value
  }

  /** @param expireTsSeconds since 2016-01-01 UTC; 0: never */
  async put(key: RowKey, value: Buffer, expireTsSeconds = 0, limits?: CallLimits): Promise<void> {
    const request = {expireTsSeconds, key: encodeKey(key.hashKey, key.sortKey), value}
    const {error} = await this.route(dataCalls.put, key, request, true, limits)
    checkStatus(error, 'PUT')
  }

  async remove(key: RowKey, limits?: CallLimits): Promise<void> {
    const {error} = await this.route(dataCalls.remove, key, encodeKey(key.hashKey, key.sortKey), true, limits)
    checkStatus(error, 'REMOVE')
  }

  /** The rows of a partition in order of their keys, in the batches that the server sends. */
  async *scanPartition(pid: Gpid, primary: string, options: ScanOptions = {}): AsyncGenerator<KeyValue[]> {
    for await (const batch of this.scanBatches(pid, primary, options)) {
      if (!batch.ascends(0, batch.length))
        throw new MigratorError('scan.out_of_order', `scan of ${formatGpid(pid)} on ${primary}: keys out of order`)
      yield batch.rows()
    }
  }

  /** The same with no object per row. Whether keys grow inside a batch is left to the caller. */
  scanBatches(pid: Gpid, primary: string, options: ScanOptions = {}): AsyncGenerator<RowBatch> {
    return new PartitionScan(this.env, this.pool, primary, pid, options).batches()
  }

  /** How many rows a partition has, without reading them where the server can count (2.5 and later). */
  countPartition(pid: Gpid, primary: string, options: ScanOptions = {}): Promise<number> {
    return new PartitionScan(this.env, this.pool, primary, pid, options).count()
  }

  private primary(partitionIndex: number): string {
    const address = this.configuration.partitions[partitionIndex]?.primary
    if (address) return address
    const pid = `${this.configuration.appId}.${partitionIndex}`
    throw new MigratorError('rows.no_primary', `partition ${pid} has no primary`, {facts: {pid}, retrySafe: true})
  }

  private async route<Q, S>(
    call: Call<Q, S>,
    key: RowKey,
    request: Q,
    idempotent: boolean,
    limits: CallLimits = {},
  ): Promise<S> {
    const partitionHash = crc64(key.hashKey.length > 0 ? key.hashKey : key.sortKey)
    const partitionIndex = partitionOf(partitionHash, this.configuration.partitionCount)
    return this.pool.call(this.primary(partitionIndex), call, request, {
      idempotent,
      partitionHash,
      pid: {appId: this.configuration.appId, partitionIndex},
      signal: limits.signal,
      timeoutMs: limits.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    })
  }
}

/** The two parts of a scanned row's key. */
export function rowKey(row: KeyValue): RowKey {
  return decodeKey(row.key)
}

function checkStatus(error: number, call: string): void {
  if (error === StorageStatus.ok) return
  const name = Object.entries(StorageStatus).find(([, code]) => code === error)?.[0] ?? 'unknown'
  throw new MigratorError('rows.storage_error', `${call} answered storage error ${error} (${name})`, {facts: {error}})
}
