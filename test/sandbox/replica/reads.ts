import {sleep} from '../../../src/lib/clock.js'
import {type Call, dataCalls} from '../../../src/lib/rpc/calls.js'
import type {ValueOf} from '../../../src/lib/rpc/codec.js'
import type {DecodedRequest} from '../../../src/lib/rpc/frame.js'
import {type KeyValue, type multiGetRequest, StorageStatus} from '../../../src/lib/rpc/structs/rrdb.js'
import {type Reply, reply, type WireServer} from '../rpc-dispatch.js'
import {counterName} from './counters.js'
import {gateRead, gpidText} from './gate.js'
import {afterPrefix, encodeKey} from './key.js'
import type {Replica} from './replica.js'
import {lowerBound, type Row} from './row-store.js'
import {matches} from './scanner.js'
import type {ReplicaServer} from './server.js'

const noBytes = Buffer.alloc(0)
/** Limits of multi_get and sortkey_count (protocol.md §8.4). */
const MULTI_GET_MAX_ROWS = 3000
const SORTKEY_COUNT_LIMIT = 1000

/** The fields that end every answer about rows. */
export function origin(replica: Replica): {appId: number; partitionIndex: number; server: string} {
  return {...replica.pid, server: replica.server.name}
}

/** Registers every read RPC (protocol.md §8.2). */
export function registerReads(server: ReplicaServer, wire: WireServer): void {
  const on = <Q, S>(call: Call<Q, S>, counter: string, run: (replica: Replica, request: Q) => S) => {
    wire.on(call, (request, message) => serve(server, message, counter, (replica) => run(replica, request)))
  }

  const now = () => server.world.expireNow()
  const live = (row: Row | undefined): Row | undefined =>
    row && (row.expireTs === 0 || row.expireTs > now()) ? row : undefined
  const find = (replica: Replica, key: Buffer) => live(replica.partition.rows.get(key))
  const counts = server.cluster.spec.traits.countsScans

  on(dataCalls.get, 'get_qps', (replica, key) => {
    const row = find(replica, key)
    return {error: row ? StorageStatus.ok : StorageStatus.notFound, value: row?.value ?? noBytes, ...origin(replica)}
  })
  on(dataCalls.ttl, 'get_qps', (replica, key) => {
    const row = find(replica, key)
    const ttlSeconds = row ? (row.expireTs === 0 ? -1 : row.expireTs - now()) : 0
    return {error: row ? StorageStatus.ok : StorageStatus.notFound, ttlSeconds, ...origin(replica)}
  })
  on(dataCalls.multiGet, 'multi_get_qps', (replica, request) => ({
    ...multiGet(replica, request, live),
    ...origin(replica),
  }))
  on(dataCalls.batchGet, 'batch_get_qps', (replica, {keys}) => ({
    data: keys.flatMap(({hashKey, sortKey}) => {
      const row = find(replica, encodeKey(hashKey, sortKey))
      return row ? [{hashKey, sortKey, value: row.value}] : []
    }),
    error: StorageStatus.ok,
    ...origin(replica),
  }))
  on(dataCalls.sortkeyCount, 'scan_qps', (replica, hashKey) => {
    const count = hashKeyRows(replica, hashKey).filter((row) => live(row)).length
    return {count: count > SORTKEY_COUNT_LIMIT ? -1 : count, error: StorageStatus.ok, ...origin(replica)}
  })
  on(dataCalls.getScanner, 'scan_qps', (replica, request) => ({
    ...replica.scans.open(replica.partition.rows, request, counts),
    ...origin(replica),
  }))
  on(dataCalls.scan, 'scan_qps', (replica, {contextId}) => ({
    ...replica.scans.next(contextId, counts),
    ...origin(replica),
  }))
  wire.on(dataCalls.clearScanner, (id, message) => {
    server.replica(message.head.pid)?.scans.forget(id)
    return 'silence'
  })
}

function serve<S>(
  server: ReplicaServer,
  message: DecodedRequest,
  counter: string,
  run: (replica: Replica) => S,
): Promise<Reply<S>> | Reply<S> {
  const verdict = gateRead(server, message)
  if ('refused' in verdict) return verdict.refused
  const {delayMs, replica} = verdict
  server.counters.add(counterName(counter, gpidText(replica)))
  if (delayMs === 0) return reply(run(replica))
  return sleep(server.world.clock, delayMs).then(() => reply(run(replica)))
}

/** Rows of one hash key in order of their sort keys. */
export function hashKeyRows(replica: Replica, hashKey: Buffer): readonly Row[] {
  const rows = replica.partition.rows.snapshot()
  const prefix = encodeKey(hashKey, noBytes)
  const end = afterPrefix(prefix)
  return rows.slice(lowerBound(rows, prefix, true), end ? lowerBound(rows, end, true) : rows.length)
}

function multiGet(
  replica: Replica,
  request: ValueOf<typeof multiGetRequest>,
  live: (row: Row | undefined) => Row | undefined,
): {error: number; kvs: KeyValue[]} {
  const prefixBytes = 2 + request.hashKey.length
  const sortKeyOf = (row: Row) => row.key.subarray(prefixBytes)
  const wanted =
    request.sortKeys.length > 0
      ? [...request.sortKeys]
          .sort(Buffer.compare)
          .map((sortKey) => replica.partition.rows.get(encodeKey(request.hashKey, sortKey)))
      : hashKeyRows(replica, request.hashKey).filter((row) => inRange(request, sortKeyOf(row)))
  if (request.reverse) wanted.reverse()
  const maxRows = Math.min(request.maxKvCount > 0 ? request.maxKvCount : MULTI_GET_MAX_ROWS, MULTI_GET_MAX_ROWS)
  const kvs: KeyValue[] = []
  let bytes = 0
  for (const candidate of wanted) {
    const row = live(candidate)
    if (!row || !matches(request.sortKeyFilterType, request.sortKeyFilterPattern, sortKeyOf(row))) continue
    if (kvs.length >= maxRows || (request.maxKvSize > 0 && bytes >= request.maxKvSize)) {
      return {error: StorageStatus.incomplete, kvs: request.reverse ? kvs.reverse() : kvs}
    }

    kvs.push({key: sortKeyOf(row), value: request.noValue ? noBytes : row.value})
    bytes += row.key.length + row.value.length
  }

  return {error: StorageStatus.ok, kvs: request.reverse ? kvs.reverse() : kvs}
}

function inRange(request: ValueOf<typeof multiGetRequest>, sortKey: Buffer): boolean {
  const {startInclusive, startSortkey, stopInclusive, stopSortkey} = request
  const start = Buffer.compare(sortKey, startSortkey)
  if (start < 0 || (start === 0 && !startInclusive)) return false
  if (stopSortkey.length === 0) return true
  const stop = Buffer.compare(sortKey, stopSortkey)
  return stop < 0 || (stop === 0 && stopInclusive)
}
