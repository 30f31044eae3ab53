import assert from 'node:assert/strict'
import {type Clock, scaledClock, sleep} from '../../src/lib/clock.js'
import {
  type RowSource,
  verdictOf,
  type VerifyOptions,
  type VerifyReport,
  verifyTable,
} from '../../src/lib/migration/verify/index.js'
import type {TableReader} from '../../src/lib/pegasus/rows.js'
import {type LoadedRow, type Profile, seededRandom, VirtualClock} from '../sandbox/index.js'
import {DuplicatedTable, trueDifferences} from '../support/duplicated-table.js'

const rows: LoadedRow[] = Array.from({length: 3000}, (_, n) => ({
  expireTs: n % 7 === 0 ? 900_000_000 + n : 0,
  hashKey: `user:${n}`,
  sortKey: n % 5 === 0 ? '' : 'name',
  value: Buffer.alloc(n % 90, n),
}))

/** Writes, overwrites and removes at random until told to stop; then tells how many it were. */
function keepWriting(clock: Clock, writer: TableReader, everyMs: number): () => Promise<number> {
  const random = seededRandom(9)
  const stop = new AbortController()
  const work = async () => {
    let writes = 0
    for (; !stop.signal.aborted; writes++) {
      const key = {hashKey: Buffer.from(`live:${Math.floor(random() * 60)}`), sortKey: Buffer.alloc(0)}
      await (random() < 0.3 ? writer.remove(key) : writer.put(key, Buffer.from(`version ${writes}`)))
      await sleep(clock, everyMs)
    }

    return writes
  }

  const working = work()
  return () => {
    stop.abort()
    return working
  }
}

