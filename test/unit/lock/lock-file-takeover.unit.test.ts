import assert from 'node:assert/strict'

import type {LockNote} from '../../../src/lib/metaproxy/shared-lock.js'
import {LockFile, lockPath, ownNote, readLockFile} from '../../../src/lib/migration/lock-file.js'
import type {Processes} from '../../../src/lib/processes.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryFiles} from '../../support/memory-files.js'

const PATH = '/journals/users@a.lock'
const GUARD = `${PATH}.takeover`
const DEAD = 4
const OURS = 7
const OTHER = 8

/** Files that may fail, and beside which something may happen: `<operation> <path>`. */
class WatchedFiles extends MemoryFiles {
  before: (operation: string) => void = () => {}
  readonly directories: string[] = []

  override createExclusively(path: string, text: string): Promise<boolean> {
    return this.at(`create ${path}`, () => super.createExclusively(path, text))
  }

  override makeDirectory(path?: string): Promise<void> {
    return this.at('directory', async () => {
      this.directories.push(path!)
    })
  }

  override read(path: string): Promise<string | undefined> {
    return this.at(`read ${path}`, () => super.read(path))
  }

  override remove(path: string): Promise<void> {
    return this.at(`remove ${path}`, () => super.remove(path))
  }

  private async at<T>(operation: string, go: () => Promise<T>): Promise<T> {
    this.before(operation)
    return go()
  }
}

class Bed {
  readonly clock = new VirtualClock()
  readonly files = new WatchedFiles()
  readonly processes: Processes = {
    isDead: async ({host, pid}) => host === 'here' && pid === DEAD,
    lives: () => true,
    own: async () => ({host: 'here', pid: OURS, pidSpace: 'pid:[1]', started: '99'}),
  }

  note(pid: number): LockNote {
    const sinceMs = this.clock.wallMs()
    const command = 'table:migrate -t users'
    return {command, host: 'here', pid, pidSpace: '', sinceMs, started: '', token: `of ${pid}`}
  }

  held(pid: number): void {
    this.files.texts.set(PATH, JSON.stringify(this.note(pid)))
  }

  /** Not longer than a minute: who never gets it would try for ever. */
  take(pid = OURS): Promise<LockFile> {
    return this.clock.run(LockFile.take(PATH, 'users', this.note(pid), this.clock, this), 60_000)
  }

  /** Does something just before the first such operation. */
  once(operation: string, action: () => void): void {
    let isOver = false
    this.files.before = (seen) => {
      if (isOver || seen !== operation) return
      isOver = true
      action()
    }
  }

  get holder(): number | undefined {
    const text = this.files.texts.get(PATH)
    return text === undefined ? undefined : (JSON.parse(text) as LockNote).pid
  }

  get names(): string[] {
    return [...this.files.texts.keys()]
  }
}

const fail = (message: string) => () => {
  throw new Error(message)
}

const unusable = (because: string) => ({
  code: 'lock.unusable',
  message: `lock file ${PATH} cannot be used: ${because}`,
  next: 'Make its directory writable; if the file is damaged and no migration of the table runs here, delete it.',
})
const heldByOther = {
  code: 'lock.held',
  message: 'users is being worked on by process 8 on here since 2026-01-01T00:00:00.000Z: table:migrate -t users',
}

