import assert from 'node:assert/strict'
import {MigratorError} from '../../../src/lib/errors.js'
import {ClusterRows} from '../../../src/lib/migration/verify/cluster-rows.js'
import type {KeyRange} from '../../../src/lib/migration/verify/index.js'
import {RowBatch} from '../../../src/lib/pegasus/row-batch.js'
import type {KeyValue} from '../../../src/lib/rpc/structs/rrdb.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {row} from './support/memory-rows.js'

const APP = 3
const gone = new MigratorError('rpc.refused', 'connection refused', {retrySafe: true})
const nameOf = (key: Buffer) => key.subarray(2).toString()
const named = (n: number, bytes = 1): KeyValue => row(String(n).padStart(4, '0'), '', 'v'.repeat(bytes), n)

/** One partition, of which each exchange is noted: how many rows from which key on. */
function bed(rows: KeyValue[]) {
  const clock = new VirtualClock()
  const asked: string[] = []
  const state = {
    appId: APP,
    failure: undefined as unknown,
    metaFailure: undefined as unknown,
    partitionCount: 1,
    primary: 'one' as null | string,
    refreshed: 0,
  }
  const scans = new Map<bigint, {at: number; size: number}>()
  const serve = (at: number, size: number) => {
    const contextId = at + size < rows.length ? BigInt(scans.size + 1) : -1n
    scans.set(contextId, {at: at + size, size})
    return {contextId, error: 0, rows: RowBatch.of(rows.slice(at, at + size))}
  }

  const pool = {
    async call(address: string, call: {name: string}, request: unknown) {
      if (state.failure !== undefined) throw state.failure
      if (!call.name.includes('GET_SCANNER')) {
        const {at, size} = scans.get((request as {contextId: bigint}).contextId)!
        asked.push(`${address} goes on`)
        return serve(at, size)
      }

      const {batchSize, onlyReturnCount, startInclusive, startKey} = request as {
        batchSize: number
        onlyReturnCount?: boolean
        startInclusive: boolean
        startKey: Buffer
      }
      if (onlyReturnCount) return {contextId: -1n, error: 0, kvCount: rows.length, rows: RowBatch.of([])}
      asked.push(`${address} ${batchSize} ${startInclusive ? 'from' : 'behind'} ${nameOf(startKey)}`)
      const at = rows.findIndex(({key}) => Buffer.compare(key, startKey) >= (startInclusive ? 0 : 1))
      return serve(at === -1 ? rows.length : at, batchSize)
    },
    async send() {},
  }
  const configuration = () => ({
    appId: state.appId,
    partitionCount: state.partitionCount,
    partitions: [{primary: state.primary}],
  })
  const abort = new AbortController()
  const source = new ClusterRows({
    client: {env: {clock, random: () => 0}, pool} as never,
    cluster: {
      async configuration() {
        state.refreshed++
        if (state.metaFailure !== undefined) throw state.metaFailure
        return configuration()
      },
    } as never,
    configuration: configuration() as never,
    name: 'target',
    signal: abort.signal,
    table: 'users',
  })
  const scan = async (range?: KeyRange) => {
    const found: string[] = []
    for await (const batch of source.scan(0, range)) for (const {key} of batch.rows()) found.push(nameOf(key))
    return found
  }

  return {abort, asked, clock, scan, source, state}
}

const rowsTo = (count: number, bytes = 1) => Array.from({length: count}, (_, n) => named(n, bytes))

