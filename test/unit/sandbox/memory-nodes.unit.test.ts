import assert from 'node:assert/strict'

import {isMigratorError} from '../../../src/lib/errors.js'
import {formatNodeData} from '../../../src/lib/metaproxy/node-data.js'
import {queryProxy} from '../../../src/lib/metaproxy/proxy.js'
import {ConnectionPool} from '../../../src/lib/rpc/pool.js'
import {MemoryNodes} from '../../sandbox/memory-nodes.js'
import {startMetaproxy} from '../../sandbox/metaproxy.js'
import {memoryNetwork} from '../../sandbox/network.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {startFakeMeta} from '../../support/fake-meta.js'

const atSource = formatNodeData('onebox', ['a:1'])
const atTarget = formatNodeData('onebox2', ['b:1'])

describe('model of ZooKeeper', () => {
  let nodes: MemoryNodes

  beforeEach(() => {
    nodes = new MemoryNodes('/root')
    nodes.put('/root/users', atSource)
  })

  const fails = (promise: Promise<unknown>, code: string) =>
    assert.rejects(promise, (error) => isMigratorError(error, code))

  it('reads and compares versions as the real one does', async () => {
    assert.equal((await nodes.read('users')).version, 0)
    assert.deepEqual(await nodes.compareAndSet('users', atTarget, 0), {version: 1})
    await fails(nodes.compareAndSet('users', atSource, 0), 'zk.version_conflict')
    assert.deepEqual((await nodes.read('users')).bytes, atTarget)
    await fails(nodes.read('nobody'), 'zk.no_node')
    await fails(nodes.compareAndSet('nobody', atSource, 0), 'zk.no_node')
    await fails(nodes.compareAndSet('users', Buffer.from('{'), 1), 'metaproxy.bad_node')
  })

  it('checks other nodes', async () => {
    const checks = [{path: '/locks/users', version: 0}]
    await fails(nodes.compareAndSet('users', atTarget, 0, undefined, checks), 'zk.check_failed')
    nodes.put('/locks/users', 'mine')
    assert.deepEqual(await nodes.compareAndSet('users', atTarget, 0, undefined, checks), {version: 1})
    nodes.put('/locks/users', 'theirs')
    await fails(nodes.compareAndSet('users', atSource, 1, undefined, checks), 'zk.check_failed')
  })

  it('feeds a metaproxy in virtual time, which follows until its session expires', async () => {
    const clock = new VirtualClock()
    const network = memoryNetwork()
    const [source, target] = [await startFakeMeta({users: 2}, network), await startFakeMeta({users: 7}, network)]
    nodes.put('/root/users', formatNodeData('onebox', [source.address]))
    const zookeeper = () => nodes.watched()
    const proxy = await startMetaproxy({clock, network, random: () => 0.5, root: '/root', zookeeper})
    const pool = new ConnectionPool({clock, transport: network.transport})
    const ask = async () => (await clock.run(queryProxy(pool, proxy.address, 'users'))).appId

    assert.equal(await ask(), 2)
    await nodes.compareAndSet('users', formatNodeData('onebox2', [target.address]), 1)
    assert.equal(await ask(), 7)
    await proxy.expireSession()
    await nodes.compareAndSet('users', formatNodeData('onebox', [source.address]), 2)
    assert.equal(await ask(), 7)
    await proxy.restart()
    assert.equal(await ask(), 2)
    await pool.close()
    await proxy.stop()
  })
})
