import assert from 'node:assert/strict'

import {systemClock} from '../../../src/lib/clock.js'
import {isMigratorError} from '../../../src/lib/errors.js'
import {queryProxy} from '../../../src/lib/metaproxy/proxy.js'
import {metaCalls} from '../../../src/lib/rpc/calls.js'
import {decodeArguments, decodeRequest, encodeResponse} from '../../../src/lib/rpc/frame.js'
import {ConnectionPool} from '../../../src/lib/rpc/pool.js'
import type {QueryCfgResponse} from '../../../src/lib/rpc/structs/table.js'
import {memoryNetwork} from '../../sandbox/network.js'

const partition = (partitionIndex: number, primary: null | string) => ({
  ballot: 3,
  lastCommittedDecree: 0,
  lastDrops: [],
  maxReplicaCount: 3,
  pid: {appId: 2, partitionIndex},
  primary,
  secondaries: [],
})

const answer = (err: string, partitions: QueryCfgResponse['partitions'] = []): QueryCfgResponse => ({
  appId: partitions.length > 0 ? 2 : 0,
  err,
  isStateful: true,
  partitionCount: partitions.length,
  partitions,
})

describe('queryProxy', () => {
  let pool: ConnectionPool

  /** A server that answers every request with `response`, or not at all. */
  async function proxy(response?: QueryCfgResponse): Promise<{address: string; asked: unknown[]}> {
    const network = memoryNetwork()
    const asked: unknown[] = []
    const {address} = await network.listen((stream) => {
      stream.on('data', (bytes: Buffer) => {
        const {args, head} = decodeRequest(bytes)
        asked.push(decodeArguments(metaCalls.queryConfig.request, args))
        if (!response) return
        stream.write(
          encodeResponse(head.name, head.seqid, 'ERR_OK', {type: metaCalls.queryConfig.response, value: response}),
        )
      })
    })
    pool = new ConnectionPool({clock: systemClock, transport: network.transport})
    return {address, asked}
  }

  afterEach(() => pool.close())

  it('gives the table id and the primaries in order, without those that are not there', async () => {
    const partitions = [partition(2, '10.0.0.1:1'), partition(0, '10.0.0.2:2'), partition(1, null)]
    const {address, asked} = await proxy(answer('ERR_OK', partitions))
    assert.deepEqual(await queryProxy(pool, address, 'users'), {
      appId: 2,
      partitionCount: 3,
      primaries: ['10.0.0.2:2', '10.0.0.1:1'],
    })
    assert.deepEqual(asked, [{appName: 'users', partitionIndices: []}])
  })

  for (const [err, code, meaning] of [
    ['ERR_OBJECT_NOT_FOUND', 'metaproxy.no_table', /no node|no such table/],
    ['ERR_INVALID_DATA', 'metaproxy.invalid_data', /fewer than two/],
    ['ERR_ZOOKEEPER_OPERATION', 'metaproxy.no_zookeeper', /cannot read its ZooKeeper/],
    ['ERR_UNKNOWN', 'metaproxy.error', /ERR_UNKNOWN/],
  ] as const) {
    it(`says what ${err} means`, async () => {
      const {address} = await proxy(answer(err))
      await assert.rejects(queryProxy(pool, address, 'users'), (error) => {
        assert.ok(isMigratorError(error, code), String(error))
        assert.match(error.message, meaning)
        assert.deepEqual(error.facts, {address, err, table: 'users'})
        return true
      })
    })
  }

  it('says what silence may mean', async () => {
    const {address} = await proxy()
    await assert.rejects(queryProxy(pool, address, 'users', {timeoutMs: 30}), (error) => {
      assert.ok(isMigratorError(error, 'metaproxy.no_answer'), String(error))
      assert.match(error.next ?? '', /metas/)
      return true
    })
  })

  it('tells when nothing listens, and when it is aborted', async () => {
    const {address} = await proxy()
    const gone = address.replace(/\d+$/, '1')
    await assert.rejects(queryProxy(pool, gone, 'users'), (error) => isMigratorError(error, 'rpc.connect'))
    const signal = AbortSignal.abort(new Error('enough'))
    await assert.rejects(queryProxy(pool, address, 'users', {signal}), (error) => isMigratorError(error, 'rpc.aborted'))
  })
})
