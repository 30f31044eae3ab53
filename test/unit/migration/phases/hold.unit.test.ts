import assert from 'node:assert/strict'

import {isMigratorError, MigratorError} from '../../../../src/lib/errors.js'
import {clockTime} from '../../../../src/lib/migration/cutover-window.js'
import {hold, requireOpenWindow} from '../../../../src/lib/migration/phases/hold.js'
import type {MigrationRequest} from '../../../../src/lib/migration/request.js'
import {DuplicationStatus} from '../../../../src/lib/rpc/structs/duplication.js'
import {FIRST, ScriptedMigration} from '../../../support/scripted-migration.js'

const MINUTE_MS = 60_000

/** A run that has caught up, beside a desk at which it is released after so long. */
class Scene {
  readonly desk: string[] = []
  readonly script: ScriptedMigration
  /** Throws, or who released it. */
  released: () => string | undefined = () => undefined

  constructor(request: Partial<MigrationRequest> = {}, withDesk = true) {
    this.script = new ScriptedMigration({thresholdMutations: 100, ...request})
    this.script.source.status = DuplicationStatus.DS_LOG
    if (!withDesk) return
    this.script.context.holdDesk = {
      close: async () => void this.desk.push('closed'),
      open: async (signal: AbortSignal) => {
        this.desk.push('open')
        signal.addEventListener('abort', () => this.desk.push('ended'))
      },
      releasedBy: async () => this.released(),
      ways: ['press c', 'remove /hold'],
    } as never
  }

  releaseAt(ms: number): void {
    this.released = () => (this.script.clock.nowMs() >= ms ? 'somebody' : undefined)
  }

  /** Minutes of the day from now on, local time. */
  window(fromMinutes: number, toMinutes: number): void {
    const now = new Date(this.script.clock.wallMs())
    const minute = now.getHours() * 60 + now.getMinutes()
    const {context} = this.script
    const [fromMinute, toMinute] = [(minute + fromMinutes) % 1440, (minute + toMinutes) % 1440]
    context.request = {...context.request, cutoverWindow: {fromMinute, toMinute} as never}
  }

  run() {
    return this.script.run(hold.wait!(this.script.context, this.script.report))
  }

  get texts(): string[] {
    return this.script.reports.map(({text}) => text)
  }
}

