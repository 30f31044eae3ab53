import assert from 'node:assert/strict'
import * as fc from 'fast-check'

import {encodeKey} from '../../../src/lib/pegasus/key-hash.js'
import {rowKey, type ScanOptions, TableReader} from '../../../src/lib/pegasus/rows.js'
import {dataCalls} from '../../../src/lib/rpc/calls.js'
import {ConnectionPool} from '../../../src/lib/rpc/pool.js'
import type {KeyValue} from '../../../src/lib/rpc/structs/rrdb.js'
import {FakeCluster} from '../../support/fake-cluster.js'
import {FakePartition, type ScanFault} from '../../support/fake-partition.js'
import {goldenResult} from '../../support/golden.js'

const pid = {appId: 2, partitionIndex: 0}

function rows(count: number, valueBytes = 4): KeyValue[] {
  return Array.from({length: count}, (_, n) => ({
    expireTsSeconds: 0,
    key: encodeKey(Buffer.from(`h${String(n).padStart(6, '0')}`), Buffer.from('s')),
    value: Buffer.alloc(valueBytes, n),
  }))
}

async function bed(partition: FakePartition, faults: Record<number, ScanFault> = {}) {
  const cluster = new FakeCluster()
  for (const [exchange, fault] of Object.entries(faults)) partition.faults.set(Number(exchange), fault)
  const {address} = await cluster.listen(partition.server)
  const configuration = {appId: 2, partitionCount: 1, partitions: []}
  const reader = new TableReader(cluster.client.pool, configuration, cluster.client.env)
  const read = async (options: ScanOptions) => {
    const batches: KeyValue[][] = []
    for await (const batch of reader.scanPartition(pid, address, options)) batches.push(batch)
    return batches
  }

  return {
    address,
    clock: cluster.clock,
    cluster,
    count: (options: ScanOptions = {}) => cluster.run(reader.countPartition(pid, address, options)),
    partition,
    reader,
    scan: (options: ScanOptions = {}) => cluster.run(read(options)),
  }
}

const keys = (batches: KeyValue[][]) => batches.flat().map(({key}) => key.toString('hex'))

