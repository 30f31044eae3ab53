import {type Call, dataCalls, RequestOf} from '../../../src/lib/rpc/calls.js'
import {decodeArguments} from '../../../src/lib/rpc/frame.js'
import {CasCheckType, MutateOperation, StorageStatus} from '../../../src/lib/rpc/structs/rrdb.js'
import {checkHolds, integerOf} from './check.js'
import {encodeKey} from './key.js'
import type {Row, RowStore} from './row-store.js'

/* What writes do to rows, once committed. */

type Requests = {[K in keyof typeof dataCalls]: RequestOf<(typeof dataCalls)[K]>}

/** Whether a row is there for a reader at `now` (seconds since 2016). */
export function liveRow(rows: RowStore, key: Buffer, now: number): Row | undefined {
  const row = rows.get(key)
  return row && (row.expireTs === 0 || row.expireTs > now) ? row : undefined
}

export function applyPut(rows: RowStore, {expireTsSeconds, key, value}: Requests['put']): void {
  rows.put(key, value, expireTsSeconds)
}

export function applyMultiPut(rows: RowStore, {expireTsSeconds, hashKey, kvs}: Requests['multiPut']): number {
  if (kvs.length === 0) return StorageStatus.invalidArgument
  for (const {key, value} of kvs) rows.put(encodeKey(hashKey, key), value, expireTsSeconds)
  return StorageStatus.ok
}

/** @returns error and how many rows it names */
export function applyMultiRemove(
  rows: RowStore,
  {hashKey, sortKeys}: Requests['multiRemove'],
): {count: number; error: number} {
  if (sortKeys.length === 0) return {count: 0, error: StorageStatus.invalidArgument}
  for (const sortKey of sortKeys) rows.remove(encodeKey(hashKey, sortKey))
  return {count: sortKeys.length, error: StorageStatus.ok}
}

export interface IncrResult {
  error: number
  newValue: bigint
  /** What to store; absent when nothing changes. */
  put?: Requests['put']
}

export function incr(rows: RowStore, {expireTsSeconds, increment, key}: Requests['incr'], now: number): IncrResult {
  const row = liveRow(rows, key, now)
  const old = row ? integerOf(row.value) : 0n
  if (old === undefined) return {error: StorageStatus.invalidArgument, newValue: 0n}
  const newValue = old + increment
  if (newValue !== BigInt.asIntN(64, newValue)) return {error: StorageStatus.invalidArgument, newValue: old}
  // 0 keeps the time to live, above 0 sets it, below 0 takes it away (protocol.md §8.2).
  const expireTs = expireTsSeconds === 0 ? (row?.expireTs ?? 0) : Math.max(0, expireTsSeconds)
  const put = {expireTsSeconds: expireTs, key, value: Buffer.from(String(newValue))}
  return {error: StorageStatus.ok, newValue, put}
}

export interface CheckResult {
  checkValue: Buffer
  checkValueExist: boolean
  checkValueReturned: boolean
  error: number
}

type Checked = Pick<
  Requests['checkAndSet'],
  'checkOperand' | 'checkSortKey' | 'checkType' | 'hashKey' | 'returnCheckValue'
>

/** The check half of CHECK_AND_SET and CHECK_AND_MUTATE; error 13 (TryAgain) when it fails (protocol.md §6.3). */
export function check(rows: RowStore, request: Checked, now: number): CheckResult {
  const row = liveRow(rows, encodeKey(request.hashKey, request.checkSortKey), now)
  const holds = checkHolds(request.checkType as CasCheckType, request.checkOperand, row?.value)
  const shown = request.returnCheckValue
  return {
    checkValue: shown && row ? row.value : Buffer.alloc(0),
    checkValueExist: shown && row !== undefined,
    checkValueReturned: shown,
    error: holds === undefined ? StorageStatus.invalidArgument : holds ? StorageStatus.ok : StorageStatus.tryAgain,
  }
}

/** What a CHECK_AND_SET stores when its check holds. */
export function setOf(request: Requests['checkAndSet']): Requests['put'] {
  const sortKey = request.setDiffSortKey ? request.setSortKey : request.checkSortKey
  return {
    expireTsSeconds: request.setExpireTsSeconds,
    key: encodeKey(request.hashKey, sortKey),
    value: request.setValue,
  }
}

export function applyMutates(rows: RowStore, {hashKey, mutateList}: Requests['checkAndMutate']): void {
  for (const {operation, setExpireTsSeconds, sortKey, value} of mutateList) {
    const key = encodeKey(hashKey, sortKey)
    if (operation === MutateOperation.MO_DELETE) rows.remove(key)
    else rows.put(key, value, setExpireTsSeconds)
  }
}

/** Applies one entry of a DUPLICATE. @returns rocksdb's status */
export function applyShipped(rows: RowStore, taskCode: string, raw: Buffer): number {
  const args = <Q>(call: Call<Q, unknown>): Q => decodeArguments(call.request, raw)
  switch (taskCode) {
    case dataCalls.put.name: {
      applyPut(rows, args(dataCalls.put))
      return StorageStatus.ok
    }

    case dataCalls.remove.name: {
      rows.remove(args(dataCalls.remove))
      return StorageStatus.ok
    }

    case dataCalls.multiPut.name: {
      return applyMultiPut(rows, args(dataCalls.multiPut))
    }

    case dataCalls.multiRemove.name: {
      return applyMultiRemove(rows, args(dataCalls.multiRemove)).error
    }

    default: {
      return StorageStatus.invalidArgument
    }
  }
}
