import assert from 'node:assert/strict'

import {crc64, encodeKey, keyHash, partitionOf} from '../../../src/lib/pegasus/key-hash.js'
import {probeRead, probeWrite} from '../../../src/lib/pegasus/probe.js'
import {TableReader} from '../../../src/lib/pegasus/rows.js'
import {dataCalls, type RequestOf, type ResponseOf} from '../../../src/lib/rpc/calls.js'
import {CasCheckType} from '../../../src/lib/rpc/structs/rrdb.js'
import {FakeCluster} from '../../support/fake-cluster.js'
import {FakeServer, type ReceivedCall} from '../../support/fake-server.js'
import {goldenResult} from '../../support/golden.js'

const COUNT = 4
const common = {appId: 2, partitionIndex: 0, server: ''}
const key = {hashKey: Buffer.from('hash'), sortKey: Buffer.from('sort')}

async function bed() {
  const cluster = new FakeCluster()
  const servers = await Promise.all(Array.from({length: COUNT}, () => cluster.listen(new FakeServer())))
  const partitions = servers.map(({address}, partitionIndex) => ({
    ballot: 3,
    lastCommittedDecree: 0,
    lastDrops: [],
    maxReplicaCount: 3,
    pid: {appId: 2, partitionIndex},
    primary: address as null | string,
    secondaries: [],
  }))
  const configuration = {appId: 2, partitionCount: COUNT, partitions}
  const reader = new TableReader(cluster.client.pool, configuration, cluster.client.env)
  const owner = partitionOf(crc64(key.hashKey), COUNT)
  return {
    cluster,
    configuration,
    owner,
    reader,
    run: <T>(promise: Promise<T>) => cluster.run(promise),
    server: servers[owner]!.server,
    servers,
  }
}