describe('scan', () => {
  describe('scanPartition', () => {
    it('reads every row in order although context ids are negative', async () => {
      const {partition, scan} = await bed(new FakePartition(rows(1234)))
      const batches = await scan({batchSize: 500})
      assert.deepEqual(
        batches.map((batch) => batch.length),
        [500, 500, 234],
      )
      assert.deepEqual(batches.flat(), partition.rows)
      assert.deepEqual(partition.cleared, [])
    })

    it('reads an empty partition', async () => {
      const {scan} = await bed(new FakePartition([]))
      assert.deepEqual(await scan(), [])
    })

    it('asks for a full scan with expiry times from the first key to the last', async () => {
      const {partition, scan} = await bed(new FakePartition([]))
      let request: object | undefined
      partition.server.on(dataCalls.getScanner, (call) => {
        request = call.request
        assert.deepEqual([call.head.pid, call.head.partitionHash], [pid, 0n])
        call.reply(partition.response({contextId: -1n}))
      })
      await scan({noValue: true})
      assert.deepEqual(request, {
        batchSize: 500,
        fullScan: true,
        hashKeyFilterPattern: Buffer.alloc(0),
        hashKeyFilterType: 0,
        noValue: true,
        returnExpireTs: true,
        sortKeyFilterPattern: Buffer.alloc(0),
        sortKeyFilterType: 0,
        startInclusive: true,
        startKey: Buffer.from('0000', 'hex'),
        stopInclusive: false,
        stopKey: Buffer.from('ffff', 'hex'),
        validatePartitionHash: true,
      })
    })

    it('begins where it is told to', async () => {
      const all = rows(10)
      const {scan} = await bed(new FakePartition(all))
      const startKey = all[4]!.key
      assert.deepEqual(keys(await scan({startKey})), keys([all.slice(4)]))
      assert.deepEqual(keys(await scan({startInclusive: false, startKey})), keys([all.slice(5)]))
    })

    for (const [fault, what] of [
      ['forget', 'the server has forgotten the scan'],
      ['incomplete', 'the server cut the scan short'],
      ['incomplete-empty', 'the server cut the scan short without a row'],
      ['cut', 'the connection broke'],
      ['lose', 'an answer never came'],
    ] as const) {
      it(`goes on after the last key when ${what}`, async () => {
        const all = rows(30)
        const {partition, scan} = await bed(new FakePartition(all), {0: fault, 2: fault, 5: fault})
        assert.deepEqual(keys(await scan({batchSize: 7})), keys([all]))
        const [first, ...later] = partition.starts
        assert.deepEqual([first!.key, first!.inclusive], ['0000', true])
        assert.ok(later.length >= 2)
        assert.equal(later.at(-1)!.inclusive, false)
        assert.ok(keys([all]).includes(later.at(-1)!.key))
      })
    }

    it('reads every row once under any faults that leave some progress', async () => {
      const fault = fc.constantFrom<ScanFault>('busy', 'cut', 'forget', 'incomplete', 'incomplete-empty', 'lose')
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.nat(40), fault), {maxLength: 12}),
          fc.integer({max: 60, min: 0}),
          fc.integer({max: 20, min: 1}),
          async (faults, count, batchSize) => {
            const all = rows(count)
            // Never eight in a row: each third exchange is left alone.
            const spaced = Object.fromEntries(faults.filter(([at]) => at % 3 !== 0))
            const {scan} = await bed(new FakePartition(all), spaced)
            assert.deepEqual(keys(await scan({batchSize})), keys([all]))
          },
        ),
        {numRuns: 40},
      )
    })

    it('gives up when there is no progress', async () => {
      for (const fault of ['forget', 'incomplete-empty', 'cut'] as const) {
        const {partition, scan} = await bed(
          new FakePartition(rows(30)),
          Object.fromEntries(Array.from({length: 50}, (_, n) => [n + 1, fault])),
        )
        await assert.rejects(scan({batchSize: 7}), {code: 'scan.no_progress', retrySafe: true})
        assert.ok(partition.starts.length <= 9)
      }
    })

    it('backs off while the server is busy, and gives up after a minute', async () => {
      const all = rows(20)
      const some = await bed(new FakePartition(all), {0: 'busy', 1: 'busy', 3: 'busy'})
      assert.deepEqual(keys(await some.scan({batchSize: 7})), keys([all]))
      assert.equal(some.partition.starts.length, 3)
      assert.equal(some.clock.nowMs(), 100 + 200 + 100)

      const always = await bed(
        new FakePartition(all),
        Object.fromEntries(Array.from({length: 100}, (_, n) => [n, 'busy'])),
      )
      await assert.rejects(always.scan(), {
        code: 'rpc.server_error',
        facts: {address: always.address, call: dataCalls.getScanner.name, error: 'ERR_BUSY'},
        retrySafe: true,
      })
      assert.ok(always.clock.nowMs() >= 60_000 && always.clock.nowMs() < 64_000, `${always.clock.nowMs()}`)
    })

    it('passes on other errors', async () => {
      const corrupt = await bed(new FakePartition(rows(9)), {1: 2})
      await assert.rejects(corrupt.scan({batchSize: 3}), {
        code: 'scan.storage_error',
        facts: {address: corrupt.address, error: 2, pid: '2.0'},
      })
      const moved = await bed(new FakePartition(rows(9)))
      moved.partition.server.on(dataCalls.scan, (call) => call.fail('ERR_INVALID_STATE'))
      await assert.rejects(moved.scan({batchSize: 3}), {code: 'rpc.server_error'})
      assert.deepEqual(moved.partition.cleared, [])
    })

    it('takes an empty range for what it is, and never asks for scan 0 for ever', async () => {
      const shortcut = await bed(new FakePartition([]))
      shortcut.partition.server.on(dataCalls.getScanner, (call) =>
        call.reply(shortcut.partition.response({contextId: 0n})),
      )
      assert.deepEqual(await shortcut.scan(), [])
      assert.ok(!shortcut.partition.server.received.includes(dataCalls.scan.name))

      const loop = await bed(new FakePartition(rows(5)))
      loop.partition.server.on(dataCalls.scan, (call) => call.reply(loop.partition.response({contextId: 0n})))
      assert.deepEqual(keys(await loop.scan({batchSize: 2})), keys([loop.partition.rows]))
      assert.equal(loop.partition.server.received.length, 5, 'three scanners, two of them gone')
      await assert.rejects(loop.count({batchSize: 2}), {code: 'scan.no_progress'})
    })

    it('reads on through empty batches', async () => {
      const all = rows(3)
      const {partition, scan} = await bed(new FakePartition(all))
      let empty = 0
      partition.server.on(dataCalls.getScanner, (call) => call.reply(partition.response({contextId: -5n})))
      partition.server.on(dataCalls.scan, (call) => {
        const done = ++empty > 50
        call.reply(partition.response({contextId: done ? -1n : BigInt(-5 - empty), kvs: done ? all : []}))
      })
      assert.deepEqual(keys(await scan()), keys([all]))
    })

    it('refuses keys that do not grow', async () => {
      const [a, b] = rows(2) as [KeyValue, KeyValue]
      for (const kvs of [
        [b, a],
        [a, a],
      ]) {
        const {partition, scan} = await bed(new FakePartition([]))
        partition.server.on(dataCalls.getScanner, (call) => call.reply(partition.response({contextId: -1n, kvs})))
        await assert.rejects(scan(), {code: 'scan.out_of_order'})
      }

      const again = await bed(new FakePartition([]))
      again.partition.server.on(dataCalls.getScanner, (call) =>
        call.reply(again.partition.response({contextId: -1n, kvs: [a]})),
      )
      await assert.rejects(again.scan({startInclusive: false, startKey: a.key}), {code: 'scan.out_of_order'})
    })

    it('asks for less when a batch is larger than a message may be', async () => {
      const all = rows(40, 1000)
      const cluster = new FakeCluster()
      const partition = new FakePartition(all)
      const {address} = await cluster.listen(partition.server)
      const transport = cluster.client.env.transport
      const pool = new ConnectionPool({clock: cluster.clock, maxMessageBytes: 10_000, transport})
      const reader = new TableReader(pool, {appId: 2, partitionCount: 1, partitions: []}, cluster.client.env)
      const read = async () => {
        const batches: KeyValue[][] = []
        for await (const batch of reader.scanPartition(pid, address)) batches.push(batch)
        return batches
      }

      assert.deepEqual(keys(await cluster.run(read())), keys([all]))
      assert.deepEqual(
        partition.starts.map(({batchSize}) => batchSize),
        [500, 125, 32, 8],
      )
    })

    it('clears the scanner when its reader stops early', async () => {
      const {address, cluster, partition, reader} = await bed(new FakePartition(rows(30)))
      const readOne = async () => {
        let read = 0
        for await (const batch of reader.scanPartition(pid, address, {batchSize: 7})) {
          read += batch.length
          if (read > 0) break
        }

        return read
      }

      assert.equal(await cluster.run(readOne()), 7)
      await cluster.clock.advance(0)
      assert.equal(partition.cleared.length, 1)
      assert.equal(partition.open.size, 0)
    })

    it('ends with its caller', async () => {
      const {clock, partition, scan} = await bed(
        new FakePartition(rows(30)),
        Object.fromEntries(Array.from({length: 100}, (_, n) => [n + 1, 'busy'])),
      )
      const controller = new AbortController()
      clock.setTimer(5000, () => controller.abort(new Error('Ctrl-C')))
      await assert.rejects(scan({batchSize: 7, signal: controller.signal}), {code: 'rpc.aborted'})
      assert.equal(clock.nowMs(), 5000)
      assert.equal(partition.batches, 1)
    })

    it('reads what real servers sent', async () => {
      for (const version of ['2.5.0', 'master'] as const) {
        const {partition, scan} = await bed(new FakePartition([]))
        const first = goldenResult(version, 'scan.1_get_scanner', dataCalls.getScanner)
        const second = goldenResult(version, 'scan.2_scan', dataCalls.scan)
        assert.ok(first.contextId < 0n || first.contextId > 2n ** 32n)
        partition.server.always(dataCalls.getScanner, first)
        partition.server.on(dataCalls.scan, (call) => {
          const known = call.request.contextId === first.contextId
          call.reply(known ? {...second, contextId: -1n} : partition.response({error: 1}))
        })
        const batches = await scan({startKey: first.kvs[0]!.key})
        assert.equal(batches.flat().length, first.kvs.length + second.kvs.length)
        assert.ok(rowKey(batches[0]![0]!).hashKey.length > 0)
      }
    })
  })

  describe('countPartition', () => {
    it('lets the server count', async () => {
      const {count, partition} = await bed(new FakePartition(rows(2345)))
      assert.equal(await count({batchSize: 1000}), 2345)
      assert.equal(partition.batches, 3)
    })

    it('counts the rows that 2.4 sends instead', async () => {
      const partition = new FakePartition(rows(2345))
      partition.counts = false
      const {count} = await bed(partition)
      assert.equal(await count({batchSize: 1000}), 2345)
    })

    it('counts an empty partition', async () => {
      const {count} = await bed(new FakePartition([]))
      assert.equal(await count(), 0)
    })

    it('begins anew when the scan was lost', async () => {
      for (const fault of ['forget', 'cut', 'lose'] as const) {
        const {count} = await bed(new FakePartition(rows(30)), {2: fault, 4: fault})
        assert.equal(await count({batchSize: 7}), 30)
      }
    })

    it('reads keys when the server cuts the count short', async () => {
      const {count} = await bed(new FakePartition(rows(30)), {2: 'incomplete', 4: 'incomplete'})
      assert.equal(await count({batchSize: 7}), 30)
    })

    it('gives up when there is no progress', async () => {
      const {count} = await bed(
        new FakePartition(rows(30)),
        Object.fromEntries(Array.from({length: 50}, (_, n) => [n, 'forget'])),
      )
      await assert.rejects(count(), {code: 'scan.no_progress'})
    })
  })
})