describe('the hold', () => {
  it('is told as such', () => assert.equal(hold.title, 'stay caught up until told'))

  describe('has its window', () => {
    it('open still, or none', () => {
      const scene = new Scene()
      requireOpenWindow(scene.script.context)
      scene.window(0, 3)
      requireOpenWindow(scene.script.context)
      scene.window(0, 2)
      requireOpenWindow(scene.script.context)
    })

    it('over, or too short for a cutover', () => {
      for (const [from, to] of [
        [0, 1],
        [1, 60],
        [-60, -1],
      ] as const) {
        const scene = new Scene()
        scene.window(1440 + from, 1440 + to)
        assert.throws(
          () => requireOpenWindow(scene.script.context),
          (error) => {
            assert.ok(isMigratorError(error, 'hold.window_over'))
            assert.match(error.message, /cutover window .*was over/)
            assert.match(error.next!, /^Nothing was denied\./)
            return true
          },
        )
      }
    })
  })

  it('is none where nobody asked for it', async () => {
    const scene = new Scene({}, false)
    await scene.run()
    assert.deepEqual([scene.script.asked, scene.script.reports], [[], []])
  })

  it('is none any more in a later cutover', async () => {
    const scene = new Scene()
    scene.script.state.released = true
    await scene.run()
    assert.deepEqual([scene.desk, scene.script.asked], [[], []])
  })

  it('lasts until somebody releases it, and tells what is pending and how to go on', async () => {
    const scene = new Scene()
    scene.script.source.partitions[0]!.gap = 3
    scene.releaseAt(4500)
    await scene.run()
    assert.equal(scene.script.clock.nowMs(), 5000)
    assert.deepEqual(scene.desk, ['open', 'ended', 'closed'])
    assert.equal(scene.script.state.released, true)
    const [first] = scene.script.reports
    assert.deepEqual(first, {
      lagMutations: 2,
      text: 'held, writes are allowed; 2 mutations pending. To cut over: press c, or remove /hold',
      worst: `partition 0 on ${FIRST}: 3 behind`,
    })
    assert.equal(scene.texts.at(-1), 'released; 2 mutations pending')
    assert.equal(scene.texts.length, 6)
  })

  it('lasts until it has caught up again', async () => {
    const scene = new Scene()
    scene.script.source.partitions[0]!.gap = 500
    scene.releaseAt(0)
    scene.script.clock.setTimer(3500, () => {
      scene.script.source.partitions[0]!.gap = 5
      scene.script.source.duplicating = false
    })
    scene.script.clock.setTimer(6500, () => {
      scene.script.source.duplicating = true
    })
    await scene.run()
    assert.equal(scene.script.clock.nowMs(), 7000)
    assert.equal(scene.texts[0], 'released, and waiting until it has caught up again; 499 mutations pending')
    assert.doesNotMatch(scene.texts[5]!, /mutations pending/)
  })

  it('is not ended by a word that cannot be read', async () => {
    const scene = new Scene()
    scene.released = () => {
      if (scene.script.clock.nowMs() < 3000) throw new Error('EACCES')
      return scene.script.clock.nowMs() > 5000 ? 'somebody' : undefined
    }

    await scene.run()
    assert.ok(scene.texts.includes('held; whether it is released cannot be read: EACCES'))
    assert.equal(scene.script.clock.nowMs(), 6000)
  })

  it('bears metas that do not answer, and says so', async () => {
    const scene = new Scene()
    scene.releaseAt(0)
    scene.script.failing('source duplications', 2, new MigratorError('meta.error', 'no leader'))
    await scene.run()
    assert.deepEqual(scene.texts.slice(0, 2), ['held; waiting: no leader', 'held; waiting: no leader'])
  })

  it('ends with the duplication, with the operator, and closes its desk', async () => {
    const gone = new Scene()
    gone.script.clock.setTimer(2500, () => {
      gone.script.source.status = DuplicationStatus.DS_PAUSE
    })
    await assert.rejects(gone.run(), {code: 'duplicate.not_log'})
    const left = new Scene()
    left.script.clock.setTimer(2500, () => left.script.abort.abort(new Error('Ctrl-C')))
    await assert.rejects(left.run(), /Ctrl-C/)
    for (const {desk, script} of [gone, left]) {
      assert.equal(desk.at(-1), 'closed')
      assert.equal(script.state.released, undefined)
    }
  })

  it('ends with its limit, and nothing was denied', async () => {
    for (const [holdMs, wantedMs] of [
      [30 * MINUTE_MS, 30 * MINUTE_MS],
      [undefined, 72 * 60 * MINUTE_MS],
    ] as const) {
      const limits = {...new Scene().script.context.request.limits}
      const scene = new Scene({limits: {...limits, holdMs: holdMs as never}})
      // Few looks: none takes its time here.
      if (holdMs === undefined)
        scene.script.clock.setTimer(3000, () => scene.script.abort.abort(new Error('long enough')))
      if (holdMs === undefined) await assert.rejects(scene.run(), /long enough/)
      else {
        await assert.rejects(scene.run(), (error) => {
          assert.ok(isMigratorError(error, 'hold.limit'))
          assert.match(error.message, /^users was held for .*30/)
          assert.match(error.next!, /^Nothing was denied; .* --hold-limit\.$/)
          assert.ok(isMigratorError(error.cause, 'wait.limit'))
          return true
        })
        assert.equal(scene.script.clock.nowMs(), wantedMs)
      }
    }
  })

  it('looks at settings every 10 s', async () => {
    const scene = new Scene()
    scene.releaseAt(25_000)
    await scene.run()
    assert.equal(scene.script.asked.filter((question) => question === 'source metaLevel').length, 2)
  })

  describe('for a window', () => {
    it('lasts until that is open, and says when', async () => {
      const scene = new Scene({}, false)
      scene.window(10, 60)
      const startMs = scene.script.clock.wallMs()
      await scene.run()
      assert.equal(scene.script.clock.nowMs(), 10 * MINUTE_MS)
      assert.deepEqual(scene.script.reports[0], {
        etaMs: 10 * MINUTE_MS,
        lagMutations: 0,
        text: `waiting until the cutover window opens at ${clockTime(startMs + 10 * MINUTE_MS)} local time, writes are allowed; 0 mutations pending`,
        worst: scene.script.reports[0]!.worst,
      })
      assert.equal(scene.script.reports.at(-1)?.etaMs, undefined)
      assert.equal(scene.script.state.released, undefined)
    })

    it('is none where it is open', async () => {
      const scene = new Scene({}, false)
      scene.window(0, 60)
      await scene.run()
      assert.equal(scene.script.clock.nowMs(), 0)
    })

    it('is refused where no cutover fits into it', async () => {
      const scene = new Scene({maxWriteDenyMs: 121_000})
      scene.window(0, 2)
      await assert.rejects(scene.run(), (error) => {
        assert.ok(isMigratorError(error, 'hold.window'))
        assert.match(error.message, /the cutover window is shorter than --max-write-deny/)
        assert.match(error.next!, /^Nothing was denied\./)
        return true
      })
      assert.equal(scene.desk.at(-1), 'closed')
      const fitting = new Scene({maxWriteDenyMs: 120_000}, false)
      fitting.window(0, 2)
      await fitting.run()
    })

    it('needs the word, too, where that is asked for', async () => {
      const scene = new Scene()
      scene.window(1, 60)
      scene.releaseAt(90_000)
      await scene.run()
      assert.equal(scene.script.clock.nowMs(), 90_000)
    })

    it('is noted, and the note taken away', async () => {
      const scene = new Scene({}, false)
      scene.window(1, 60)
      const notes: unknown[] = []
      scene.script.context.noteWindow = async (note) => {
        notes.push(note)
        return async () => void notes.push('forgotten')
      }

      const sinceMs = scene.script.clock.wallMs()
      const window = scene.script.context.request.cutoverWindow!
      await scene.run()
      assert.deepEqual(notes, [{needMs: 120_000, sinceMs, window}, 'forgotten'])
    })
  })

  describe('and the config sync', () => {
    const fastScene = () => {
      const scene = new Scene({fastCutover: 'on'}, false)
      for (const key of ['config_sync_interval_ms']) scene.script.source.config.set(key, '30000')
      scene.script.afterEffect = (effect) => {
        if (effect.kind === 'set-server-config')
          scene.script.source.config.set(`${effect.server} ${effect.name}`, effect.value)
      }

      return scene
    }

    it('is shortened two intervals and a minute before the window opens', async () => {
      const scene = fastScene()
      scene.window(20, 60)
      const setAtMs: number[] = []
      scene.script.onEffect = () => void setAtMs.push(scene.script.clock.nowMs())
      await scene.run()
      assert.deepEqual([...new Set(setAtMs)], [18 * MINUTE_MS])
      assert.deepEqual(scene.script.kinds, ['set-server-config', 'set-server-config'])
    })

    it('rests while the window is more than a quarter of an hour away', async () => {
      const scene = fastScene()
      const servers = new Map([[FIRST, {loweredAtMs: 0, oldMs: 30_000}]])
      scene.script.state.fast = {metaMs: 1, servers}
      scene.script.context.hints.settings.push({
        before: '30000',
        kind: 'set-server-config',
        name: 'config_sync_interval_ms',
        server: FIRST,
        side: 'source',
        value: '1000',
      })
      scene.script.source.config.set(`${FIRST} config_sync_interval_ms`, '1000')
      scene.window(20, 60)
      scene.script.clock.setTimer(5000, () => scene.script.abort.abort(new Error('enough')))
      await assert.rejects(scene.run(), /enough/)
      assert.equal(scene.script.state.fast, undefined)
      assert.deepEqual(
        scene.script.performed.map((effect) => 'value' in effect && effect.value),
        ['30000'],
      )
    })

    it('stays short while it is nearer', async () => {
      const scene = fastScene()
      scene.script.state.fast = {metaMs: 1, servers: new Map([[FIRST, {loweredAtMs: 0, oldMs: 30_000}]])}
      scene.window(14, 60)
      scene.script.clock.setTimer(5000, () => scene.script.abort.abort(new Error('enough')))
      await assert.rejects(scene.run(), /enough/)
      assert.notEqual(scene.script.state.fast, undefined)
      assert.deepEqual(scene.script.performed, [])
    })

    it('is not touched by a hold without a window', async () => {
      const scene = fastScene()
      scene.script.state.released = undefined
      const held = new Scene({fastCutover: 'on'})
      held.releaseAt(3000)
      await held.run()
      assert.deepEqual(held.script.performed, [])
    })
  })
})
