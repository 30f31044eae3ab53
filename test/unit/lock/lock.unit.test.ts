import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {type AcquireOptions, lockHeld, type LockNote, type SharedLocks} from '../../../src/lib/metaproxy/shared-lock.js'
import type {UnstampedEvent} from '../../../src/lib/migration/events.js'
import {acquireLock, type LockRequest, type MigrationLock} from '../../../src/lib/migration/lock.js'
import type {Processes} from '../../../src/lib/processes.js'
import {unlessAborted} from '../../../src/lib/rpc/signals.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryFiles} from '../../support/memory-files.js'

const PATH = '/journals/users@a.lock'
const location = {hosts: 'zookeeper:2181', root: '/metaproxy'}
const held = {path: '/metaproxy/users/migration-lock-3', version: 0}
const why = new Error('Ctrl-C')
const other: LockNote = {
  command: 'table:migrate -t users',
  host: 'there',
  pid: 5,
  pidSpace: '',
  sinceMs: 1_767_225_600_000,
  started: '',
  token: 'theirs',
}
const zk = (code: string, message = 'ZooKeeper says no') => new MigratorError(`zk.${code}`, message)
const never = () => new Promise<never>(() => {})

/** One run's world: `steps` is what was done with which lock, `file …` or `zookeeper …`. */
class Bed {
  readonly abort = new AbortController()
  /** What ZooKeeper does when it is asked. */
  answer: (question: string) => Promise<void> | void = () => {}
  readonly clock = new VirtualClock()
  readonly events: UnstampedEvent[] = []
  readonly files = new MemoryFiles()
  holder: LockNote | undefined
  options: AcquireOptions | undefined
  readonly signals: AbortSignal[] = []
  readonly steps: string[] = []

  readonly processes: Processes = {
    isDead: async ({pid}) => pid === 4,
    lives: () => true,
    own: async () => ({host: 'here', pid: 7, pidSpace: 'pid:[1]', started: '99'}),
  }

  readonly locks: SharedLocks = {
    acquire: async (options) => {
      this.options = options
      await this.ask('acquire', options.signal)
      return {
        check: (signal) => this.ask('check', signal),
        regain: (signal) => this.ask('regain', signal),
        release: () => this.ask('release'),
        versionCheck: () => held,
      }
    },
    holder: async (table, signal) => {
      await this.ask(`holder of ${table}`, signal)
      return this.holder
    },
  }

  constructor() {
    const {files, steps} = this
    const create = files.createExclusively.bind(files)
    const remove = files.remove.bind(files)
    files.createExclusively = async (path, text) => {
      steps.push(`create ${path}`)
      return create(path, text)
    }

    files.remove = async (path) => {
      steps.push(`remove ${path}`)
      return remove(path)
    }
  }

  get request(): LockRequest {
    const {clock, files, processes} = this
    return {
      clock,
      command: 'table:migrate -t users -c b',
      directory: '/journals',
      emit: (event) => {
        this.events.push(event)
      },
      files,
      metaproxy: location,
      openLocks: () => this.locks,
      processes,
      sourceCluster: 'a',
      table: 'users',
    }
  }

  /** Where no ZooKeeper root is given. */
  get local(): LockRequest {
    const {request} = this
    delete request.metaproxy
    return request
  }

  acquire(request = this.request): Promise<MigrationLock> {
    return this.clock.run(acquireLock(request, this.abort.signal))
  }

  fails(error: Error): void {
    this.answer = () => Promise.reject(error)
  }

  /** Somebody else's file. */
  write(pid: number): void {
    this.files.texts.set(PATH, JSON.stringify({...other, host: 'here', pid}))
  }

  private async ask(question: string, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    this.steps.push(`zookeeper ${question}`)
    if (signal) this.signals.push(signal)
    await unlessAborted(Promise.resolve(this.answer(question)), signal ?? this.abort.signal)
  }
}

