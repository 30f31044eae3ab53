import assert from 'node:assert/strict'
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdtemp, readdir, readFile, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import {systemClock} from '../../../src/lib/clock.js'
import {isMigratorError} from '../../../src/lib/errors.js'
import {LockFile, lockPath, ownNote, readLockFile} from '../../../src/lib/migration/lock-file.js'
import {machineProcesses} from '../../../src/lib/processes.js'
import type {LockNote} from '../../../src/lib/metaproxy/shared-lock.js'

describe('lock file', () => {
  let directory: string
  let path: string

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'table-migrator-lock-'))
    path = lockPath(directory, 'users', 'onebox')
  })

  afterEach(() => rm(directory, {recursive: true}))

  const note = (changes: Partial<LockNote> = {}) =>
    ownNote('table:migrate -t users', systemClock).then((own) => ({...own, ...changes}))
  const take = async (changes: Partial<LockNote> = {}) => LockFile.take(path, 'users', await note(changes), systemClock)

  /** A pid that was used and is free again. */
  async function deadPid(): Promise<number> {
    const child = spawn(process.execPath, ['-e', ''])
    await once(child, 'exit')
    return child.pid!
  }

  it('names who holds it, and is gone when it is given back', async () => {
    const lock = await take()
    const seen = await readLockFile(path)
    assert.equal(seen?.dead, false)
    assert.equal(seen?.holder.pid, process.pid)
    assert.equal(seen?.holder.command, 'table:migrate -t users')
    await lock.check()
    await lock.release()
    assert.equal(await readLockFile(path), undefined)
    assert.deepEqual(await readdir(directory), [])
  })

  it('is refused to a second run, which is told who has it', async () => {
    await take()
    await assert.rejects(take(), (error) => {
      assert.ok(isMigratorError(error, 'lock.held'))
      assert.equal(error.facts.pid, process.pid)
      assert.match(error.message, /table:migrate -t users/)
      return true
    })
  })

  it('is taken over from a process that is dead', async () => {
    await take({pid: await deadPid(), started: ''})
    assert.equal((await readLockFile(path))?.dead, true)
    const lock = await take()
    await lock.check()
    assert.equal((await readLockFile(path))?.holder.pid, process.pid)
  })

  it('is taken over when its pid belongs to another process by now', async function () {
    if ((await note()).started === '') this.skip()
    await take({started: '1'})
    await (await take()).check()
  })

  it('is never taken over from another machine, nor from another space of pids', async () => {
    const pid = await deadPid()
    assert.equal(await machineProcesses.isDead(await note({pid, started: ''})), true)
    assert.equal(await machineProcesses.isDead(await note({host: 'elsewhere', pid})), false)
    assert.equal(await machineProcesses.isDead(await note({pid, pidSpace: 'pid:[1]'})), false)
  })

  it('is got by exactly one of many that find a dead holder at once', async () => {
    await take({pid: await deadPid(), started: ''})
    const results = await Promise.allSettled(Array.from({length: 20}, () => take()))
    assert.equal(results.filter(({status}) => status === 'fulfilled').length, 1)
    for (const result of results) {
      if (result.status === 'rejected') assert.ok(isMigratorError(result.reason, 'lock.held'), String(result.reason))
    }
  })

  it('notices that it was taken away, and takes it again only when nobody else has it', async () => {
    const lock = await take()
    await rm(path)
    await assert.rejects(lock.check(), (error) => isMigratorError(error, 'lock.lost'))
    await lock.regain()
    await lock.check()
    await rm(path)
    await take()
    await assert.rejects(lock.regain(), (error) => isMigratorError(error, 'lock.held'))
    await lock.release()
    assert.ok(await readFile(path, 'utf8'), "somebody else's lock stays")
  })

  it('refuses a file that names nobody instead of guessing', async () => {
    await writeFile(path, 'x')
    await assert.rejects(take(), (error) => isMigratorError(error, 'lock.unusable'))
  })

  it('keeps tables and clusters apart, whatever they are called', () => {
    const paths = [
      lockPath('/d', 'a@b', 'c'),
      lockPath('/d', 'a', 'b@c'),
      lockPath('/d', '../a', 'c'),
      lockPath('/d', 'a', 'c'),
    ]
    assert.equal(new Set(paths).size, paths.length)
    for (const one of paths) assert.match(one, /^\/d\/[^/]+$/)
  })
})