describe('ClusterRows', () => {
  it('tries twenty rows, then reads as many at once as a server sends', async () => {
    const {asked, clock, scan} = bed(rowsTo(2100))
    assert.equal((await clock.run(scan())).length, 2100)
    assert.deepEqual(asked, ['one 20 from ', 'one 1000 behind 0019', 'one goes on', 'one goes on'])
  })

  it('reads large rows a few at a time', async () => {
    const {asked, clock, scan} = bed(rowsTo(22, 300_000))
    assert.equal((await clock.run(scan())).length, 22)
    assert.deepEqual(asked, ['one 20 from ', 'one 6 behind 0019'])
  })

  it('asks for no more than is wanted, and keeps to the range', async () => {
    const {asked, clock, scan} = bed(rowsTo(50))
    const range = {from: named(5).key, rowsWanted: 4, to: named(15).key}
    assert.deepEqual(
      await clock.run(scan(range)),
      rowsTo(15)
        .slice(5)
        .map(({key}) => nameOf(key)),
    )
    assert.deepEqual(asked, ['one 4 from 0005', 'one goes on', 'one goes on'])
    assert.equal((await clock.run(scan({from: Buffer.alloc(0)}))).length, 50)
  })

  it('reads one row, and none that has another key', async () => {
    const {asked, clock, source} = bed([named(1), named(3)])
    const {key, value} = named(1)
    assert.deepEqual(await clock.run(source.get(0, key)), {expireTsSeconds: 1, key, value})
    assert.equal(await clock.run(source.get(0, named(2).key)), undefined)
    assert.equal(await clock.run(source.get(0, named(4).key)), undefined)
    assert.deepEqual(asked, ['one 1 from 0001', 'one 1 from 0002', 'one 1 from 0004'])
  })

  it('follows the primary, and goes on behind the last row', async () => {
    const {asked, clock, source, state} = bed(rowsTo(60))
    const found: number[] = []
    await clock.run(
      (async () => {
        for await (const batch of source.scan(0, {rowsWanted: 20})) {
          if (found.push(batch.length) === 1) {
            state.failure = gone
            state.primary = 'two'
            clock.setTimer(500, () => Object.assign(state, {failure: undefined}))
          }
        }
      })(),
    )
    assert.deepEqual(found, [20, 20, 20])
    assert.deepEqual(asked, ['one 20 from ', 'two 20 behind 0019', 'two goes on'])
    assert.deepEqual([state.refreshed, clock.nowMs()], [1, 1000])
  })

  it('bears it for 90 s that a partition cannot be read, also without a meta leader', async () => {
    const {clock, source, state} = bed(rowsTo(3))
    state.failure = gone
    state.metaFailure = new MigratorError('meta.no_leader', 'nobody leads')
    await assert.rejects(clock.run(source.count(0)), {
      code: 'verify.unreadable',
      facts: {partition: 0, side: 'target'},
      message: 'partition 0 of users could not be read on the target for 90 s: connection refused',
      retrySafe: true,
    })
    assert.equal(clock.nowMs(), 90_000)
    state.failure = undefined
    assert.equal(await clock.run(source.count(0)), 3)
  })

  it('waits for a partition that has no primary', async () => {
    const one = bed(rowsTo(3))
    one.state.failure = gone
    one.state.primary = null
    one.clock.setTimer(5500, () => Object.assign(one.state, {failure: undefined, primary: 'two'}))
    assert.equal(await one.clock.run(one.source.count(0)), 3)
    assert.equal(one.clock.nowMs(), 6000)
  })

  for (const changed of [{appId: 9}, {partitionCount: 2}]) {
    it(`does not go on with another table (${Object.keys(changed)[0]})`, async () => {
      const {clock, source, state} = bed(rowsTo(3))
      Object.assign(state, changed, {failure: gone})
      await assert.rejects(clock.run(source.count(0)), {code: 'verify.table_changed', message: /^users on the target/})
      assert.equal(clock.nowMs(), 1000)
    })
  }

  it('bears no error that lasts, of a server or of the meta', async () => {
    const {clock, scan, state} = bed(rowsTo(3))
    state.failure = new MigratorError('scan.storage_error', 'broken')
    await assert.rejects(clock.run(scan()), state.failure as Error)
    state.failure = gone
    state.metaFailure = new MigratorError('meta.error', 'gone', {facts: {err: 'ERR_OBJECT_NOT_FOUND'}})
    await assert.rejects(clock.run(scan()), state.metaFailure as Error)
  })

  it('ends its patience when it is stopped', async () => {
    const {abort, clock, source, state} = bed(rowsTo(3))
    state.failure = gone
    const reason = new Error('stopped')
    clock.setTimer(2500, () => abort.abort(reason))
    await assert.rejects(clock.run(source.count(0)), reason)
    assert.equal(clock.nowMs(), 2500)
  })
})
