import assert from 'node:assert/strict'

import type {UnstampedEvent} from '../../../../src/lib/migration/events.js'
import {GuardChannel, type GuardStatus} from '../../../../src/lib/migration/guard/channel.js'
import {type GuardHandle, sendGuardAway, startGuard} from '../../../../src/lib/migration/guard/handle.js'
import {VirtualClock} from '../../../sandbox/virtual-clock.js'
import {MemoryFiles} from '../../../support/memory-files.js'

const BASE = '/journals/users@b'
const PID = 77

describe("the driver's side of a guard", () => {
  let alive: boolean
  let channel: GuardChannel
  let clock: VirtualClock
  let events: UnstampedEvent[]
  let files: MemoryFiles
  const processes = {lives: (pid: number) => pid === PID && alive}

  beforeEach(() => {
    alive = true
    files = new MemoryFiles()
    channel = new GuardChannel('/journals', 'users', 'b', files)
    clock = new VirtualClock()
    events = []
  })

  const tell = (state: GuardStatus['state'], text = 'x') => channel.tell({pid: PID, sinceMs: 1, state, text})
  const start = (launch: () => Promise<void> = () => tell('watching')) =>
    clock.run(
      startGuard(
        channel,
        clock,
        (event) => {
          events.push(event)
        },
        launch,
        processes,
      ),
    )
  const beat = () => channel.readBeat()

  describe('begins', () => {
    it('with a beat that the guard finds, and with nothing of an earlier cutover', async () => {
      await channel.claim('guard')
      let seen: unknown
      await start(async () => {
        seen = [await beat(), await channel.claimant()]
        await tell('watching')
      })
      assert.deepEqual(seen, [{count: 1, stage: 'armed'}, undefined])
      assert.equal(clock.nowMs(), 0)
    })

    it('once the guard watches, looked at every 50 ms', async () => {
      await start(async () => {
        await tell('acting')
        clock.setTimer(1234, () => void tell('watching'))
      })
      assert.equal(clock.nowMs(), 1250)
    })

    it('not where no guard begins to watch within 10 s, and beats no more', async () => {
      await assert.rejects(
        start(async () => {}),
        {
          code: 'guard.not_started',
          message: 'the guard process did not begin to watch within 10 s',
          next: /--no-guard/,
        },
      )
      assert.equal(clock.nowMs(), 10_050)
      const last = await beat()
      assert.equal(last?.stage, 'dismissed')
      await clock.advance(5000)
      assert.deepEqual(await beat(), last)
    })

    it('not where no process can be started', async () => {
      await assert.rejects(
        start(() => Promise.reject(new Error('EAGAIN'))),
        /EAGAIN/,
      )
    })
  })

  describe('beats', () => {
    it('each second, with another number', async () => {
      await start()
      const counts: unknown[] = []
      for (const ms of [999, 1, 1000, 1000]) {
        await clock.advance(ms)
        counts.push((await beat())?.count)
      }

      assert.deepEqual(counts, [1, 2, 3, 4])
    })

    it('on over a disk that is full for a while, and tells that it was not heard', async () => {
      await start()
      const {replace} = files
      files.replace = () => Promise.reject(new Error('ENOSPC'))
      await clock.advance(2000)
      files.replace = replace
      await clock.advance(1000)
      assert.deepEqual(await beat(), {count: 4, stage: 'armed'})
      const warning = {code: 'guard.beat_failed', message: 'the guard cannot hear this run: ENOSPC', type: 'warning'}
      assert.deepEqual(events, [warning, warning])
    })

    it('no more once the run is left to the guard', async () => {
      const handle = await start()
      await clock.advance(1500)
      handle.leave()
      const last = await beat()
      await clock.advance(10_000)
      assert.deepEqual(await beat(), last)
      assert.equal(last?.stage, 'armed')
    })

    it('no more when it is left during a beat', async () => {
      const handle = await start()
      const {replace} = files
      files.replace = async (path, text) => {
        handle.leave()
        await replace.call(files, path, text)
      }

      await clock.advance(10_000)
      assert.equal((await beat())?.count, 2)
    })
  })

  describe('asks', () => {
    let handle: GuardHandle
    const acted = {
      code: 'guard.acted',
      message: 'the guard heard nothing from this run for a while and has taken the write-deny back',
      next: /^Writes are allowed on the source\. Running the same command again goes on from here\.$/,
    }

    beforeEach(async () => {
      handle = await start()
    })

    it('whether the cutover is still its own', async () => {
      await handle.assertMine()
      await channel.claim('guard')
      await assert.rejects(handle.assertMine(), acted)
    })

    it('for the right to the word, which the guard may have taken', async () => {
      await handle.claimWord()
      await handle.assertMine()
      assert.equal(await channel.claimant(), 'word')
      await channel.clear()
      await channel.claim('guard')
      await assert.rejects(handle.claimWord(), acted)
    })
  })

  describe('dismisses', () => {
    it('a guard that lives, which clears up itself', async () => {
      const handle = await start()
      await channel.claim('word')
      await handle.dismiss()
      assert.deepEqual(await beat(), {count: 2, stage: 'dismissed'})
      assert.equal(await channel.claimant(), 'word')
      await clock.advance(10_000)
      assert.deepEqual(await beat(), {count: 2, stage: 'dismissed'})
    })

    it('and clears up after one that died, or left nothing', async () => {
      for (const end of [() => tell('alarmed'), () => files.remove(`${BASE}.guard`)]) {
        alive = true
        const handle = await start()
        alive = false
        await end()
        await channel.claim('word')
        await handle.dismiss()
        assert.deepEqual([...files.texts.keys()], [])
      }
    })

    it('one whose file cannot be read or removed', async () => {
      const handle = await start()
      files.texts.set(`${BASE}.guard`, '{')
      await handle.dismiss()
      assert.deepEqual([...files.texts.keys()], [])
      const other = await start()
      alive = false
      files.remove = () => Promise.reject(new Error('EROFS'))
      await other.dismiss()
    })

    it('only behind a beat that is under way', async () => {
      const handle = await start()
      const {replace} = files
      const texts: string[] = []
      files.replace = async (path, text) => {
        texts.push(text)
        if (texts.length === 1) {
          await new Promise<void>((resolve) => {
            clock.setTimer(300, resolve)
          })
        }

        await replace.call(files, path, text)
      }

      await clock.advance(1000)
      await clock.run(handle.dismiss())
      assert.equal(clock.nowMs(), 1300)
      assert.equal((await beat())?.stage, 'dismissed')
    })
  })

  describe('sends an earlier guard away', () => {
    const away = () => clock.run(sendGuardAway(channel, clock, processes))

    it('and asks nothing of one that is none, is done or is dead', async () => {
      await away()
      for (const state of ['gone', 'switched'] as const) {
        await tell(state)
        await away()
      }

      await tell('watching')
      alive = false
      await away()
      assert.equal(await beat(), undefined)
      assert.equal(clock.nowMs(), 0)
    })

    for (const [what, end] of [
      ['has removed its file', () => files.remove(`${BASE}.guard`)],
      ['says that it is gone', () => tell('gone')],
      [
        'is dead',
        async () => {
          alive = false
        },
      ],
    ] as const) {
      it(`and waits until it ${what}`, async () => {
        await tell('watching')
        clock.setTimer(620, () => void end())
        await away()
        assert.equal(clock.nowMs(), 650)
        assert.deepEqual(await beat(), {count: Number.MAX_SAFE_INTEGER, stage: 'dismissed'})
      })
    }

    it('and leaves one to its work that is not done within 10 s', async () => {
      await tell('acting', 'the deny is taken back')
      await assert.rejects(away(), {
        code: 'guard.busy',
        message: 'the guard of an earlier run (process 77) is still at work: the deny is taken back',
        next: /table:migrate-status shows it/,
      })
      assert.equal(clock.nowMs(), 10_050)
    })

    it('before a new one is started', async () => {
      await tell('acting')
      let launched = false
      await assert.rejects(
        start(async () => {
          launched = true
        }),
        {code: 'guard.busy'},
      )
      assert.equal(launched, false)
    })
  })
})
