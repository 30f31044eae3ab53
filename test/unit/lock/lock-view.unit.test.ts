import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import type {LockNote, SharedLocks} from '../../../src/lib/metaproxy/shared-lock.js'
import {ZooKeeperLocks} from '../../../src/lib/metaproxy/zookeeper-lock.js'
import {type LockPlace, locksOf, readLock} from '../../../src/lib/migration/lock.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryFiles} from '../../support/memory-files.js'

const PATH = '/journals/users@a.lock'
const location = {hosts: 'one:2181,two:2181/chroot', root: 'metaproxy/'}
const note = (token: string, pid: number): LockNote => ({
  command: 'table:migrate -t users',
  host: 'here',
  pid,
  pidSpace: '',
  sinceMs: 1,
  started: '',
  token,
})

describe('who holds the lock of a table', () => {
  const {signal} = new AbortController()
  const clock = new VirtualClock()
  let files: MemoryFiles
  let holder: SharedLocks['holder']
  let place: LockPlace

  beforeEach(() => {
    files = new MemoryFiles()
    holder = async () => undefined
    place = {
      clock,
      directory: '/journals',
      files,
      metaproxy: location,
      openLocks: () => ({
        acquire: () => Promise.reject(new Error('only looks')),
        holder: (...asked) => holder(...asked),
      }),
      processes: {
        isDead: async ({pid}) => pid === 4,
        lives: () => true,
        own: () => Promise.reject(new Error('only looks')),
      },
      sourceCluster: 'a',
      table: 'users',
    }
  })

  const here = (pid: number) => files.texts.set(PATH, JSON.stringify(note('here', pid)))

  it('is nobody where there is no lock', async () => {
    assert.deepEqual(await readLock(place, signal), {})
  })

  it('is told of this machine and of ZooKeeper', async () => {
    const asked: unknown[] = []
    holder = async (...question) => {
      asked.push(question)
      return note('shared', 5)
    }

    for (const pid of [4, 8]) {
      here(pid)
      const view = await readLock(place, signal)
      assert.deepEqual(view, {here: {...note('here', pid), dead: pid === 4}, shared: note('shared', 5)})
    }

    assert.deepEqual(asked, [
      ['users', signal],
      ['users', signal],
    ])
    assert.deepEqual([...files.texts.keys()], [PATH], 'a look takes nothing')
  })

  it('is told of this machine alone where no ZooKeeper root is given', async () => {
    here(8)
    delete place.metaproxy
    assert.deepEqual(await readLock(place, signal), {here: {...note('here', 8), dead: false}})
  })

  it('is nobody in ZooKeeper where the table has no node', async () => {
    here(8)
    holder = () => Promise.reject(new MigratorError('zk.no_node', 'there is no node'))
    assert.deepEqual(await readLock(place, signal), {here: {...note('here', 8), dead: false}})
  })

  it('is told with the reason where one of them cannot be read', async () => {
    here(8)
    holder = () => Promise.reject(new MigratorError('zk.timeout', 'no answer'))
    assert.deepEqual(await readLock(place, signal), {here: {...note('here', 8), dead: false}, trouble: 'no answer'})
  })

  it('is not guessed from a damaged file', async () => {
    files.texts.set(PATH, 'x')
    const {here, trouble} = await readLock(place, signal)
    assert.equal(here, undefined)
    assert.equal(trouble, `lock file ${PATH} cannot be used: it does not name a holder`)
  })

  it('is told of what here is beside a login that cannot be used', async () => {
    here(8)
    delete place.openLocks
    const seen = await readLock({...place, metaproxy: {...location, auth: 'secret'}}, signal)
    assert.deepEqual(seen, {
      here: {...note('here', 8), dead: false},
      trouble: 'the ZooKeeper login is not digest:<user>:<password>',
    })
  })

  it('is told of ZooKeeper beside a damaged file', async () => {
    files.texts.set(PATH, 'x')
    holder = async () => note('shared', 5)
    const {shared, trouble} = await readLock(place, signal)
    assert.deepEqual(shared, note('shared', 5))
    assert.match(trouble!, /it does not name a holder/)
  })

  it('is not told to an operator who has left', async () => {
    const abort = new AbortController()
    const why = new Error('Ctrl-C')
    holder = async () => {
      abort.abort(why)
      throw new MigratorError('zk.timeout', 'no answer')
    }

    await assert.rejects(readLock(place, abort.signal), why)
  })
})

describe('where locks are in ZooKeeper', () => {
  const clock = new VirtualClock()
  const open = (metaproxy?: LockPlace['metaproxy']) => locksOf({clock, ...(metaproxy ? {metaproxy} : {})})

  it('is nowhere without a root', () => {
    const openLocks = () => assert.fail('there is nothing to open')
    assert.equal(locksOf({clock, openLocks}), undefined)
  })

  it('is what a simulation has instead', () => {
    const locks = {} as SharedLocks
    const opened: unknown[] = []
    const openLocks = (...given: unknown[]) => {
      opened.push(given)
      return locks
    }

    assert.equal(locksOf({clock, metaproxy: location, openLocks}), locks)
    assert.deepEqual(opened, [[location, clock]])
  })

  it('is below the chroot and the root, by the login that is given', () => {
    for (const [login, auth] of [
      [{}, {}],
      [{auth: 'digest:admin:secret'}, {auth: {credentials: 'admin:secret', scheme: 'digest'}}],
    ] as const) {
      const locks = open({...location, ...login})
      assert.ok(locks instanceof ZooKeeperLocks)
      assert.equal(locks.fullPath('users'), '/chroot/metaproxy/users')
      assert.deepEqual(Reflect.get(locks, 'options'), {...auth, clock, ...location})
    }
  })

  it('is refused where nobody can log in', () => {
    assert.throws(() => open({...location, auth: 'secret'}), {code: 'zk.bad_option'})
  })
})