describe('verify over the wire', () => {
  for (const profile of ['2.4', '2.5', 'master'] satisfies Profile[]) {
    it(`${profile}: finds what was tampered with, and nothing else, under live writes`, async () => {
      const clock = new VirtualClock()
      const table = await clock.run(DuplicatedTable.start({clock, partitionCount: 4, profile, rows}))
      const writer = await clock.run(table.reader('target'))
      const key = (n: number) => ({hashKey: Buffer.from(`user:${n}`), sortKey: Buffer.from(n % 5 === 0 ? '' : 'name')})
      await clock.run(writer.put(key(11), Buffer.from('stale')))
      await clock.run(writer.remove(key(1234)))
      await clock.run(writer.put(key(1001), Buffer.alloc(1001 % 90, 1001), 900_000_000))
      await clock.run(writer.put({hashKey: Buffer.from('stranger'), sortKey: Buffer.from([0, 255])}, Buffer.from('x')))
      const stop = keepWriting(clock, await clock.run(table.reader('source')), 25)
      const options = await clock.run(table.verifyOptions())
      const report = await clock.run(verifyTable(options))
      const writes = await clock.run(stop())
      assert.ok(writes > 100)
      assert.deepEqual(report.differences.map(({key, kind}) => `${key} ${kind}`).sort(), [
        String.raw`"stranger" "\x00\xff" missing-on-source`,
        '"user:1001" "name" expiry',
        '"user:11" "name" value',
        '"user:1234" "name" missing-on-target',
      ])
      assert.equal(report.confirmed, true)
      assert.ok(report.rowsCompared >= 3001)

      // At rest: all that differs now is what was tampered with.
      await clock.advance(60_000)
      assert.equal(trueDifferences(table.sandbox).length, 4)
      const count = await clock.run(verifyTable({...options, mode: 'count'}))
      assert.equal(sum(count.countsSource), table.sandbox.source.rows('users').size)
      const sample = await clock.run(verifyTable({...options, mode: 'sample', sampleRows: 4000}))
      assert.equal(sample.missingOnSource + sample.missingOnTarget + sample.different, 4)
      await table.stop()
    })
  }

  it('finds the overwrites that the servers themselves have shipped in the wrong order, and none with batch bytes 0', async () => {
    const found: Record<number, VerifyReport> = {}
    for (const batchBytes of [4096, 0]) {
      const clock = new VirtualClock()
      const table = await clock.run(
        DuplicatedTable.start({batchBytes, clock, partitionCount: 2, profile: '2.5', rows: rows.slice(0, 100)}),
      )
      const writer = await clock.run(table.reader('source'))
      const random = seededRandom(4)
      const burst = async () => {
        for (let n = 0; n < 150; n++) {
          const key = {hashKey: Buffer.from(`hot:${Math.floor(random() * 12)}`), sortKey: Buffer.alloc(0)}
          await writer.put(key, Buffer.alloc(600, n))
          await sleep(clock, 3)
        }
      }

      await clock.run(Promise.all(Array.from({length: 16}, burst)))
      const report = await clock.run(verifyTable(await clock.run(table.verifyOptions())))
      await clock.advance(120_000)
      const wrong = trueDifferences(table.sandbox).length
      assert.equal(report.different + report.missingOnTarget + report.missingOnSource, wrong)
      assert.equal(report.unresolved, 0)
      // Counts, the fence and every counter say that all is well.
      const counts = await clock.run(verifyTable({...(await clock.run(table.verifyOptions())), mode: 'count'}))
      assert.equal(verdictOf(counts), 'same')
      found[batchBytes] = report
      await table.stop()
    }

    assert.equal(verdictOf(found[4096]!), 'different')
    assert.equal(verdictOf(found[0]!), 'same')
  }).timeout(120_000)

  it('goes on after a source server died, a primary moved and scanners were forgotten', async () => {
    const clock = new VirtualClock()
    const table = await clock.run(DuplicatedTable.start({clock, partitionCount: 4, profile: '2.5', rows}))
    const {source, target} = table.sandbox
    // Slow replies, so that the faults fall into the scans.
    for (const side of [source, target]) side.delayReplies('RPC_RRDB_RRDB_SCAN', 400, {count: 1000})
    const options = await clock.run(table.verifyOptions())
    const scanned = withBatches(options, 100)
    clock.setTimer(700, () => void source.killServer(source.primaryOf('users', 0)!))
    clock.setTimer(1200, () => {
      const primary = target.primaryOf('users', 1)!
      target.movePrimary('users', 1, target.servers.find(({address}) => address !== primary)!.address)
    })
    const startMs = clock.nowMs()
    const report = await clock.run(verifyTable(scanned))
    // Without the faults it takes 4 s; a dead server's partitions get another primary after 8.6 s.
    assert.ok(clock.nowMs() - startMs > 8000, `${clock.nowMs() - startMs} ms`)
    assert.deepEqual([report.equal, report.rowsCompared], [3000, 3000])
    assert.equal(verdictOf(report), 'same')
    await table.stop()
  })

  it('names the partition when a side cannot be read for good', async () => {
    const clock = new VirtualClock()
    const table = await clock.run(
      DuplicatedTable.start({clock, partitionCount: 2, profile: '2.5', rows: rows.slice(0, 50)}),
    )
    const startMs = clock.nowMs()
    await clock.run(table.source.setEnvs('users', {'replica.deny_client_request': 'reconfig*all'}))
    await clock.advance(30_100)
    const options = await clock.run(table.verifyOptions())
    await assert.rejects(clock.run(verifyTable(options)), {
      code: 'verify.unreadable',
      message: /partition \d of users .*source.*ERR_INVALID_STATE/,
    })
    assert.ok(clock.nowMs() - startMs < 130_000)
    await table.stop()
  })

  it('takes batches of a few MiB whatever the size of the rows, each row once', async () => {
    const clock = new VirtualClock()
    const bytesOf = (n: number) => (n > 1800 ? 60_000 : 10)
    const mixed = Array.from({length: 2000}, (_, n) => ({
      hashKey: String(n).padStart(4, '0'),
      value: Buffer.alloc(bytesOf(n), n),
    }))
    const table = await clock.run(DuplicatedTable.start({clock, partitionCount: 1, profile: '2.5', rows: mixed}))
    const {source} = await clock.run(table.verifyOptions())
    const sizes: number[] = []
    const keys: string[] = []
    const read = async () => {
      for await (const batch of source.scan(0, {from: Buffer.alloc(0), to: Buffer.from('\0\u00041990', 'latin1')})) {
        sizes.push(batch.length)
        keys.push(...batch.rows().map(({key}) => key.toString('latin1', 2)))
      }
    }

    await clock.run(read())
    assert.deepEqual(
      keys,
      mixed.slice(0, 1990).map(({hashKey}) => hashKey),
    )
    // A first try, as many as are wanted, the batch in which the rows become big, and then 2 MiB each.
    assert.deepEqual(sizes.slice(0, 2), [20, 1000])
    assert.ok(
      sizes.slice(3).every((rows) => rows <= 35),
      sizes.join(' '),
    )
    await table.stop()
  })

  it('notices that the table is another one than before', async () => {
    const clock = new VirtualClock()
    const table = await clock.run(
      DuplicatedTable.start({clock, partitionCount: 1, profile: '2.5', rows: rows.slice(0, 50)}),
    )
    const options = await clock.run(table.verifyOptions())
    await clock.run(table.target.dropTable('users', {reserveSeconds: 1}))
    await clock.run(table.target.createTable({name: 'users', partitionCount: 1, replicaCount: 3}))
    await clock.advance(60_000)
    await assert.rejects(clock.run(verifyTable(options)), {code: 'verify.table_changed'})
    await table.stop()
  })

  it('works over TCP', async () => {
    const clock = scaledClock(10)
    const table = await DuplicatedTable.start({clock, listen: 'tcp', partitionCount: 4, profile: '2.5', rows})
    try {
      await (await table.reader('target')).remove({hashKey: Buffer.from('user:77'), sortKey: Buffer.from('name')})
      const report = await verifyTable(await table.verifyOptions())
      assert.deepEqual([report.missingOnTarget, report.equal, report.unresolved], [1, 2999, 0])
    } finally {
      await table.stop()
    }
  }).timeout(60_000)
})

function sum(counts: number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}

/** Small batches: more exchanges for a fault to fall into. */
function withBatches(options: VerifyOptions, rowsWanted: number): VerifyOptions {
  const small = (side: RowSource): RowSource => ({
    count: (partition) => side.count(partition),
    get: (partition, key) => side.get(partition, key),
    scan: (partition, range) => side.scan(partition, {...range, rowsWanted}),
  })
  return {...options, source: small(options.source), target: small(options.target)}
}
