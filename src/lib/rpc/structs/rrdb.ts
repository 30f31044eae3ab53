import {at, bool, enumeration, i32, i64, int53, list, opt, string, struct, type ValueOf} from '../codec.js'
import {blob} from '../custom-types.js'

/* The data path (idl.md, "Data path (rrdb)"). `error` is a rocksdb status (protocol.md §8.3). */

export enum FilterType {
  FT_NO_FILTER = 0,
  FT_MATCH_ANYWHERE = 1,
  FT_MATCH_PREFIX = 2,
  FT_MATCH_POSTFIX = 3,
}

export enum CasCheckType {
  CT_NO_CHECK = 0,
  CT_VALUE_NOT_EXIST = 1,
  CT_VALUE_NOT_EXIST_OR_EMPTY = 2,
  CT_VALUE_EXIST = 3,
  CT_VALUE_NOT_EMPTY = 4,
  CT_VALUE_MATCH_ANYWHERE = 5,
  CT_VALUE_MATCH_PREFIX = 6,
  CT_VALUE_MATCH_POSTFIX = 7,
  CT_VALUE_BYTES_LESS = 8,
  CT_VALUE_BYTES_LESS_OR_EQUAL = 9,
  CT_VALUE_BYTES_EQUAL = 10,
  CT_VALUE_BYTES_GREATER_OR_EQUAL = 11,
  CT_VALUE_BYTES_GREATER = 12,
  CT_VALUE_INT_LESS = 13,
  CT_VALUE_INT_LESS_OR_EQUAL = 14,
  CT_VALUE_INT_EQUAL = 15,
  CT_VALUE_INT_GREATER_OR_EQUAL = 16,
  CT_VALUE_INT_GREATER = 17,
}

export enum MutateOperation {
  MO_PUT = 0,
  MO_DELETE = 1,
}

/** rocksdb status codes in `error` fields. */
export const StorageStatus = {
  aborted: 10,
  busy: 11,
  corruption: 2,
  expired: 12,
  incomplete: 7,
  invalidArgument: 4,
  ioError: 5,
  notFound: 1,
  notSupported: 3,
  ok: 0,
  timedOut: 9,
  tryAgain: 13,
} as const

export const updateRequest = struct('update_request', {
  key: at(1, blob),
  value: at(2, blob),
  expireTsSeconds: at(3, i32),
  type: opt(4, enumeration(0)),
  checkValueReturned: opt(5, bool),
  checkValueExist: opt(6, bool),
  checkValue: opt(7, blob),
})

export const updateResponse = struct('update_response', {
  error: at(1, i32),
  appId: at(2, i32),
  partitionIndex: at(3, i32),
  decree: at(4, int53),
  server: at(5, string),
})

export const readResponse = struct('read_response', {
  error: at(1, i32),
  value: at(2, blob),
  appId: at(3, i32),
  partitionIndex: at(4, i32),
  server: at(6, string),
})

export const ttlResponse = struct('ttl_response', {
  error: at(1, i32),
  ttlSeconds: at(2, i32),
  appId: at(3, i32),
  partitionIndex: at(4, i32),
  server: at(6, string),
})

export const countResponse = struct('count_response', {
  error: at(1, i32),
  count: at(2, int53),
  appId: at(3, i32),
  partitionIndex: at(4, i32),
  server: at(6, string),
})

export const keyValue = struct('key_value', {
  key: at(1, blob),
  value: at(2, blob),
  expireTsSeconds: opt(3, i32),
})
export type KeyValue = ValueOf<typeof keyValue>

export const multiPutRequest = struct('multi_put_request', {
  hashKey: at(1, blob),
  kvs: at(2, list(keyValue)),
  expireTsSeconds: at(3, i32),
})

export const multiRemoveRequest = struct('multi_remove_request', {
  hashKey: at(1, blob),
  sortKeys: at(2, list(blob)),
  maxCount: at(3, int53),
})

export const multiRemoveResponse = struct('multi_remove_response', {
  error: at(1, i32),
  count: at(2, int53),
  appId: at(3, i32),
  partitionIndex: at(4, i32),
  decree: at(5, int53),
  server: at(6, string),
})

