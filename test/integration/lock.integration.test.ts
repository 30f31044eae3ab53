import assert from 'node:assert/strict'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {ACL, Id, Permission} from 'node-zookeeper-client'

import {sleep, systemClock} from '../../src/lib/clock.js'
import {isMigratorError} from '../../src/lib/errors.js'
import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import type {AcquireOptions, LockNote, SharedLock} from '../../src/lib/metaproxy/shared-lock.js'
import {ZooKeeperLocks} from '../../src/lib/metaproxy/zookeeper-lock.js'
import {ZooKeeperStore} from '../../src/lib/metaproxy/zookeeper-store.js'
import {acquireLock, type MigrationLock, readLock} from '../../src/lib/migration/lock.js'
import {startZooKeeper, type ZooKeeper} from '../sandbox/zookeeper.js'
import {ZooKeeperNodes} from '../sandbox/zookeeper-nodes.js'
import {Operation, ZooKeeperTap} from '../support/zookeeper-tap.js'

const ROOT = '/metaproxy'
const atSource = formatNodeData('onebox', ['10.0.0.1:34601', '10.0.0.2:34601'])
const atTarget = formatNodeData('onebox2', ['10.0.1.1:34601'])
const signal = new AbortController().signal
const has = (code: string) => (error: unknown) => isMigratorError(error, code)