describe('lock file, in each of its moments', () => {
  let bed: Bed

  beforeEach(() => {
    bed = new Bed()
  })

  it('is named after its table and its cluster, in letters that any disk takes', () => {
    assert.equal(lockPath('/journals', 'users', 'a'), PATH)
    assert.equal(lockPath('/journals', '..', 'one box/2'), '/journals/%2E%2E@one%20box%2F2.lock')
    assert.equal(lockPath('/journals', 'users.v1', 'a.b.c'), '/journals/users%2Ev1@a%2Eb%2Ec.lock')
  })

  it('is signed with the process, the time, and a token of its own for each run', async () => {
    await bed.clock.advance(5000)
    const sign = () => ownNote('table:migrate', bed.clock, bed.processes)
    const {token, ...rest} = await sign()
    const own = {host: 'here', pid: OURS, pidSpace: 'pid:[1]', started: '99'}
    assert.deepEqual(rest, {command: 'table:migrate', ...own, sinceMs: 1_767_225_605_000})
    assert.match(token, /^[\da-f-]{36}$/)
    assert.notEqual((await sign()).token, token)
  })

  it('is made in its directory, which is made too', async () => {
    await bed.take()
    assert.deepEqual([bed.files.directories, bed.names], [['/journals'], [PATH]])
    assert.deepEqual(JSON.parse(bed.files.texts.get(PATH)!), bed.note(OURS))
  })

  it('is left to a process that lives, which is named', async () => {
    bed.held(OTHER)
    await assert.rejects(bed.take(), heldByOther)
    assert.deepEqual([bed.holder, bed.names], [OTHER, [PATH]])
  })

  it('tells of whom it is, and whether that one is dead', async () => {
    assert.equal(await readLockFile(PATH, bed), undefined)
    for (const pid of [OTHER, DEAD]) {
      bed.held(pid)
      assert.deepEqual(await readLockFile(PATH, bed), {dead: pid === DEAD, holder: bed.note(pid)})
    }
  })

  for (const [what, operation] of [
    ['its directory cannot be made', 'directory'],
    ['it cannot be written', `create ${PATH}`],
  ] as const)
    it(`is unusable where ${what}`, async () => {
      bed.once(operation, fail('EACCES'))
      await assert.rejects(bed.take(), {...unusable('EACCES'), cause: new Error('EACCES')})
    })

  it('is unusable where it cannot be read, whoever asks', async () => {
    const lock = await bed.take()
    bed.files.before = (operation) => {
      if (operation === `read ${PATH}`) throw new Error('EIO')
    }

    for (const ask of [
      () => bed.take(),
      () => lock.check(),
      () => lock.regain(),
      () => lock.release(),
      () => readLockFile(PATH, bed),
    ])
      await assert.rejects(ask, {...unusable('EIO'), cause: new Error('EIO')})
  })

  for (const text of ['', 'x', 'null', '[]', '{"pid":4,"sinceMs":1}', '{"pid":0,"sinceMs":1,"token":"t"}'])
    it(`is nobody's to take where it does not name a holder: ${text || 'empty'}`, async () => {
      bed.files.texts.set(PATH, text)
      await assert.rejects(bed.take(), unusable('it does not name a holder'))
      assert.deepEqual([...bed.files.texts], [[PATH, text]])
    })

  it('is tried again when its holder gives it back between the try and the look', async () => {
    bed.held(OTHER)
    bed.once(`read ${PATH}`, () => bed.files.texts.delete(PATH))
    await bed.take()
    assert.equal(bed.holder, OURS)
  })

  describe('of a dead process', () => {
    beforeEach(() => bed.held(DEAD))

    it('is taken over at once, and nothing else is left', async () => {
      await bed.take()
      assert.deepEqual([bed.holder, bed.names, bed.clock.nowMs()], [OURS, [PATH], 0])
    })

    it('is left to whoever was quicker', async () => {
      bed.once(`create ${GUARD}`, () => bed.held(OTHER))
      await assert.rejects(bed.take(), heldByOther)
      assert.deepEqual([bed.holder, bed.names], [OTHER, [PATH]])
    })

    it('is taken when whoever was quicker is done already', async () => {
      bed.once(`create ${GUARD}`, () => bed.files.texts.delete(PATH))
      await bed.take()
      assert.deepEqual([bed.holder, bed.names], [OURS, [PATH]])
    })

    it('leaves the way free when the takeover fails', async () => {
      bed.once(`remove ${PATH}`, fail('EROFS'))
      await assert.rejects(bed.take(), unusable('EROFS'))
      assert.deepEqual([bed.holder, bed.names], [DEAD, [PATH]])
    })

    it('is looked at every 100 ms while somebody else takes it over, and touched by nobody else', async () => {
      bed.files.texts.set(GUARD, String(bed.clock.wallMs()))
      let seen: unknown
      bed.clock.setTimer(250, () => {
        seen = [bed.holder, bed.names]
        bed.files.texts.delete(GUARD)
      })
      await bed.take()
      assert.deepEqual(seen, [DEAD, [PATH, GUARD]])
      assert.deepEqual([bed.holder, bed.names, bed.clock.nowMs()], [OURS, [PATH], 300])
    })

    it('is not fought for when the one who took it over lives', async () => {
      bed.files.texts.set(GUARD, String(bed.clock.wallMs()))
      bed.clock.setTimer(50, () => {
        bed.held(OTHER)
        bed.files.texts.delete(GUARD)
      })
      await assert.rejects(bed.take(), {code: 'lock.held'})
      assert.deepEqual([bed.holder, bed.clock.nowMs()], [OTHER, 100])
    })

    for (const [when, ageMs, takenMs] of [
      ['ago', 20_000, 100],
      ['ago by the first look', 9900, 100],
      ['ago by the second look', 9899, 200],
    ] as const)
      it(`goes to the next one when a takeover died 10 s ${when}`, async () => {
        bed.files.texts.set(GUARD, String(bed.clock.wallMs() - ageMs))
        await bed.take()
        assert.deepEqual([bed.holder, bed.names, bed.clock.nowMs()], [OURS, [PATH], takenMs])
      })

    it('goes to the next one when a takeover is from the future: the clock was set back', async () => {
      bed.held(DEAD)
      bed.files.texts.set(GUARD, String(bed.clock.wallMs() + 3_600_000))
      await bed.take()
      assert.equal(bed.holder, OURS)
    })

    it('goes to the next one when nobody can tell how old a takeover is', async () => {
      bed.files.texts.set(GUARD, 'x')
      await bed.take()
      assert.deepEqual([bed.holder, bed.names, bed.clock.nowMs()], [OURS, [PATH], 100])
    })

    it('has nothing to clear when the takeover ends while it is looked at', async () => {
      bed.files.texts.set(GUARD, String(bed.clock.wallMs()))
      const removed: string[] = []
      let looks = 0
      bed.files.before = (operation) => {
        if (operation === `read ${GUARD}` && looks++ === 0) bed.files.texts.delete(GUARD)
        if (operation === `remove ${GUARD}`) removed.push(operation)
      }

      await bed.take()
      // Its own way, when it was through.
      assert.deepEqual([bed.holder, removed.length, bed.clock.nowMs()], [OURS, 1, 100])
    })
  })

  describe('once held', () => {
    let lock: LockFile

    beforeEach(async () => {
      lock = await bed.take()
    })

    it('is checked by its token', async () => {
      await lock.check()
      bed.held(OTHER)
      await assert.rejects(lock.check(), {
        code: 'lock.lost',
        message: `the lock of users was lost: ${PATH} is somebody else's`,
      })
      bed.files.texts.delete(PATH)
      await assert.rejects(lock.check(), {
        code: 'lock.lost',
        message: `the lock of users was lost: ${PATH} is gone`,
      })
    })

    it('is not written again while it is there', async () => {
      bed.files.before = (operation) => assert.equal(operation, `read ${PATH}`)
      await lock.regain()
    })

    it('is written again as it was when it is gone', async () => {
      const text = bed.files.texts.get(PATH)
      bed.files.texts.delete(PATH)
      await bed.clock.advance(1000)
      await lock.regain()
      await lock.check()
      assert.equal(bed.files.texts.get(PATH), text)
    })

    it('is not taken from somebody else who lives', async () => {
      bed.held(OTHER)
      await assert.rejects(lock.regain(), heldByOther)
      assert.equal(bed.holder, OTHER)
    })

    it('is taken again from somebody who has died since', async () => {
      bed.held(DEAD)
      await bed.clock.run(lock.regain())
      await lock.check()
    })

    it('is not taken again where somebody was quicker', async () => {
      bed.files.texts.delete(PATH)
      bed.once(`create ${PATH}`, () => bed.held(OTHER))
      await assert.rejects(lock.regain(), heldByOther)
    })

    it('is unusable where it cannot be written again', async () => {
      bed.files.texts.delete(PATH)
      bed.once(`create ${PATH}`, fail('ENOSPC'))
      await assert.rejects(lock.regain(), unusable('ENOSPC'))
    })

    it('is given back once, and only if it is ours', async () => {
      await lock.release()
      assert.deepEqual(bed.names, [])
      await lock.release()
      bed.held(OTHER)
      await lock.release()
      assert.equal(bed.holder, OTHER)
    })
  })
})
