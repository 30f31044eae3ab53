import assert from 'node:assert/strict'

import {sleep, systemClock} from '../../src/lib/clock.js'
import {isMigratorError} from '../../src/lib/errors.js'
import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import {queryProxy} from '../../src/lib/metaproxy/proxy.js'
import {metaCalls} from '../../src/lib/rpc/calls.js'
import {decodeResponse, decodeResult, encodeRequestBody} from '../../src/lib/rpc/frame.js'
import {ConnectionPool} from '../../src/lib/rpc/pool.js'
import {splitAddress, tcpTransport} from '../../src/lib/rpc/transport.js'
import {type SimulatedMetaproxy, startMetaproxy} from '../sandbox/metaproxy.js'
import type {Listener} from '../sandbox/network.js'
import {startZooKeeper, type ZooKeeper} from '../sandbox/zookeeper.js'
import {ZooKeeperNodes} from '../sandbox/zookeeper-nodes.js'
import {startFakeMeta} from '../support/fake-meta.js'
import {connect} from 'node:net'
import {once} from 'node:events'

const ROOT = '/pegasus-metaproxy'
const FOLLOW_LIMIT_MS = 2000

describe('simulated metaproxy on a real ZooKeeper', () => {
  let zookeeper: ZooKeeper
  let nodes: ZooKeeperNodes
  let source: Listener
  let target: Listener
  let proxy: SimulatedMetaproxy
  let pool: ConnectionPool
  let tables = 0
  let table: string

  before(async function () {
    this.timeout(600_000)
    zookeeper = await startZooKeeper()
    nodes = await ZooKeeperNodes.open(zookeeper.address)
    const names = Array.from({length: 100}, (_, index) => `table${index}`)
    source = await startFakeMeta(Object.fromEntries(names.map((name) => [name, 2])))
    target = await startFakeMeta(Object.fromEntries(names.map((name) => [name, 7])))
  })

  beforeEach(async () => {
    proxy = await startMetaproxy({root: ROOT, zookeeper: zookeeper.address})
    pool = new ConnectionPool({clock: systemClock, transport: tcpTransport})
    table = `table${tables++}`
    await nodes.create(`${ROOT}/${table}`, formatNodeData('onebox', [source.address]))
  })

  afterEach(async () => {
    await pool.close()
    await proxy.stop()
  })

  after(async () => {
    await source?.close()
    await target?.close()
    await nodes?.close()
    await zookeeper?.stop()
  })

  const ask = (timeoutMs = 2000) => queryProxy(pool, proxy.address, table, {timeoutMs})
  const setNode = (data: Buffer | string) => nodes.set(`${ROOT}/${table}`, data)
  const toTarget = () => setNode(formatNodeData('onebox2', [target.address]))

  /** Asks until the answer comes from the cluster with this table id; how long that took. */
  async function followed(appId: number): Promise<number> {
    const startMs = systemClock.nowMs()
    for (;;) {
      const answer = await ask()
      const tookMs = systemClock.nowMs() - startMs
      if (answer.appId === appId) return tookMs
      assert.ok(tookMs < FOLLOW_LIMIT_MS, `still ${answer.appId} after ${tookMs} ms`)
      await sleep(systemClock, 2)
    }
  }

  const failsWith = (code: string, timeoutMs?: number) =>
    assert.rejects(ask(timeoutMs), (error) => {
      assert.ok(isMigratorError(error, code), `${code} expected, got ${error}`)
      return true
    })

  it('answers what the metas of the named cluster say, and follows a change within milliseconds', async () => {
    assert.deepEqual(await ask(), {appId: 2, partitionCount: 1, primaries: ['127.0.0.1:10002']})
    await toTarget()
    const tookMs = await followed(7)
    assert.ok(tookMs < 500, `took ${tookMs} ms`)
  })

  it('takes header version 0 and answers only the config query', async () => {
    const socket = connect(splitAddress(proxy.address))
    await once(socket, 'connect')
    const request = (name: string, seqid: number) => {
      const body = encodeRequestBody(name, seqid, metaCalls.queryConfig.request, {appName: table, partitionIndices: []})
      const header = Buffer.alloc(48)
      header.write('THFT')
      header.writeUInt32BE(48, 8)
      header.writeUInt32BE(body.length, 16)
      return Buffer.concat([header, body])
    }

    socket.write(Buffer.concat([request('RPC_CM_LIST_APPS', 1), request(metaCalls.queryConfig.name, 2)]))
    const [bytes] = (await once(socket, 'data')) as [Buffer]
    const response = decodeResponse(bytes)
    assert.equal(response.seqid, 2)
    assert.equal(decodeResult(metaCalls.queryConfig.response, response.result).appId, 2)
    socket.destroy()
  })

  it('has one error for no node and for a table that the cluster does not have', async () => {
    await assert.rejects(queryProxy(pool, proxy.address, 'nobody'), (error) =>
      isMigratorError(error, 'metaproxy.no_table'),
    )
    await nodes.create(`${ROOT}/unknown`, formatNodeData('onebox', [source.address]))
    await assert.rejects(queryProxy(pool, proxy.address, 'unknown'), (error) =>
      isMigratorError(error, 'metaproxy.no_table'),
    )
  })

  it('refuses a single address, and is healed by a correct node', async () => {
    await setNode(JSON.stringify({cluster_name: 'onebox', meta_addrs: source.address}))
    await failsWith('metaproxy.invalid_data')
    await toTarget()
    // The node was read well enough to be watched.
    const startMs = systemClock.nowMs()
    for (;;) {
      try {
        assert.equal((await ask()).appId, 7)
        return
      } catch (error) {
        assert.ok(isMigratorError(error, 'metaproxy.invalid_data') && systemClock.nowMs() - startMs < FOLLOW_LIMIT_MS)
        await sleep(systemClock, 2)
      }
    }
  })

  it('survives bad JSON at the first read and dies of it at a later one', async () => {
    await setNode('{"cluster_name"')
    await failsWith('metaproxy.invalid_data')
    assert.equal(proxy.died, undefined)
    await setNode(formatNodeData('onebox', [source.address]))
    assert.equal((await ask()).appId, 2)
    await setNode('{"cluster_name"')
    const startMs = systemClock.nowMs()
    while (proxy.died === undefined) {
      assert.ok(systemClock.nowMs() - startMs < FOLLOW_LIMIT_MS, 'is alive')
      await sleep(systemClock, 5)
    }

    assert.match(proxy.died, /INVALID_DATA/)
    await assert.rejects(ask(), (error) => isMigratorError(error, 'rpc.connect', 'rpc.connection_lost'))
  })

  it('forgets a table whose node is removed, and finds it when it comes back', async () => {
    assert.equal((await ask()).appId, 2)
    await nodes.remove(`${ROOT}/${table}`)
    const startMs = systemClock.nowMs()
    while (systemClock.nowMs() - startMs < FOLLOW_LIMIT_MS) {
      const gone = await ask().then(
        () => false,
        (error) => isMigratorError(error, 'metaproxy.no_table'),
      )
      if (gone) break
    }

    await failsWith('metaproxy.no_table')
    await nodes.create(`${ROOT}/${table}`, formatNodeData('onebox2', [target.address]))
    assert.equal((await ask()).appId, 7)
  })

  it('does not answer while the metas are unreachable', async () => {
    const dead = await startFakeMeta({})
    await dead.close()
    await setNode(formatNodeData('onebox', [dead.address]))
    await failsWith('metaproxy.no_answer', 300)
    await dead.open()
    await assert.rejects(ask(5000), (error) => isMigratorError(error, 'metaproxy.no_table'))
    await dead.close()
  })

  it('is stale for good after its session expired, but for tables it had not read, until it is restarted', async () => {
    assert.equal((await ask()).appId, 2)
    await proxy.expireSession()
    await toTarget()
    const other = `table${tables++}`
    await nodes.create(`${ROOT}/${other}`, formatNodeData('onebox2', [target.address]))
    assert.equal((await queryProxy(pool, proxy.address, other)).appId, 7)
    assert.equal((await ask()).appId, 2)
    await toTarget()
    await sleep(systemClock, 100)
    assert.equal((await ask()).appId, 2)
    await proxy.restart()
    assert.equal((await ask()).appId, 7)
  })

  it('keeps its watches over a restart of ZooKeeper', async () => {
    assert.equal((await ask()).appId, 2)
    await zookeeper.restart()
    await toTarget()
    await followed(7)
  })
})