export const multiGetRequest = struct('multi_get_request', {
  hashKey: at(1, blob),
  sortKeys: at(2, list(blob)),
  maxKvCount: at(3, i32),
  maxKvSize: at(4, i32),
  noValue: at(5, bool),
  startSortkey: at(6, blob),
  stopSortkey: at(7, blob),
  startInclusive: at(8, bool),
  stopInclusive: at(9, bool),
  sortKeyFilterType: at(10, enumeration<FilterType>(FilterType.FT_NO_FILTER)),
  sortKeyFilterPattern: at(11, blob),
  reverse: at(12, bool),
})

export const multiGetResponse = struct('multi_get_response', {
  error: at(1, i32),
  kvs: at(2, list(keyValue)),
  appId: at(3, i32),
  partitionIndex: at(4, i32),
  server: at(6, string),
})

export const fullKey = struct('full_key', {hashKey: at(1, blob), sortKey: at(2, blob)})
export const batchGetRequest = struct('batch_get_request', {keys: at(1, list(fullKey))})
export const fullData = struct('full_data', {hashKey: at(1, blob), sortKey: at(2, blob), value: at(3, blob)})
export const batchGetResponse = struct('batch_get_response', {
  error: at(1, i32),
  data: at(2, list(fullData)),
  appId: at(3, i32),
  partitionIndex: at(4, i32),
  server: at(6, string),
})

export const incrRequest = struct('incr_request', {
  key: at(1, blob),
  increment: at(2, i64),
  expireTsSeconds: at(3, i32),
})

export const incrResponse = struct('incr_response', {
  error: at(1, i32),
  newValue: at(2, i64),
  appId: at(3, i32),
  partitionIndex: at(4, i32),
  decree: at(5, int53),
  server: at(6, string),
})

export const checkAndSetRequest = struct('check_and_set_request', {
  hashKey: at(1, blob),
  checkSortKey: at(2, blob),
  checkType: at(3, enumeration<CasCheckType>(CasCheckType.CT_NO_CHECK)),
  checkOperand: at(4, blob),
  setDiffSortKey: at(5, bool),
  setSortKey: at(6, blob),
  setValue: at(7, blob),
  setExpireTsSeconds: at(8, i32),
  returnCheckValue: at(9, bool),
})

/** Also check_and_mutate_response: the same fields. */
export const checkAndSetResponse = struct('check_and_set_response', {
  error: at(1, i32),
  checkValueReturned: at(2, bool),
  checkValueExist: at(3, bool),
  checkValue: at(4, blob),
  appId: at(5, i32),
  partitionIndex: at(6, i32),
  decree: at(7, int53),
  server: at(8, string),
})

export const mutate = struct('mutate', {
  operation: at(1, enumeration<MutateOperation>(MutateOperation.MO_PUT)),
  sortKey: at(2, blob),
  value: at(3, blob),
  setExpireTsSeconds: at(4, i32),
})

export const checkAndMutateRequest = struct('check_and_mutate_request', {
  hashKey: at(1, blob),
  checkSortKey: at(2, blob),
  checkType: at(3, enumeration<CasCheckType>(CasCheckType.CT_NO_CHECK)),
  checkOperand: at(4, blob),
  mutateList: at(5, list(mutate)),
  returnCheckValue: at(6, bool),
})

export const getScannerRequest = struct('get_scanner_request', {
  startKey: at(1, blob),
  stopKey: at(2, blob),
  startInclusive: at(3, bool),
  stopInclusive: at(4, bool),
  batchSize: at(5, i32),
  noValue: at(6, bool),
  hashKeyFilterType: at(7, enumeration<FilterType>(FilterType.FT_NO_FILTER)),
  hashKeyFilterPattern: at(8, blob),
  sortKeyFilterType: at(9, enumeration<FilterType>(FilterType.FT_NO_FILTER)),
  sortKeyFilterPattern: at(10, blob),
  validatePartitionHash: opt(11, bool),
  returnExpireTs: opt(12, bool),
  fullScan: opt(13, bool),
  onlyReturnCount: opt(14, bool),
})

export const scanRequest = struct('scan_request', {contextId: at(1, i64)})

export const scanResponse = struct('scan_response', {
  error: at(1, i32),
  kvs: at(2, list(keyValue)),
  contextId: at(3, i64),
  appId: at(4, i32),
  partitionIndex: at(5, i32),
  server: at(6, string),
  kvCount: opt(7, i32),
})
