import type {ValueOf} from '../../../src/lib/rpc/codec.js'
import {FilterType, type getScannerRequest, type KeyValue, StorageStatus} from '../../../src/lib/rpc/structs/rrdb.js'
import type {World} from '../world.js'
import {splitKey} from './key.js'
import {lowerBound, type Row, type RowStore} from './row-store.js'

/** The server's own limit of rows per reply (protocol.md §8.4). */
const MAX_BATCH = 1000
const DONE = -1n
const noBytes = Buffer.alloc(0)

type ScanRequest = ValueOf<typeof getScannerRequest>

export interface ScanReply {
  contextId: bigint
  error: number
  kvCount?: number
  kvs: KeyValue[]
}

interface Context {
  at: number
  end: number
  expiresMs: number
  request: ScanRequest
  rows: readonly Row[]
}

export function matches(type: FilterType, pattern: Buffer, bytes: Buffer): boolean {
  if (type === FilterType.FT_NO_FILTER || pattern.length === 0) return true
  if (type === FilterType.FT_MATCH_ANYWHERE) return bytes.includes(pattern)
  if (bytes.length < pattern.length) return false
  const part = type === FilterType.FT_MATCH_PREFIX ? bytes.subarray(0, pattern.length) : bytes.subarray(-pattern.length)
  return part.equals(pattern)
}

/**
 * Open scans of one replica. Ids begin at a random number of the upper 32 bits of a signed i64, so every second
 * replica hands out negative ones, and each reply carries a new one (measured.md §0).
 */
export class ScanContexts {
  private readonly contexts = new Map<bigint, Context>()
  private nextId: bigint

  constructor(
    private readonly world: World,
    private readonly lifeMs: number,
  ) {
    this.nextId = BigInt.asIntN(64, BigInt(Math.floor(world.random() * 2 ** 32)) << 32n)
  }

  open(store: RowStore, request: ScanRequest, counts: boolean): ScanReply {
    if (Buffer.compare(request.startKey, request.stopKey) > 0) {
      // The shortcut for an empty range: id 0, the field's default (measured.md §11).
      return {contextId: 0n, error: StorageStatus.ok, kvs: []}
    }

    const rows = store.snapshot()
    const at = lowerBound(rows, request.startKey, request.startInclusive)
    const end = request.stopKey.length === 0 ? rows.length : lowerBound(rows, request.stopKey, !request.stopInclusive)
    return this.batch({at, end, expiresMs: 0, request, rows}, counts)
  }

  next(id: bigint, counts: boolean): ScanReply {
    const context = this.contexts.get(id)
    this.contexts.delete(id)
    if (!context || context.expiresMs < this.world.clock.nowMs()) {
      return {contextId: 0n, error: StorageStatus.notFound, kvs: []}
    }

    return this.batch(context, counts)
  }

  forget(id: bigint): void {
    this.contexts.delete(id)
  }

  clear(): void {
    this.contexts.clear()
  }

  private batch(context: Context, counts: boolean): ScanReply {
    const {end, request, rows} = context
    const wanted = Math.min(request.batchSize > 0 ? request.batchSize : MAX_BATCH, MAX_BATCH)
    const onlyCount = counts && request.onlyReturnCount === true
    const now = this.world.expireNow()
    const kvs: KeyValue[] = []
    let count = 0
    let {at} = context
    for (; at < end && count < wanted; at++) {
      const row = rows[at]!
      if (row.expireTs > 0 && row.expireTs <= now) continue
      if (!this.wants(request, row)) continue
      count++
      if (onlyCount) continue
      kvs.push({
        key: row.key,
        value: request.noValue ? noBytes : row.value,
        ...(request.returnExpireTs ? {expireTsSeconds: row.expireTs} : {}),
      })
    }

    const contextId = at < end ? this.keep({...context, at}) : DONE
    return {contextId, error: StorageStatus.ok, kvs, ...(onlyCount ? {kvCount: count} : {})}
  }

  private wants(request: ScanRequest, row: Row): boolean {
    if (
      request.hashKeyFilterType === FilterType.FT_NO_FILTER &&
      request.sortKeyFilterType === FilterType.FT_NO_FILTER
    ) {
      return true
    }

    const {hashKey, sortKey} = splitKey(row.key)
    return (
      matches(request.hashKeyFilterType, request.hashKeyFilterPattern, hashKey) &&
      matches(request.sortKeyFilterType, request.sortKeyFilterPattern, sortKey)
    )
  }

  private keep(context: Context): bigint {
    const id = this.nextId++
    this.contexts.set(id, {...context, expiresMs: this.world.clock.nowMs() + this.lifeMs})
    return id
  }
}