describe('the lock of a table', () => {
  let bed: Bed

  beforeEach(() => {
    bed = new Bed()
  })

  it('is a file alone where no ZooKeeper root is given', async () => {
    const lock = await bed.acquire(bed.local)
    const note = JSON.parse(bed.files.texts.get(PATH)!) as LockNote
    const own = {host: 'here', pid: 7, pidSpace: 'pid:[1]', started: '99'}
    const {token} = lock
    assert.deepEqual(note, {command: 'table:migrate -t users -c b', ...own, sinceMs: bed.clock.wallMs(), token})
    assert.equal(lock.versionCheck(), undefined)
    await lock.check(bed.abort.signal)
    await lock.regain(bed.abort.signal)
    await lock.release()
    assert.deepEqual(bed.steps, [`create ${PATH}`, `remove ${PATH}`])
    assert.deepEqual(bed.events, [])
  })

  it('is taken here first and in ZooKeeper then, by the same note, and given back the other way round', async () => {
    const lock = await bed.acquire()
    assert.deepEqual(bed.options!.note, JSON.parse(bed.files.texts.get(PATH)!))
    assert.equal(lock.token, bed.options!.note.token)
    assert.deepEqual([bed.options!.table, bed.options!.waitMs], ['users', 12_000])
    assert.equal(lock.versionCheck(), held)
    await lock.release()
    assert.deepEqual(bed.steps, [`create ${PATH}`, 'zookeeper acquire', 'zookeeper release', `remove ${PATH}`])
    assert.deepEqual(bed.events, [])
  })

  it('is waited for in ZooKeeper as long as it is asked to, and taken from who is dead here', async () => {
    await bed.acquire({...bed.request, waitMs: 0})
    const {isDead, waitMs} = bed.options!
    assert.deepEqual([waitMs, await isDead({...other, pid: 4}), await isDead(other)], [0, true, false])
  })

  it('tells once for whom it waits', async () => {
    bed.answer = () => {
      for (let i = 0; i < 3; i++) bed.options!.onWait!(other)
    }

    await bed.acquire()
    const message = 'users is locked by process 5 on there (table:migrate -t users); waiting, in case it has just died'
    assert.deepEqual(bed.events, [{code: 'lock.waiting', message, type: 'warning'}])
  })

  it('is not asked for in ZooKeeper while somebody here has it', async () => {
    bed.write(8)
    await assert.rejects(bed.acquire(), {code: 'lock.held'})
    assert.deepEqual(bed.steps, [`create ${PATH}`])
  })

  for (const error of [lockHeld('users', other), zk('unreachable'), zk('timeout'), new TypeError('a bug')])
    it(`is not kept here when ZooKeeper does not give it: ${error.message}`, async () => {
      bed.fails(error)
      await assert.rejects(bed.acquire(), error)
      assert.deepEqual(bed.steps, [`create ${PATH}`, 'zookeeper acquire', `remove ${PATH}`])
      assert.deepEqual(bed.events, [])
    })

  it('is not kept here where ZooKeeper cannot even be asked, or the operator leaves', async () => {
    const openLocks = () => {
      throw zk('bad_option')
    }

    await assert.rejects(bed.acquire({...bed.request, openLocks}), {code: 'zk.bad_option'})
    bed.answer = never
    bed.clock.setTimer(100, () => bed.abort.abort(why))
    await assert.rejects(bed.acquire(), why)
    assert.equal(bed.files.texts.size, 0)
  })

  for (const [code, because] of [
    ['auth_failed', 'the ACL of its node forbids it'],
    ['no_node', 'it has no node there'],
  ] as const)
    it(`is this machine's alone, with a warning, on zk.${code}`, async () => {
      bed.fails(zk(code))
      const lock = await bed.acquire()
      const message = `no lock of users could be made in ZooKeeper (${because}): only this machine knows that the table is being worked on. See that nobody works on it elsewhere`
      assert.deepEqual(bed.events, [{code: 'lock.local_only', message, type: 'warning'}])
      await lock.check(bed.abort.signal)
      await lock.regain(bed.abort.signal)
      assert.equal(lock.versionCheck(), undefined)
      await lock.release()
      assert.deepEqual(bed.steps, [`create ${PATH}`, 'zookeeper acquire', `remove ${PATH}`])
    })

  describe('once held', () => {
    let lock: MigrationLock
    let signal: AbortSignal

    beforeEach(async () => {
      signal = bed.abort.signal
      lock = await bed.acquire()
      bed.steps.length = 0
      bed.signals.length = 0
    })

    const regain = () => bed.clock.run(lock.regain(signal))

    it('is checked here and in ZooKeeper', async () => {
      await lock.check(signal)
      assert.deepEqual([bed.steps, bed.signals], [['zookeeper check'], [signal]])
      for (const error of [zk('timeout'), new MigratorError('lock.lost', 'its session ended')]) {
        bed.fails(error)
        await assert.rejects(lock.check(signal), error)
      }
    })

    it('is lost when its file is, whatever ZooKeeper says', async () => {
      bed.files.texts.delete(PATH)
      await assert.rejects(lock.check(signal), {code: 'lock.lost'})
      assert.deepEqual(bed.steps, [])
    })

    it('is taken again in both places, and leaves no timer behind', async () => {
      bed.files.texts.delete(PATH)
      await regain()
      assert.deepEqual(bed.steps, [`create ${PATH}`, 'zookeeper regain'])
      await bed.clock.advance(10_000)
      bed.abort.abort(why)
      assert.equal(bed.signals[0]!.aborted, false)
      assert.deepEqual(bed.events, [])
    })

    it('is somebody else’s who has it here or there by now', async () => {
      bed.fails(lockHeld('users', other))
      await assert.rejects(regain(), {code: 'lock.held'})
      bed.steps.length = 0
      bed.write(8)
      await assert.rejects(regain(), {code: 'lock.held'})
      assert.ok(!bed.steps.includes('zookeeper regain'))
      assert.deepEqual(bed.events, [])
    })

    it('does not keep what makes things safe from happening while the disk is full', async () => {
      bed.files.texts.delete(PATH)
      const {createExclusively} = bed.files
      bed.files.createExclusively = async () => {
        throw new Error('ENOSPC')
      }

      await regain()
      bed.files.createExclusively = createExclusively
      assert.deepEqual(bed.steps, ['zookeeper regain'])
      const message = `whether the lock is still ours cannot be told: lock file ${PATH} cannot be used: ENOSPC`
      assert.deepEqual(bed.events, [{code: 'lock.unknown', message, type: 'warning'}])
      await assert.rejects(lock.check(signal), {code: 'lock.lost'}, 'nothing else may happen')
    })

    it('does not keep what makes things safe from happening while ZooKeeper is away', async () => {
      bed.fails(zk('unreachable', 'nothing answers'))
      await regain()
      const message = 'whether the lock is still ours cannot be told: nothing answers'
      assert.deepEqual(bed.events, [{code: 'lock.unknown', message, type: 'warning'}])
    })

    it('does not keep it waiting for more than 2 s', async () => {
      bed.answer = never
      await regain()
      assert.equal(bed.clock.nowMs(), 2000)
      const message = 'whether the lock is still ours cannot be told: no answer about the lock within 2000 ms'
      assert.deepEqual(bed.events, [{code: 'lock.unknown', message, type: 'warning'}])
    })

    it('ends a question with what cannot pass', async () => {
      bed.fails(new TypeError('a bug'))
      await assert.rejects(regain(), /a bug/)
      assert.deepEqual(bed.events, [])
    })

    it('ends a question with the operator who leaves', async () => {
      bed.answer = () => {
        bed.abort.abort(why)
        throw zk('unreachable')
      }

      await assert.rejects(regain(), why)
      assert.deepEqual(bed.events, [])
    })

    it('is given back wherever it can be, and never fails', async () => {
      bed.fails(zk('timeout', 'no answer'))
      bed.files.remove = () => Promise.reject(new Error('EROFS'))
      await lock.release()
      const left = (because: string) => ({
        code: 'lock.left',
        message: `the lock could not be given back: ${because}`,
        type: 'warning',
      })
      assert.deepEqual(bed.events, [left('no answer'), left('EROFS')])
    })

    it('is given back here though ZooKeeper does not answer', async () => {
      bed.fails(zk('timeout'))
      await lock.release()
      assert.equal(bed.files.texts.size, 0)
    })
  })
})
