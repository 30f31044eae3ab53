import assert from 'node:assert/strict'

import {isMigratorError} from '../../../../src/lib/errors.js'
import {GuardChannel, type GuardStatus} from '../../../../src/lib/migration/guard/channel.js'
import {MemoryFiles} from '../../../support/memory-files.js'

const BASE = '/journals/users@b'
const STATUS: GuardStatus = {pid: 12, sinceMs: 1_767_225_600_000, state: 'watching', text: 'the driver beats'}

describe('what driver and guard tell each other', () => {
  let files: MemoryFiles
  let channel: GuardChannel

  beforeEach(() => {
    files = new MemoryFiles()
    channel = new GuardChannel('/journals', 'users', 'b', files)
  })

  const paths = () => [...files.texts.keys()].sort()

  it('lies in files beside the journal', async () => {
    assert.equal(channel.planPath, `${BASE}.guard-plan.json`)
    await channel.beat(3, 'armed')
    await channel.tell(STATUS)
    await channel.claim('guard')
    assert.deepEqual(paths(), [`${BASE}.beat`, `${BASE}.claim`, `${BASE}.guard`])
  })

  it('is nothing before anything was told', async () => {
    assert.deepEqual(
      [await channel.readBeat(), await channel.readStatus(), await channel.claimant()],
      [undefined, undefined, undefined],
    )
  })

  it('is the last beat and the last status', async () => {
    await channel.beat(3, 'armed')
    await channel.beat(4, 'dismissed')
    assert.deepEqual(await channel.readBeat(), {count: 4, stage: 'dismissed'})
    await channel.tell(STATUS)
    assert.deepEqual(await channel.readStatus(), STATUS)
    await channel.beat(Number.MAX_SAFE_INTEGER, 'armed')
    assert.deepEqual(await channel.readBeat(), {count: Number.MAX_SAFE_INTEGER, stage: 'armed'})
  })

  for (const state of ['acting', 'alarmed', 'gone', 'lifted', 'switched', 'watching', 'yielding'] as const) {
    it(`knows a guard that is ${state}`, async () => {
      await channel.tell({...STATUS, state})
      assert.equal((await channel.readStatus())?.state, state)
    })
  }

  it('gives the right to decide to the first that claims it, as often as it asks', async () => {
    assert.equal(await channel.claim('word'), true)
    assert.equal(await channel.claimant(), 'word')
    assert.equal(await channel.claim('word'), true)
    assert.equal(await channel.claim('guard'), false)
    await channel.clear()
    assert.equal(await channel.claim('guard'), true)
    assert.equal(await channel.claimant(), 'guard')
    assert.equal(await channel.claim('word'), false)
  })

  it('takes a claim that cannot be understood for the guard’s: nobody gives the word over it', async () => {
    files.texts.set(`${BASE}.claim`, '')
    assert.equal(await channel.claimant(), 'guard')
    assert.equal(await channel.claim('word'), false)
  })

  it('is cleared before a new cutover, the plan too', async () => {
    await channel.beat(3, 'armed')
    await channel.tell(STATUS)
    await channel.claim('guard')
    files.texts.set(channel.planPath, '{}')
    files.texts.set(`${BASE}.jsonl`, '')
    await channel.clear()
    assert.deepEqual(paths(), [`${BASE}.jsonl`])
  })

  it('is made a directory for', async () => {
    const made: string[] = []
    files.makeDirectory = async (path?: string) => {
      made.push(path!)
    }

    await channel.clear()
    assert.deepEqual(made, ['/journals'])
  })

  it('is taken away by a guard that ends, its own file last; the claim stays where its driver may wake up', async () => {
    const removed: string[] = []
    files.remove = async (path) => {
      removed.push(path)
    }

    await channel.leave(false)
    assert.deepEqual(removed, [`${BASE}.beat`, `${BASE}.guard`])
    removed.length = 0
    await channel.leave(true)
    assert.deepEqual(removed, [`${BASE}.beat`, `${BASE}.claim`, `${BASE}.guard`])
  })

  for (const [name, text] of [
    ['beat', '{"count":1,"stage":"arm'],
    ['beat', 'null'],
    ['beat', '7'],
    ['beat', '{"count":1.5,"stage":"armed"}'],
    ['beat', '{"count":1,"stage":"asleep"}'],
    ['beat', '{"stage":"armed"}'],
    ['guard', JSON.stringify({...STATUS, pid: 0})],
    ['guard', JSON.stringify({...STATUS, sinceMs: 'x'})],
    ['guard', JSON.stringify({...STATUS, state: 'asleep'})],
    ['guard', JSON.stringify({...STATUS, text: 5})],
  ] as const) {
    it(`is damaged with ${text} as ${name}`, async () => {
      files.texts.set(`${BASE}.${name}`, text)
      const reading: Promise<unknown> = name === 'beat' ? channel.readBeat() : channel.readStatus()
      await assert.rejects(reading, {
        code: 'guard.channel',
        message: `the guard's file ${BASE}.${name}: it is damaged`,
        next: /delete it/,
      })
    })
  }

  it('names the file that cannot be read, and why', async () => {
    const cause = new Error('EACCES: permission denied')
    files.read = () => Promise.reject(cause)
    for (const [name, reading] of [
      ['beat', () => channel.readBeat()],
      ['guard', () => channel.readStatus()],
      ['claim', () => channel.claimant()],
    ] as const) {
      await assert.rejects(reading(), (error: Error) => {
        assert.ok(isMigratorError(error, 'guard.channel'))
        assert.equal(error.message, `the guard's file ${BASE}.${name}: EACCES: permission denied`)
        assert.equal(error.cause, cause)
        return true
      })
    }
  })

  it('names the claim that cannot be written', async () => {
    const cause = new Error('ENOSPC: no space left on device')
    files.createExclusively = () => Promise.reject(cause)
    await assert.rejects(channel.claim('word'), (error: Error) => {
      assert.ok(isMigratorError(error, 'guard.channel'))
      assert.equal(error.message, `the guard's file ${BASE}.claim: ENOSPC: no space left on device`)
      assert.match(error.next!, /has space left/)
      return true
    })
  })
})