describe('lock of a table in a real ZooKeeper', () => {
  let zookeeper: ZooKeeper
  let nodes: ZooKeeperNodes
  let tables = 0
  const opened: {release(): Promise<void>}[] = []
  const taps: ZooKeeperTap[] = []

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
    for (const lock of opened.splice(0).reverse()) await lock.release()
    for (const tap of taps.splice(0)) await tap.close()
  })

  async function table(acls?: ACL[]): Promise<string> {
    const name = `table${tables++}`
    await nodes.create(`${ROOT}/${name}`, atSource, acls)
    return name
  }

  const note = (token: string, changes: Partial<LockNote> = {}): LockNote => ({
    command: `table:migrate ${token}`,
    host: 'h1',
    pid: 1,
    pidSpace: '',
    sinceMs: 1_767_225_600_000,
    started: '',
    token,
    ...changes,
  })

  function locks(hosts = zookeeper.address): ZooKeeperLocks {
    return new ZooKeeperLocks({clock: systemClock, hosts, root: ROOT, sessionTimeoutMs: 2000})
  }

  async function tapped(decide: Parameters<typeof ZooKeeperTap.start>[1]): Promise<ZooKeeperTap> {
    const tap = await ZooKeeperTap.start(zookeeper.address, decide)
    taps.push(tap)
    return tap
  }

  async function take(
    name: string,
    token: string,
    changes: Partial<AcquireOptions> = {},
    hosts?: string,
  ): Promise<SharedLock> {
    const lock = await locks(hosts).acquire({
      isDead: async () => false,
      note: note(token),
      signal,
      table: name,
      waitMs: 0,
      ...changes,
    })
    opened.push(lock)
    return lock
  }

  it('is held by one; the other is told by whom and since when', async () => {
    const name = await table()
    const first = await take(name, 'a')
    await first.check(signal)
    assert.deepEqual(await locks().holder(name, signal), note('a'))
    await assert.rejects(take(name, 'b'), (error) => {
      assert.ok(isMigratorError(error, 'lock.held'))
      assert.match(error.message, /process 1 on h1 since 2026-01-01T00:00:00.000Z: table:migrate a/)
      return true
    })
    await first.release()
    assert.equal(await locks().holder(name, signal), undefined)
    await (await take(name, 'b')).check(signal)
  })

  it('is got by exactly one of many that come at once', async () => {
    const name = await table()
    const results = await Promise.allSettled(Array.from({length: 8}, (_, i) => take(name, `t${i}`)))
    assert.equal(results.filter(({status}) => status === 'fulfilled').length, 1)
  })

  it('does not touch the node, and guards its transaction', async () => {
    const name = await table()
    const lock = await take(name, 'a')
    const store = new ZooKeeperStore({clock: systemClock, hosts: zookeeper.address, root: ROOT})
    assert.equal((await store.read(name)).version, 0)
    const check = lock.versionCheck()!
    await store.compareAndSet(name, atTarget, 0, signal, [check])
    await lock.release()
    await take(name, 'b')
    await assert.rejects(store.compareAndSet(name, atSource, 1, signal, [check]), has('zk.check_failed'))
    assert.deepEqual((await store.read(name)).bytes, atTarget)
    await store.close()
  })

  it('outlives a cut connection with the same session', async () => {
    const name = await table()
    const tap = await tapped((operation, nth) => (operation === Operation.getData && nth <= 2 ? 'cut' : 'pass'))
    const lock = await take(name, 'a', {}, tap.address)
    const check = lock.versionCheck()
    await lock.check(signal)
    assert.equal(tap.sessions.length, 3)
    assert.deepEqual(tap.sessions[2]!.id, tap.sessions[0]!.id)
    assert.deepEqual(lock.versionCheck(), check)
    await assert.rejects(take(name, 'b'), has('lock.held'))
    await lock.release()
  })

  it('is lost for good when its session is ended; what mends takes it again', async () => {
    const name = await table()
    const tap = await tapped(() => 'pass')
    const lock = await take(name, 'a', {}, tap.address)
    const check = lock.versionCheck()
    await tap.endSession()
    await assert.rejects(lock.check(signal), has('lock.lost'))
    await lock.regain(signal)
    assert.notDeepEqual(lock.versionCheck(), check)
    await assert.rejects(lock.check(signal), has('lock.lost'))
    await assert.rejects(take(name, 'b'), has('lock.held'))
    await lock.release()
  })

  it('is not taken again from somebody who has it by now', async () => {
    const name = await table()
    const tap = await tapped(() => 'pass')
    const lock = await take(name, 'a', {}, tap.address)
    await tap.endSession()
    await take(name, 'b')
    await assert.rejects(lock.regain(signal), has('lock.held'))
    await lock.release()
  })

  it('is taken over at once from a holder that is known to be dead', async () => {
    const name = await table()
    const dead = await take(name, 'a')
    const asked: string[] = []
    const lock = await take(name, 'b', {
      async isDead(holder) {
        asked.push(holder.token)
        return true
      },
    })
    assert.deepEqual(asked, ['a'])
    await lock.check(signal)
    await assert.rejects(dead.check(signal), has('lock.lost'))
  })

  it('waits for a holder on another machine whose session ends', async () => {
    const name = await table()
    const tap = await tapped(() => 'pass')
    await take(name, 'a', {}, tap.address)
    let waited = 0
    const waiting = take(name, 'b', {onWait: () => waited++, waitMs: 15_000})
    await sleep(systemClock, 500)
    await tap.endSession(tap.sessions.at(-1))
    await (await waiting).check(signal)
    assert.ok(waited > 0)
  })

  it('survives a restart of ZooKeeper', async function () {
    this.timeout(60_000)
    const name = await table()
    const lock = await take(name, 'a')
    await zookeeper.restart()
    await lock.check(signal)
  })

  describe('together with the file of this machine', () => {
    let directory: string
    const warnings: string[] = []

    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'table-migrator-lock-'))
      warnings.length = 0
    })

    afterEach(() => rm(directory, {recursive: true}))

    async function acquire(name: string, place: string = directory): Promise<MigrationLock> {
      const lock = await acquireLock(
        {
          clock: systemClock,
          command: 'table:migrate',
          directory: place,
          emit: (event) => event.type === 'warning' && warnings.push(event.code),
          metaproxy: {hosts: zookeeper.address, root: ROOT},
          sourceCluster: 'onebox',
          table: name,
          waitMs: 0,
        },
        signal,
      )
      opened.push(lock)
      return lock
    }

    const view = (name: string) =>
      readLock(
        {
          clock: systemClock,
          directory,
          metaproxy: {hosts: zookeeper.address, root: ROOT},
          sourceCluster: 'onebox',
          table: name,
        },
        signal,
      )

    it('holds off a run here and a run elsewhere, and status can read both', async () => {
      const name = await table()
      const lock = await acquire(name)
      await lock.check(signal)
      await assert.rejects(acquire(name), has('lock.held'))
      const elsewhere = await mkdtemp(join(tmpdir(), 'table-migrator-lock-'))
      await assert.rejects(acquire(name, elsewhere), has('lock.held'))
      await rm(elsewhere, {recursive: true})
      const {here, shared} = await view(name)
      assert.equal(here?.pid, process.pid)
      assert.equal(here.dead, false)
      assert.equal(shared?.token, here.token)
      await lock.release()
      assert.deepEqual(await view(name), {})
    })

    it('is local only, and says so, where the ACL forbids more', async () => {
      const readers = new ACL(Permission.READ, new Id('world', 'anyone'))
      const owner = new ACL(Permission.ALL, new Id('auth', ''))
      const name = await table([readers, owner])
      const lock = await acquire(name)
      assert.deepEqual(warnings, ['lock.local_only'])
      assert.equal(lock.versionCheck(), undefined)
      await lock.check(signal)
      await assert.rejects(acquire(name), has('lock.held'))
    })

    it('is local only where the table has no node', async () => {
      await acquire('nobody')
      assert.deepEqual(warnings, ['lock.local_only'])
    })

    it('is not taken while ZooKeeper cannot be asked, and leaves no file behind', async function () {
      this.timeout(30_000)
      const name = await table()
      zookeeper.pause()
      try {
        await assert.rejects(acquire(name), (error) => isMigratorError(error) && error.code.startsWith('zk.'))
      } finally {
        zookeeper.resume()
      }

      assert.deepEqual((await view(name)).here, undefined)
    })

    it('does not keep a deny from being lifted while ZooKeeper is away', async function () {
      this.timeout(30_000)
      const name = await table()
      const lock = await acquire(name)
      zookeeper.pause()
      try {
        const startMs = systemClock.nowMs()
        await lock.regain(signal)
        assert.ok(systemClock.nowMs() - startMs < 4000)
        assert.deepEqual(warnings, ['lock.unknown'])
      } finally {
        zookeeper.resume()
      }
    })
  })
})
