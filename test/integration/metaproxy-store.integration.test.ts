import assert from 'node:assert/strict'
import {ACL, Id, Permission} from 'node-zookeeper-client'

import {systemClock} from '../../src/lib/clock.js'
import {isMigratorError, type MigratorError} from '../../src/lib/errors.js'
import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import {ZooKeeperStore, type ZooKeeperStoreOptions} from '../../src/lib/metaproxy/zookeeper-store.js'
import {startZooKeeper, type ZooKeeper} from '../sandbox/zookeeper.js'
import {ZooKeeperNodes} from '../sandbox/zookeeper-nodes.js'
import {Operation, type Verdict, ZooKeeperTap} from '../support/zookeeper-tap.js'

const ROOT = '/metaproxy'
const atSource = formatNodeData('onebox', ['10.0.0.1:34601', '10.0.0.2:34601'])
const atTarget = formatNodeData('onebox2', ['10.0.1.1:34601'])

async function refusal(promise: Promise<unknown>, code: string): Promise<MigratorError> {
  try {
    await promise
  } catch (error) {
    assert.ok(isMigratorError(error, code), `${code} expected, got ${error}`)
    return error
  }

  assert.fail(`${code} expected, was done`)
}

describe('metaproxy store on a real ZooKeeper', () => {
  let zookeeper: ZooKeeper
  let nodes: ZooKeeperNodes
  let tables = 0
  const opened: {close(): Promise<void>}[] = []

  before(async function () {
    this.timeout(600_000)
    zookeeper = await startZooKeeper()
    nodes = await ZooKeeperNodes.open(zookeeper.address, 'admin:secret')
  })

  after(async () => {
    await nodes?.close()
    await zookeeper?.stop()
  })

  afterEach(async () => {
    for (const closable of opened.splice(0).reverse()) await closable.close()
  })

  function store(options: Partial<ZooKeeperStoreOptions> = {}): ZooKeeperStore {
    const made = new ZooKeeperStore({clock: systemClock, hosts: zookeeper.address, root: ROOT, ...options})
    opened.push(made)
    return made
  }

  async function tap(decide: (operation: number, nth: number) => Verdict): Promise<ZooKeeperTap> {
    const made = await ZooKeeperTap.start(zookeeper.address, decide)
    opened.push(made)
    return made
  }

  /** A new table whose node holds `data`, at version 0. */
  async function table(data: Buffer | string = atSource, acls?: ACL[]): Promise<string> {
    const name = `table${tables++}`
    await nodes.create(`${ROOT}/${name}`, data, acls)
    return name
  }

  const nodeOf = (name: string) => nodes.get(`${ROOT}/${name}`)

  describe('read', () => {
    it('gives the bytes, the meaning and the version', async () => {
      const name = await table()
      await nodes.set(`${ROOT}/${name}`, atTarget)
      assert.deepEqual(await store().read(name), {
        bytes: atTarget,
        data: {clusterName: 'onebox2', metaAddresses: ['10.0.1.1:34601']},
        path: `${ROOT}/${name}`,
        version: 1,
      })
    })

    it('takes the root however it is written', async () => {
      const name = await table()
      for (const root of ['metaproxy', '/metaproxy/', '//metaproxy']) {
        assert.equal((await store({root}).read(name)).path, `${ROOT}/${name}`)
      }
    })

    it('goes below the chroot of the hosts', async () => {
      const name = `table${tables++}`
      await nodes.create(`/clusters/c1/proxy/${name}`, atSource)
      const record = await store({hosts: `${zookeeper.address}/clusters/c1`, root: '/proxy'}).read(name)
      assert.deepEqual(record.bytes, atSource)
    })

    it('names the path of a node that does not exist', async () => {
      const error = await refusal(store().read('nobody'), 'zk.no_node')
      assert.match(error.message, /\/metaproxy\/nobody/)
    })

    it('refuses a node that metaproxy cannot use, with the evidence', async () => {
      const error = await refusal(store().read(await table('{"cluster_name":"onebox"}')), 'metaproxy.bad_node')
      assert.match(error.message, /no meta_addrs.*onebox/)
    })

    it('refuses a node without data', async () => {
      await refusal(store().read(await table('')), 'metaproxy.bad_node')
    })

    it('asks again when the connection is cut', async () => {
      const cutting = await tap((operation, nth) => (operation === Operation.getData && nth <= 2 ? 'cut' : 'pass'))
      const record = await store({hosts: cutting.address}).read(await table())
      assert.deepEqual(record.bytes, atSource)
      assert.equal(cutting.seen.get(Operation.getData), 3)
    })

    it('asks again when its session is ended', async () => {
      const name = await table()
      let ended: Promise<void> | undefined
      const holding = await tap((operation, nth) => {
        if (operation !== Operation.getData || nth > 1) return 'pass'
        ended = holding.endSession()
        return 'hold'
      })
      assert.deepEqual((await store({hosts: holding.address}).read(name)).bytes, atSource)
      await ended
      assert.equal(holding.sessions.length, 2)
    })
  })

  describe('compareAndSet', () => {
    it('sets the data when the version is the one expected', async () => {
      const name = await table()
      assert.deepEqual(await store().compareAndSet(name, atTarget, 0), {version: 1})
      assert.deepEqual(await nodeOf(name), {bytes: atTarget, version: 1})
      assert.deepEqual(await store().compareAndSet(name, atSource, 1), {version: 2})
      assert.deepEqual(await nodeOf(name), {bytes: atSource, version: 2})
    })

    // The client library turns version 0 into "any version" in transactions.
    it('compares version 0 too', async () => {
      const name = await table()
      await nodes.set(`${ROOT}/${name}`, atSource)
      const error = await refusal(store().compareAndSet(name, atTarget, 0), 'zk.version_conflict')
      assert.equal(error.facts.foundVersion, 1)
      assert.equal(error.facts.found, atSource.toString())
      assert.deepEqual(await nodeOf(name), {bytes: atSource, version: 1})
    })

    it('lets exactly one of many writers win', async () => {
      const name = await table()
      const clusters = Array.from({length: 8}, (_, index) => formatNodeData(`c${index}`, ['a:1']))
      const results = await Promise.allSettled(clusters.map((bytes) => store().compareAndSet(name, bytes, 0)))
      const winners = results.flatMap((result, index) => (result.status === 'fulfilled' ? [index] : []))
      assert.equal(winners.length, 1)
      assert.deepEqual(await nodeOf(name), {bytes: clusters[winners[0]!], version: 1})
      for (const result of results) {
        if (result.status === 'rejected') assert.ok(isMigratorError(result.reason, 'zk.version_conflict'))
      }
    })

    it('sends nothing that metaproxy cannot use', async () => {
      const name = await table()
      await refusal(store().compareAndSet(name, Buffer.from('{"cluster_name":"x"'), 0), 'metaproxy.bad_node')
      assert.equal((await nodeOf(name)).version, 0)
    })

    for (const version of [-1, 0.5, Number.NaN]) {
      it(`refuses ${version} as a version`, async () => {
        await assert.rejects(store().compareAndSet(await table(), atTarget, version), RangeError)
      })
    }

    it('does not create a node', async () => {
      await refusal(store().compareAndSet('absent', atTarget, 0), 'zk.no_node')
      await assert.rejects(nodeOf('absent'), {name: 'NO_NODE'})
    })

    it('keeps the ACL', async () => {
      const acls = [new ACL(Permission.ALL, new Id('auth', '')), new ACL(Permission.READ, new Id('world', 'anyone'))]
      const name = await table(atSource, acls)
      const before = await nodes.getAcl(`${ROOT}/${name}`)
      await store({auth: {credentials: 'admin:secret', scheme: 'digest'}}).compareAndSet(name, atTarget, 0)
      assert.deepEqual(await nodes.getAcl(`${ROOT}/${name}`), before)
      assert.equal(before.length, 2)
    })
  })

  describe('checks of other nodes, in the same transaction', () => {
    it('writes when they hold, version 0 included', async () => {
      const name = await table()
      await nodes.create(`/locks/${name}`, 'mine')
      const checks = [{path: `/locks/${name}`, version: 0}]
      assert.deepEqual(await store().compareAndSet(name, atTarget, 0, undefined, checks), {version: 1})
    })

    it('writes nothing when one has another version', async () => {
      const name = await table()
      await nodes.create(`/locks/${name}`, 'mine')
      await nodes.set(`/locks/${name}`, 'theirs')
      const checks = [{path: `/locks/${name}`, version: 0}]
      const error = await refusal(store().compareAndSet(name, atTarget, 0, undefined, checks), 'zk.check_failed')
      assert.deepEqual(error.facts, {expectedVersion: 0, foundVersion: 1, path: `/locks/${name}`})
      assert.deepEqual(await nodeOf(name), {bytes: atSource, version: 0})
    })

    it('writes nothing when one is gone', async () => {
      const name = await table()
      const checks = [{path: `/locks/${name}`, version: 0}]
      const error = await refusal(store().compareAndSet(name, atTarget, 0, undefined, checks), 'zk.check_failed')
      assert.match(error.message, /is gone/)
      assert.equal((await nodeOf(name)).version, 0)
    })

    it('tells a conflict of the node from a check', async () => {
      const name = await table()
      await nodes.create(`/locks/${name}`, 'mine')
      await nodes.set(`${ROOT}/${name}`, atTarget)
      const checks = [{path: `/locks/${name}`, version: 0}]
      await refusal(store().compareAndSet(name, atTarget, 0, undefined, checks), 'zk.version_conflict')
    })
  })

  describe('a write whose reply is lost', () => {
    it('is found done by reading back', async () => {
      const name = await table()
      const losing = await tap((operation) => (operation === Operation.multi ? 'lose-reply' : 'pass'))
      assert.deepEqual(await store({hosts: losing.address}).compareAndSet(name, atTarget, 0), {version: 1})
      assert.deepEqual(await nodeOf(name), {bytes: atTarget, version: 1})
      assert.equal(losing.seen.get(Operation.multi), 1)
      assert.equal(losing.seen.get(Operation.getData), 1)
    })

    it('is asked for once more when reading back shows that it was not done', async () => {
      const name = await table()
      const cutting = await tap((operation, nth) => (operation === Operation.multi && nth === 1 ? 'cut' : 'pass'))
      assert.deepEqual(await store({hosts: cutting.address}).compareAndSet(name, atTarget, 0), {version: 1})
      assert.deepEqual(await nodeOf(name), {bytes: atTarget, version: 1})
      assert.equal(cutting.seen.get(Operation.multi), 2)
    })

    it("is told from somebody else's", async () => {
      const name = await table()
      const theirs = formatNodeData('somewhere', ['c:1'])
      let written: Promise<void> | undefined
      const cutting = await tap((operation) => {
        if (operation !== Operation.multi) return 'pass'
        written = nodes.set(`${ROOT}/${name}`, theirs)
        return 'cut'
      })
      const write = store({hosts: cutting.address}).compareAndSet(name, atTarget, 0)
      const error = await refusal(write, 'zk.version_conflict')
      await written
      assert.match(error.message, /somewhere/)
      assert.deepEqual(await nodeOf(name), {bytes: theirs, version: 1})
    })

    it('survives the end of its session', async () => {
      const name = await table()
      let ended: Promise<void> | undefined
      const holding = await tap((operation, nth) => {
        if (operation !== Operation.multi || nth > 1) return 'pass'
        ended = holding.endSession()
        return 'hold'
      })
      assert.deepEqual(await store({hosts: holding.address}).compareAndSet(name, atTarget, 0), {version: 1})
      await ended
      assert.equal((await nodeOf(name)).version, 1)
    })

    it('ends as unknown when nothing can be read back, and can be made void', async () => {
      const name = await table()
      const cutting = await tap((operation) => (operation === Operation.multi ? 'lose-reply' : 'cut'))
      const write = store({hosts: cutting.address, operationTimeoutMs: 600}).compareAndSet(name, atTarget, 0)
      const error = await refusal(write, 'zk.outcome_unknown')
      assert.equal(error.retrySafe, true)
      // The recipe of the interface: set the old bytes with the same version.
      const conflict = await refusal(store().compareAndSet(name, atSource, 0), 'zk.version_conflict')
      assert.equal(conflict.facts.found, atTarget.toString())
    })
  })

  describe('login', () => {
    const onlyAdmin = [new ACL(Permission.ALL, new Id('auth', ''))]

    it('reads and writes with the right one', async () => {
      const name = await table(atSource, onlyAdmin)
      const admin = store({auth: {credentials: 'admin:secret', scheme: 'digest'}})
      assert.equal((await admin.read(name)).version, 0)
      assert.deepEqual(await admin.compareAndSet(name, atTarget, 0), {version: 1})
    })

    for (const [how, auth] of [
      ['none', undefined],
      ['a wrong password', {credentials: 'admin:guess', scheme: 'digest'}],
      ['a scheme that the server does not know', {credentials: 'admin:secret', scheme: 'nonsense'}],
    ] as const) {
      it(`is refused with ${how}`, async () => {
        const name = await table(atSource, onlyAdmin)
        const error = await refusal(store({auth}).read(name), 'zk.auth_failed')
        await refusal(store({auth}).compareAndSet(name, atTarget, 0), 'zk.auth_failed')
        assert.doesNotMatch(JSON.stringify(error.facts) + error.message, /secret|guess/)
        assert.equal((await nodeOf(name)).version, 0)
      })
    }

    it('is refused where it may read and not write', async () => {
      const acls = [...onlyAdmin, new ACL(Permission.READ, new Id('world', 'anyone'))]
      const name = await table(atSource, acls)
      assert.equal((await store().read(name)).version, 0)
      await refusal(store().compareAndSet(name, atTarget, 0), 'zk.auth_failed')
      assert.equal((await nodeOf(name)).version, 0)
    })
  })

  it('gives up with the reason of its signal', async () => {
    const controller = new AbortController()
    const reason = new Error('enough')
    const holding = await tap(() => {
      setImmediate(() => controller.abort(reason))
      return 'hold'
    })
    await assert.rejects(store({hosts: holding.address}).read(await table(), controller.signal), reason)
    await assert.rejects(store().read('any', AbortSignal.abort(reason)), reason)
  })
})
