import assert from 'node:assert/strict'

import {MigratorError} from '../../../../src/lib/errors.js'
import type {LockNote, SharedLocks} from '../../../../src/lib/metaproxy/shared-lock.js'
import {DriversLock, holderText} from '../../../../src/lib/migration/guard/other-holder.js'
import {unlessAborted} from '../../../../src/lib/rpc/signals.js'
import {VirtualClock} from '../../../sandbox/virtual-clock.js'

const other: LockNote = {
  command: 'table:migrate -t users',
  host: 'there',
  pid: 5,
  pidSpace: '',
  sinceMs: 1,
  started: '',
  token: 'theirs',
}
const away = new MigratorError('zk.unreachable', 'nothing answers')
const silence = (signal: AbortSignal) => unlessAborted(new Promise<never>(() => {}), signal)

/** The driver's lock as a guard sees it; `answer` is what ZooKeeper says of its holder. */
class Look {
  readonly abort = new AbortController()
  answer: (signal: AbortSignal) => LockNote | Promise<LockNote | undefined> | undefined = () => undefined
  readonly asked: string[] = []
  readonly clock = new VirtualClock()
  readonly lock: DriversLock
  readonly signals: AbortSignal[] = []

  constructor(token: string | undefined, {locks = true} = {}) {
    const holder = async (table: string, signal: AbortSignal) => {
      this.asked.push(table)
      this.signals.push(signal)
      return this.answer(signal)
    }

    const seen = locks ? ({holder} as SharedLocks) : undefined
    this.lock = new DriversLock({clock: this.clock, locks: seen, table: 'users', token})
  }

  check(): Promise<void> {
    return this.clock.run(this.lock.check(this.abort.signal))
  }

  fails(error: Error): void {
    this.answer = () => Promise.reject(error)
  }

  holder(): Promise<LockNote | undefined> {
    return this.clock.run(this.lock.otherHolder(this.abort.signal))
  }

  regain(): Promise<void> {
    return this.clock.run(this.lock.regain(this.abort.signal))
  }
}

describe('the lock of a guard’s driver', () => {
  it('lets the guard act while nobody or the driver holds it', async () => {
    const look = new Look('ours')
    for (const answer of [undefined, {...other, token: 'ours'}]) {
      look.answer = () => answer
      assert.equal(await look.holder(), undefined)
      await look.check()
      await look.regain()
    }

    assert.deepEqual(look.asked, Array.from({length: 6}).fill('users'))
  })

  it('makes the guard yield to whoever else holds it, and names who that is', async () => {
    const look = new Look('ours')
    look.answer = () => other
    assert.deepEqual(await look.holder(), other)
    for (const acted of [look.check(), look.regain()])
      await assert.rejects(acted, {
        code: 'guard.yields',
        message: 'process 5 on there (table:migrate -t users) works on users now and answers for its write-deny',
      })
    assert.equal(holderText(other), 'process 5 on there (table:migrate -t users)')
  })

  it('knows no driver without a token: whoever holds it is somebody else', async () => {
    const look = new Look(undefined)
    look.answer = () => other
    assert.deepEqual(await look.holder(), other)
  })

  it('sees nobody where only one machine knows of the migration', async () => {
    const look = new Look('ours', {locks: false})
    assert.equal(await look.holder(), undefined)
    await look.check()
    assert.deepEqual(look.asked, [])
  })

  for (const code of ['zk.auth_failed', 'zk.no_node'])
    it(`takes ${code} for nobody: there no lock can be made either`, async () => {
      const look = new Look('ours')
      look.fails(new MigratorError(code, 'no'))
      assert.equal(await look.holder(), undefined)
      await look.check()
      // And it counts as having been seen free.
      look.fails(away)
      await look.check()
    })

  it('goes by a look of the last 10 s while nobody can tell, and by nothing older', async () => {
    const look = new Look('ours')
    await look.check()
    look.fails(away)
    await look.clock.advance(10_000)
    await look.check()
    await look.clock.advance(1)
    await assert.rejects(look.check(), away)
    await assert.rejects(look.regain(), away)
  })

  it('was never seen free at the beginning', async () => {
    const look = new Look('ours')
    look.fails(away)
    await assert.rejects(look.check(), away)
    await assert.rejects(look.holder(), away)
  })

  it('is not seen free because another one held it just now', async () => {
    const look = new Look('ours')
    look.answer = () => other
    await assert.rejects(look.check(), {code: 'guard.yields'})
    look.fails(away)
    await assert.rejects(look.check(), away)
  })

  it('tells what cannot pass at once', async () => {
    const look = new Look('ours')
    await look.check()
    const bug = new TypeError('a bug')
    look.fails(bug)
    await assert.rejects(look.check(), bug)
  })

  it('waits 2 s for an answer, and gives the question up', async () => {
    const look = new Look('ours')
    look.answer = silence
    await assert.rejects(look.holder(), {code: 'zk.timeout', message: 'no answer about the lock within 2000 ms'})
    assert.equal(look.clock.nowMs(), 2000)
    assert.equal(look.signals[0]!.aborted, true)
  })

  it('leaves no timer behind', async () => {
    const look = new Look('ours')
    await look.holder()
    await look.clock.advance(5000)
    assert.equal(look.signals[0]!.aborted, false)
  })

  it('says why it was told to stop, whatever else it heard', async () => {
    const look = new Look('ours')
    await look.check()
    const why = new Error('SIGTERM')
    look.answer = () => {
      look.abort.abort(why)
      throw away
    }

    await assert.rejects(look.check(), why)
  })

  it('has nothing to give back, and no number for the switch', async () => {
    const look = new Look('ours')
    await look.lock.release()
    assert.deepEqual([look.lock.token, look.lock.versionCheck(), look.asked], [undefined, undefined, []])
  })
})