describe('rows and probes', () => {
  describe('TableReader', () => {
    it('gets a row from the primary of its partition', async () => {
      const {owner, reader, run, server, servers} = await bed()
      server.on(dataCalls.get, (call) => {
        assert.deepEqual(call.request, encodeKey(key.hashKey, key.sortKey))
        assert.deepEqual(
          [call.head.pid, call.head.partitionHash],
          [{appId: 2, partitionIndex: owner}, keyHash(key.hashKey, key.sortKey)],
        )
        call.reply({...common, error: 0, value: Buffer.from('v')})
      })
      assert.equal((await run(reader.get(key)))?.toString(), 'v')
      assert.equal(servers.filter((other) => other.server.received.length > 0).length, 1)
    })

    it('knows a row that is not there from an error', async () => {
      const {reader, run, server} = await bed()
      server.always(dataCalls.get, goldenResult('2.5.0', 'get.miss', dataCalls.get))
      assert.equal(await run(reader.get(key)), undefined)
      server.always(dataCalls.get, {...common, error: 5, value: Buffer.alloc(0)})
      await assert.rejects(run(reader.get(key)), {
        code: 'rows.storage_error',
        message: 'GET answered storage error 5 (ioError)',
      })
    })

    it('puts and removes', async () => {
      const {reader, run, server} = await bed()
      let put: RequestOf<typeof dataCalls.put> | undefined
      let removed: Buffer | undefined
      server.on(dataCalls.put, (call) => {
        put = call.request
        call.reply({...common, decree: 5, error: 0})
      })
      server.on(dataCalls.remove, (call) => {
        removed = call.request
        call.reply({...common, decree: 6, error: 0})
      })
      await run(reader.put(key, Buffer.from('v'), 77))
      await run(reader.remove(key))
      assert.deepEqual(put, {expireTsSeconds: 77, key: encodeKey(key.hashKey, key.sortKey), value: Buffer.from('v')})
      assert.deepEqual(removed, put!.key)
      server.on(dataCalls.put, (call) => call.fail('ERR_INVALID_STATE'))
      await assert.rejects(run(reader.put(key, Buffer.from('v'))), {code: 'rpc.server_error'})
    })

    it('says when a partition has no primary', async () => {
      const {configuration, owner, reader, run} = await bed()
      configuration.partitions[owner]!.primary = null
      await assert.rejects(run(reader.get(key)), {code: 'rows.no_primary', facts: {pid: `2.${owner}`}, retrySafe: true})
    })
  })

  describe('probeWrite', () => {
    const pid = {appId: 2, partitionIndex: 3}

    async function probe(
      answer: (
        call: ReceivedCall<RequestOf<typeof dataCalls.checkAndSet>, ResponseOf<typeof dataCalls.checkAndSet>>,
      ) => void,
    ) {
      const cluster = new FakeCluster()
      const server = new FakeServer().on(dataCalls.checkAndSet, answer)
      const {address} = await cluster.listen(server)
      return cluster.run(probeWrite(cluster.client.pool, address, pid, COUNT, {timeoutMs: 3000}))
    }

    it('asks the partition for what cannot come true', async () => {
      await probe((call) => {
        const {checkSortKey, checkType, hashKey, setSortKey} = call.request
        assert.equal(partitionOf(crc64(hashKey), COUNT), 3)
        assert.equal(call.head.partitionHash, crc64(hashKey))
        assert.deepEqual(call.head.pid, pid)
        assert.equal(checkType, CasCheckType.CT_VALUE_EXIST)
        assert.notEqual(checkSortKey.length, 0)
        assert.equal(setSortKey.length, 0)
        call.reply(goldenResult('2.5.0', 'check_and_set.failing', dataCalls.checkAndSet))
      })
    })

    const cases: Array<
      [string, (call: ReceivedCall<unknown, ResponseOf<typeof dataCalls.checkAndSet>>) => void, string, RegExp]
    > = [
      [
        'a failed check',
        (call) => call.reply(goldenResult('master', 'check_and_set.failing', dataCalls.checkAndSet)),
        'not-denied',
        /error 13/,
      ],
      ['ERR_OPERATION_DISABLED', (call) => call.fail('ERR_OPERATION_DISABLED'), 'not-denied', /ERR_OPERATION_DISABLED/],
      ['ERR_INVALID_STATE', (call) => call.fail('ERR_INVALID_STATE'), 'denied-reconfig', /ERR_INVALID_STATE/],
      ['silence', () => {}, 'silent', /3000 ms/],
      ['ERR_OBJECT_NOT_FOUND', (call) => call.fail('ERR_OBJECT_NOT_FOUND'), 'unknown', /ERR_OBJECT_NOT_FOUND/],
      ['a lost connection', (call) => call.cut(), 'unknown', /RPC_RRDB_RRDB_CHECK_AND_SET/],
      [
        'success',
        (call) => call.reply(goldenResult('2.5.0', 'check_and_set.ok', dataCalls.checkAndSet)),
        'unknown',
        /error 0/,
      ],
    ]
    for (const [what, answer, verdict, detail] of cases) {
      it(`${what} is ${verdict}`, async () => {
        const result = await probe(answer)
        assert.equal(result.verdict, verdict)
        assert.match(result.detail, detail)
      })
    }

    it('a server that is not there is unknown; a caller that gives up is an error', async () => {
      const cluster = new FakeCluster()
      const {pool} = cluster.client
      const result = await cluster.run(probeWrite(pool, '127.0.0.1:1', pid, COUNT, {timeoutMs: 3000}))
      assert.equal(result.verdict, 'unknown')
      const signal = AbortSignal.abort(new Error('Ctrl-C'))
      await assert.rejects(probeWrite(pool, '127.0.0.1:1', pid, COUNT, {signal, timeoutMs: 3000}), {
        code: 'rpc.aborted',
      })
      await assert.rejects(probeRead(pool, '127.0.0.1:1', pid, COUNT, {signal, timeoutMs: 3000}), {code: 'rpc.aborted'})
    })
  })

  describe('probeRead', () => {
    const cases: Array<[string, (call: ReceivedCall<unknown, ResponseOf<typeof dataCalls.get>>) => void, string]> = [
      ['no such row', (call) => call.reply({...common, error: 1, value: Buffer.alloc(0)}), 'ok'],
      ['a row', (call) => call.reply({...common, error: 0, value: Buffer.alloc(1)}), 'ok'],
      ['ERR_INVALID_STATE', (call) => call.fail('ERR_INVALID_STATE'), 'refused'],
      ['silence', () => {}, 'silent'],
      ['a storage error', (call) => call.reply({...common, error: 2, value: Buffer.alloc(0)}), 'unknown'],
      ['ERR_BUSY', (call) => call.fail('ERR_BUSY'), 'unknown'],
    ]
    for (const [what, answer, verdict] of cases) {
      it(`${what} is ${verdict}`, async () => {
        const cluster = new FakeCluster()
        const {address} = await cluster.listen(new FakeServer().on(dataCalls.get, answer))
        const pid = {appId: 2, partitionIndex: 1}
        const result = await cluster.run(probeRead(cluster.client.pool, address, pid, COUNT, {timeoutMs: 3000}))
        assert.equal(result.verdict, verdict)
      })
    }
  })
})
