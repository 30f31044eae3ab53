import assert from 'node:assert/strict'

import {sleep, systemClock} from '../../src/lib/clock.js'
import {isMigratorError} from '../../src/lib/errors.js'
import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import {ZooKeeperStore} from '../../src/lib/metaproxy/zookeeper-store.js'
import {startZooKeeper, type ZooKeeper} from '../sandbox/zookeeper.js'
import {ZooKeeperNodes} from '../sandbox/zookeeper-nodes.js'
import {leavesNothing} from '../support/resources.js'
import {Operation, type Verdict, ZooKeeperTap} from '../support/zookeeper-tap.js'

const ROOT = '/pegasus-metaproxy'
const LIMIT_MS = 10_000
const atSource = formatNodeData('onebox', ['a:1'])
const atTarget = formatNodeData('onebox2', ['b:1'])

describe('a session with ZooKeeper that is kept', () => {
  let zookeeper: ZooKeeper
  let nodes: ZooKeeperNodes
  let tap: ZooKeeperTap
  let store: ZooKeeperStore
  let table: string
  let tables = 0
  let decide: (operation: number, nth: number) => Verdict

  before(async function () {
    this.timeout(600_000)
    zookeeper = await startZooKeeper()
    nodes = await ZooKeeperNodes.open(zookeeper.address)
  })

  after(async () => {
    await nodes?.close()
    await zookeeper?.stop()
  })

  beforeEach(async () => {
    decide = () => 'pass'
    tap = await ZooKeeperTap.start(zookeeper.address, (operation, nth) => decide(operation, nth))
    store = new ZooKeeperStore({clock: systemClock, hosts: tap.address, root: ROOT})
    table = `table${tables++}`
    await nodes.create(`${ROOT}/${table}`, atSource)
  })

  afterEach(async () => {
    await store.close()
    await tap.close()
  })

  async function until(what: string, done: () => boolean): Promise<void> {
    const untilMs = systemClock.nowMs() + LIMIT_MS
    while (!done()) {
      assert.ok(systemClock.nowMs() < untilMs, what)
      await sleep(systemClock, 10)
    }
  }

  it('serves everything, one after the other, and outlives what is refused', async () => {
    store.keepSession(true)
    await Promise.all([store.read(table), store.read(table), store.read(table)])
    await assert.rejects(store.read('nobody'), (error) => isMigratorError(error, 'zk.no_node'))
    assert.deepEqual(await store.compareAndSet(table, atTarget, 0), {version: 1})
    await assert.rejects(store.compareAndSet(table, atSource, 0), (error) =>
      isMigratorError(error, 'zk.version_conflict'),
    )
    assert.equal((await store.read(table)).data.clusterName, 'onebox2')
    assert.equal(tap.sessions.length, 1)
    assert.equal(tap.openConnections, 1)
  })

  it('is not there unless it is wanted, and ends when it is wanted no longer', async () => {
    await store.read(table)
    await store.read(table)
    assert.equal(tap.sessions.length, 2)
    store.keepSession(true)
    store.keepSession(true)
    await store.read(table)
    await store.read(table)
    assert.equal(tap.sessions.length, 3)
    store.keepSession(false)
    await until('the end of the session', () => tap.openConnections === 0)
    await store.read(table)
    assert.equal(tap.sessions.length, 4)
  })

  it('ends after the operation that uses it, where it is wanted no longer meanwhile', async () => {
    store.keepSession(true)
    const reading = store.read(table)
    store.keepSession(false)
    await reading
    await until('the end of the session', () => tap.openConnections === 0)
  })

  it('is replaced when its connection is cut', async () => {
    decide = (operation, nth) => (operation === Operation.getData && nth === 2 ? 'cut' : 'pass')
    store.keepSession(true)
    await store.read(table)
    assert.deepEqual((await store.read(table)).bytes, atSource)
    assert.equal(tap.sessions.length, 2)
    assert.equal(tap.openConnections, 1)
  })

  it('is replaced when it has expired while nobody used it', async () => {
    store.keepSession(true)
    await store.read(table)
    await tap.endSession()
    await until('the end of its connection', () => tap.openConnections === 0)
    assert.deepEqual(await store.compareAndSet(table, atTarget, 0), {version: 1})
    assert.equal(tap.sessions.length, 2)
  })

  it('does not make a switch doubtful whose reply is lost with it', async () => {
    decide = (operation, nth) => (operation === Operation.multi && nth === 1 ? 'lose-reply' : 'pass')
    store.keepSession(true)
    await store.read(table)
    assert.deepEqual(await store.compareAndSet(table, atTarget, 0), {version: 1})
    assert.equal(tap.sessions.length, 2)
  })

  it('holds up nobody longer than his own limit', async () => {
    decide = (operation) => (operation === Operation.getData ? 'hold' : 'pass')
    const hurried = new ZooKeeperStore({clock: systemClock, hosts: tap.address, operationTimeoutMs: 400, root: ROOT})
    hurried.keepSession(true)
    const both = [hurried.read(table), hurried.read(table)]
    for (const reading of both)
      await assert.rejects(reading, (error) => isMigratorError(error, 'zk.timeout', 'zk.unreachable'))
    await hurried.close()
  })

  it('leaves nothing behind when the store is closed', async () => {
    await leavesNothing(async () => {
      const used = new ZooKeeperStore({clock: systemClock, hosts: zookeeper.address, root: ROOT})
      used.keepSession(true)
      await used.read(table)
      await used.close()
      used.keepSession(true)
      await assert.rejects(used.read(table), (error) => isMigratorError(error, 'zk.closed'))
    })
  })
})
