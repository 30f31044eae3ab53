import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import {dataCalls, metaCalls} from '../../src/lib/rpc/calls.js'
import {FilterType} from '../../src/lib/rpc/structs/rrdb.js'
import {type Bed, onBed, smallTable} from '../sandbox/test-bed.js'

const noBytes = Buffer.alloc(0)

/** Scans partition 0 of `t` whole. @returns what the replies said */
async function scan({client, sandbox}: Bed, batchSize: number, onlyReturnCount: boolean) {
  const address = sandbox.source.primaryOf('t', 0)!
  const options = {pid: {appId: sandbox.source.table('t').info.appId, partitionIndex: 0}, timeoutMs: 3000}
  const request = {
    batchSize,
    fullScan: true,
    hashKeyFilterPattern: noBytes,
    hashKeyFilterType: FilterType.FT_NO_FILTER,
    noValue: false,
    onlyReturnCount,
    returnExpireTs: true,
    sortKeyFilterPattern: noBytes,
    sortKeyFilterType: FilterType.FT_NO_FILTER,
    startInclusive: true,
    startKey: Buffer.from([0, 0]),
    stopInclusive: false,
    stopKey: Buffer.from([0xff, 0xff]),
    validatePartitionHash: true,
  }
  const ids: bigint[] = []
  let [rows, counted, largest] = [0, 0, 0]
  let reply = await client.peers.call(address, dataCalls.getScanner, request, options)
  for (;;) {
    assert.equal(reply.error, 0)
    rows += reply.kvs.length
    counted += reply.kvCount ?? 0
    largest = Math.max(largest, reply.kvs.length, reply.kvCount ?? 0)
    ids.push(reply.contextId)
    if (reply.contextId === -1n) return {counted, ids, largest, rows}
    reply = await client.peers.call(address, dataCalls.scan, {contextId: reply.contextId}, options)
  }
}

describe('sandbox: versions', () => {
  it(
    'scans in batches of at most 1000, an id per reply, negative ones among them (measured.md §0, §11)',
    onBed({}, async (bed) => {
      await smallTable(bed, 't', 20_000)
      const whole = bed.sandbox.source.table('t').partitions[0]!.rows.size
      const {ids, largest, rows} = await scan(bed, 5000, false)
      assert.equal(rows, whole)
      assert.equal(largest, 1000)
      assert.equal(new Set(ids).size, ids.length)
      const firstIds: bigint[] = []
      for (let i = 0; i < 8; i++) {
        const name = `more${i}`
        await bed.sandbox.source.createTable(name, {partitionCount: 1, replicaCount: 1})
        const {address} = bed.sandbox.source.serverAt(bed.sandbox.source.primaryOf(name, 0)!)!
        const replica = bed.sandbox.source.serverAt(address)!.replicas.find((r) => r.app.appName === name)!
        bed.sandbox.source.loadRows(name, [
          {hashKey: 'a', value: ''},
          {hashKey: 'b', value: ''},
        ])
        const request = {
          batchSize: 1,
          startInclusive: true,
          startKey: noBytes,
          stopKey: Buffer.from([0xff]),
          stopInclusive: false,
        }
        const open = replica.scans.open(
          replica.partition.rows,
          {...dataCalls.getScanner.request.zero(), ...request},
          true,
        )
        firstIds.push(open.contextId)
      }

      assert.ok(firstIds.some((id) => id < -1n) && firstIds.some((id) => id > 0n), String(firstIds))
    }),
  )

  for (const [profile, counts] of [
    ['2.4', false],
    ['2.5', true],
    ['master', true],
  ] as const) {
    it(
      `${profile} ${counts ? 'counts instead of sending rows' : 'ignores only_return_count and sends rows'} (protocol.md §8.4)`,
      onBed({profile}, async (bed) => {
        await smallTable(bed, 't', 2000)
        const whole = bed.sandbox.source.table('t').partitions[0]!.rows.size
        const {counted, rows} = await scan(bed, 300, true)
        assert.deepEqual([rows, counted], counts ? [0, whole] : [whole, 0])
      }),
    )
  }

  it(
    'a scan context dies with its use and its life (protocol.md §8.4)',
    onBed({}, async (bed) => {
      await smallTable(bed, 't', 1000)
      const {clock, sandbox} = bed
      const replica = sandbox.source
        .serverAt(sandbox.source.primaryOf('t', 0)!)!
        .replica({appId: 1, partitionIndex: 0})!
      const request = {
        ...dataCalls.getScanner.request.zero(),
        batchSize: 10,
        startInclusive: true,
        stopKey: Buffer.from([0xff, 0xff]),
      }
      const {contextId} = replica.scans.open(replica.partition.rows, request, true)
      const next = replica.scans.next(contextId, true)
      assert.equal(replica.scans.next(contextId, true).error, 1)
      await sleep(clock, 301_000)
      assert.equal(replica.scans.next(next.contextId, true).error, 1)
    }),
  )

  it(
    '2.4 knows neither rename nor query-progress; master has no perf counters (protocol.md §3, §4.6)',
    onBed({profile: {source: '2.4', target: 'master'}}, async ({client, clock, sandbox}) => {
      const rename = client.meta(sandbox.source, metaCalls.renameApp, {newAppName: 'b', oldAppName: 'a'})
      await assert.rejects(rename, {message: 'ERR_HANDLER_NOT_FOUND'})
      const [old, young] = [sandbox.source.servers[0]!.address, sandbox.target.servers[0]!.address]
      assert.equal(await client.command(old, 'replica.query-progress'), "unknown command 'replica.query-progress'")
      assert.equal(await client.command(young, 'replica.query-progress'), '0 processed, 0 not found')
      await sleep(clock, 11_000)
      assert.match(
        await client.command(old, 'perf-counters-by-substr', 'disk.available'),
        /disk\.available\.total\(MB\)/,
      )
      assert.match(await client.command(young, 'perf-counters-by-substr', 'disk.available'), /"counters":\[]/)
      assert.equal((await client.http(young, '/perfCounter?name=x')).status, 404)
      assert.match((await client.http(young, '/metrics?types=disk')).body, /disk_capacity_avail_mb/)
    }),
  )

  it(
    'a 2.5 cluster duplicates to one of master (protocol.md §3.12)',
    onBed({profile: {source: '2.5', target: 'master'}}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      await sleep(clock, 30_000)
      await client.duplicate('t')
      await client.put(sandbox.source, 't', 'row1', 'newest')
      await client.until(() => client.valueOf(sandbox.target, 't', 'row1') === 'newest', 25_000, 'shipped')
    }),
  )

  it(
    'requests are counted on every replica that applies them',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      const {source} = sandbox
      const key = client.keyIn(source, 't', 0)
      for (let i = 0; i < 20; i++) await client.put(source, 't', key, 'x')
      await sleep(clock, 10_001)
      const text = await client.command(source.primaryOf('t', 0)!, 'perf-counters-by-substr', 'put_qps@1.0')
      assert.match(text, /"replica\*app\.pegasus\*put_qps@1\.0","type":"RATE","value":2\.0/)
    }),
  )
})
