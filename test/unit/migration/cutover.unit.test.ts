import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {Cutover} from '../../../src/lib/migration/cutover.js'
import {GuardChannel} from '../../../src/lib/migration/guard/channel.js'
import type {MigrationWorld} from '../../../src/lib/migration/index.js'
import type {HookFacts} from '../../../src/lib/migration/operator-hooks/moments.js'
import type {MigrationRequest} from '../../../src/lib/migration/request.js'
import type {PhaseTiming} from '../../../src/lib/migration/result.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {MemoryFiles} from '../../support/memory-files.js'
import {DENY, DUPID, FIRST, ScriptedMigration} from '../../support/scripted-migration.js'

const driver = {host: 'here', pid: 1, pidSpace: 'x', started: 'y'}

/** A table that has caught up, and what the cutover makes of it. */
class Scene {
  readonly files = new MemoryFiles()
  /** What became of guards. */
  readonly guards: string[] = []
  readonly hooks: HookFacts[] = []
  readonly plans: unknown[] = []
  readonly script: ScriptedMigration
  readonly timings: PhaseTiming[] = []
  readonly cutover: Cutover

  constructor(request: Partial<MigrationRequest> = {}, world: Partial<MigrationWorld> = {}) {
    this.script = new ScriptedMigration({thresholdMutations: 100, verify: 'none', ...request})
    const {clock, context, source} = this.script
    source.status = DuplicationStatus.DS_LOG
    context.operatorHooks = {
      has: () => true,
      run: async (facts) => {
        this.hooks.push(facts)
        return {lines: [], ok: true, text: 'ok', tookMs: 1}
      },
    }
    const guard = (name: string) => ({
      async assertMine() {},
      async claimWord() {},
      dismiss: async () => void this.guards.push(`${name} dismissed`),
      leave: () => void this.guards.push(`${name} left`),
    })
    this.cutover = new Cutover(
      {
        clock,
        files: this.files,
        journalDirectory: '/journals',
        processes: {isDead: async () => false, lives: () => true, own: async () => driver},
        random: () => 0,
        startGuard: async (plan: unknown) => {
          this.plans.push(plan)
          this.guards.push(`${this.plans.length} started`)
          return guard(String(this.plans.length))
        },
        transport: {} as never,
        ...world,
      } as MigrationWorld,
      context,
      (timings) => this.timings.push(...timings),
      () => 'token',
    )
  }

  /** The effect fails so often. */
  failing(kind: string, times: number, error: Error): void {
    let left = times
    const before = this.script.onEffect
    this.script.onEffect = async (effect) => {
      await before(effect)
      if (effect.kind === kind && left-- > 0) throw error
    }
  }

  async run() {
    const outcome = await this.script.run(this.cutover.run())
    return outcome && {...outcome, error: outcome.error as MigratorError}
  }

  denies(): number {
    return this.script.kinds.filter((kind) => kind === 'deny').length
  }

  get warnings(): string[] {
    return this.script.events.flatMap((event) =>
      event.type === 'warning' && event.code === 'cutover.again' ? [event.message] : [],
    )
  }
}

describe('the cutover', () => {
  it('denies, drains and switches, watched by a guard that is then sent away', async () => {
    const scene = new Scene()
    assert.equal(await scene.run(), undefined)
    assert.deepEqual(scene.script.kinds, ['deny', 'pause-duplication', 'switch-node', 'close-source'])
    assert.deepEqual(
      scene.timings.map(({phase, state}) => [phase, state]),
      [
        ['deny', 'done'],
        ['drain', 'done'],
        ['switch', 'done'],
      ],
    )
    assert.deepEqual(scene.guards, ['1 started', '1 dismissed'])
    assert.deepEqual(scene.plans, [
      {
        driver,
        dupid: DUPID,
        journalDirectory: '/journals',
        lockToken: 'token',
        request: scene.script.context.request,
        timers: {configSyncMs: 30_000, groupCheckMs: 10_000},
      },
    ])
    assert.equal(scene.script.sessionKept, false)
    assert.deepEqual(scene.script.state.earlierWindows, [])
    // Nobody looks at the node any more.
    const asked = scene.script.asked.length
    await scene.script.clock.advance(300_000)
    assert.equal(scene.script.asked.length, asked)
  })

  it('starts its guard only before the deny', async () => {
    const scene = new Scene()
    scene.script.state.readyAtMs = 0
    scene.script.target.isThere = false
    const outcome = await scene.run()
    assert.equal(outcome?.error.code, 'target.unfit')
    assert.deepEqual(scene.guards, [])
  })

  it('is named without a token where there is no lock', async () => {
    const scene = new Scene()
    const {context} = scene.script
    const plans: object[] = []
    const bare = new Cutover(
      {
        journalDirectory: '/j',
        processes: {own: async () => driver},
        async startGuard(plan: object) {
          plans.push(plan)
          throw new MigratorError('guard.not_started', 'no')
        },
      } as never,
      context,
      () => {},
      () => undefined,
    )
    assert.equal(((await scene.script.run(bare.run()))?.error as MigratorError).code, 'guard.not_started')
    assert.deepEqual(Object.keys(plans[0]!).sort(), ['driver', 'dupid', 'journalDirectory', 'request', 'timers'])
  })

  it('tells when writes were denied for longer than the bound', async () => {
    const scene = new Scene({maxWriteDenyMs: 120_000})
    scene.script.onEffect = ({kind}) => {
      if (kind === 'switch-node') scene.script.state.window.setAtMs! -= 200_000
    }

    assert.equal(await scene.run(), undefined)
    assert.ok(scene.script.told.includes('bound.exceeded'))
  })

  describe('is tried again', () => {
    for (const code of [
      'batching.returned',
      'cutover.bound',
      'deny.not_proved',
      'drain.limit',
      'hold.window_over',
      'meta.error',
      'rpc.timeout',
      'shipping.doubtful',
      'verify.suspicious',
      'wait.limit',
    ]) {
      it(`after ${code}`, async () => {
        const scene = new Scene()
        scene.failing('pause-duplication', 1, new MigratorError(code, 'too slow'))
        assert.equal(await scene.run(), undefined)
        assert.equal(scene.denies(), 2)
        assert.deepEqual(scene.warnings, [
          'cutover 1 of 3 was taken back (too slow); writes are allowed, catching up again',
        ])
        assert.equal(scene.script.state.commit, 'done')
      })
    }

    it('behind an undo, a guard that was sent away, a hook, and catching up', async () => {
      const scene = new Scene()
      const {script} = scene
      const failure = new MigratorError('drain.limit', 'too slow')
      scene.failing('pause-duplication', 1, failure)
      assert.equal(await scene.run(), undefined)
      assert.deepEqual(script.kinds, ['deny', 'lift-deny', 'deny', 'pause-duplication', 'switch-node', 'close-source'])
      assert.deepEqual(scene.guards, ['1 started', '1 dismissed', '2 started', '2 dismissed'])
      assert.deepEqual(
        scene.timings.map(({phase, state}) => `${phase} ${state}`),
        ['deny done', 'drain failed', 'catch-up done', 'deny done', 'drain done', 'switch done'],
      )
      const {earlierWindows, window} = script.state
      assert.equal(earlierWindows.length, 1)
      assert.ok(earlierWindows[0]!.liftedAtMs! <= window.setAtMs!)
      assert.equal(window.liftedAtMs, undefined)
      const started = script.events.find(({type}) => type === 'undo-started') as {reason: string}
      assert.equal(started.reason, 'too slow')
      const back = scene.hooks.filter(({moment}) => moment === 'rolled-back')
      assert.deepEqual(
        back.map(({error}) => error?.code),
        ['drain.limit'],
      )
    })

    it('without a hook and a window where nothing was denied yet', async () => {
      const scene = new Scene()
      scene.script.failing('node users', 1, new MigratorError('wait.limit', 'slow'))
      assert.equal(await scene.run(), undefined)
      assert.equal(scene.denies(), 1)
      assert.deepEqual(scene.script.state.earlierWindows, [])
      assert.equal(
        scene.hooks.some(({moment}) => moment === 'rolled-back'),
        false,
      )
      assert.equal(scene.warnings.length, 1)
    })

    it('as often as was asked for, and three times otherwise', async () => {
      for (const [request, times] of [
        [{}, 3],
        [{cutoverAttempts: 1}, 1],
        [{cutoverAttempts: 5}, 5],
      ] as const) {
        const scene = new Scene(request)
        scene.failing('pause-duplication', 99, new MigratorError('drain.limit', 'too slow'))
        const outcome = await scene.run()
        assert.deepEqual([outcome?.error.code, outcome?.failedIn], ['drain.limit', 'drain'])
        assert.deepEqual([scene.denies(), scene.warnings.length], [times, times - 1])
        // The last one is for the run itself to take back.
        assert.equal(scene.script.source.envs.get(DENY), 'reconfig*write')
        assert.equal(scene.guards.at(-1), `${times} started`)
      }
    })

    it('behind a comparison of all rows, only where it came into doubt', async () => {
      for (const [spoil, compared] of [
        [
          (scene: Scene) => {
            scene.script.state.compareAgain = [1]
          },
          true,
        ],
        [
          (scene: Scene) => {
            scene.script.state.fullVerifyBecause = 'batches'
          },
          true,
        ],
        [() => {}, false],
      ] as const) {
        const scene = new Scene({verify: 'sample'})
        scene.script.context.request.verify = 'none'
        scene.script.onEffect = ({kind}) => {
          if (kind !== 'pause-duplication' || scene.denies() > 1) return
          spoil(scene)
          throw new MigratorError('verify.suspicious', 'who knows')
        }

        const outcome = await scene.run()
        // There are no rows to be read here.
        assert.equal(outcome?.failedIn, compared ? 'verify' : undefined)
        assert.deepEqual(
          scene.timings.filter(({phase}) => phase === 'verify' || phase === 'catch-up').map(({phase}) => phase),
          compared ? ['catch-up', 'verify'] : ['catch-up'],
        )
      }
    })

    it('but not without having caught up', async () => {
      const scene = new Scene()
      scene.script.onEffect = ({kind}) => {
        if (kind !== 'pause-duplication') return
        scene.script.target.isThere = false
        throw new MigratorError('drain.limit', 'too slow')
      }

      const outcome = await scene.run()
      assert.deepEqual([outcome?.failedIn, outcome?.error.code], ['catch-up', 'target.unfit'])
      assert.equal(scene.timings.at(-1)?.phase, 'catch-up')
      assert.equal(scene.denies(), 1)
    })
  })

  describe('is not tried again', () => {
    it('after what does not pass', async () => {
      for (const code of ['deny.taken_back', 'guard.acted', 'rpc.aborted', 'switch.node_moved', 'verify.different']) {
        const scene = new Scene()
        scene.failing('pause-duplication', 1, new MigratorError(code, 'no'))
        const outcome = await scene.run()
        assert.equal(outcome?.error.code, code)
        assert.deepEqual([scene.denies(), scene.warnings], [1, []])
        assert.equal(scene.script.source.envs.has(DENY), true, 'it is for the run to take back')
      }
    })

    it('when the operator leaves', async () => {
      const scene = new Scene()
      scene.script.onEffect = ({kind}) => {
        if (kind !== 'pause-duplication') return
        scene.script.abort.abort(new MigratorError('ui.signal', 'Ctrl-C'))
        throw new MigratorError('drain.limit', 'too slow')
      }

      assert.equal((await scene.run())?.error.code, 'drain.limit')
      assert.equal(scene.denies(), 1)
    })

    it('once the node turns out to name the target', async () => {
      const scene = new Scene()
      scene.failing('switch-node', 1, new MigratorError('zk.outcome_unknown', 'lost'))
      scene.script.onAsk = (question) => {
        if (question === 'node users' && scene.script.state.commit === 'uncertain') scene.script.writeNode('b')
      }

      const outcome = await scene.run()
      assert.deepEqual([outcome?.switched, outcome?.error.code], [true, 'zk.outcome_unknown'])
      assert.equal(scene.denies(), 1)
      assert.equal(scene.guards.includes('1 dismissed'), false)
    })

    it('while writes are denied, or nothing ships', async () => {
      const denied = new Scene()
      denied.failing('pause-duplication', 1, new MigratorError('drain.limit', 'too slow'))
      denied.failing('lift-deny', 99, new TypeError('a bug'))
      const outcome = await denied.run()
      assert.deepEqual([outcome?.error.code, outcome?.switched], ['drain.limit', undefined])
      assert.deepEqual([denied.denies(), denied.guards], [1, ['1 started']])
      const paused = new Scene()
      paused.failing('switch-node', 1, new MigratorError('zk.unreachable', 'no'))
      paused.failing(
        'resume-duplication',
        99,
        new MigratorError('meta.error', 'refused', {facts: {err: 'ERR_ACL_DENY'}}),
      )
      assert.equal((await paused.run())?.error.code, 'zk.unreachable')
      assert.deepEqual([paused.denies(), paused.guards], [1, ['1 started']])
    })
  })

  describe('keeps its bound', () => {
    it('and takes the deny back early enough', async () => {
      const scene = new Scene({cutoverAttempts: 1, maxWriteDenyMs: 110_000})
      scene.script.context.request.limits = {...scene.script.context.request.limits, drainMs: 600_000}
      scene.script.afterEffect = ({kind}) => {
        if (kind === 'deny') scene.script.source.partitions[0]!.gap = 5
      }

      const outcome = await scene.run()
      assert.equal(outcome?.error.code, 'cutover.bound')
      const deniedMs = scene.script.clock.wallMs() - scene.script.state.window.setAtMs!
      assert.equal(deniedMs, 110_000 - 32_000)
    })

    it('and is given up when somebody else writes the node', async () => {
      const scene = new Scene()
      scene.script.clock.setTimer(5500, () => scene.script.writeNode('b'))
      const outcome = await scene.run()
      assert.equal(outcome?.error.code, 'switch.by_others')
      assert.ok(scene.script.clock.nowMs() <= 7000, String(scene.script.clock.nowMs()))
    })
  })

  describe('without a guard', () => {
    it('sends one of an earlier run away first', async () => {
      const scene = new Scene({}, {startGuard: undefined})
      const channel = new GuardChannel('/journals', 'users', 'b', scene.files)
      await channel.tell({pid: 5, sinceMs: 1, state: 'lifted', text: 'it lingers'})
      scene.script.clock.setTimer(800, () => void channel.leave(true))
      scene.script.afterEffect = ({kind}) => {
        if (kind === 'deny') assert.ok(scene.script.clock.nowMs() >= 800)
      }

      assert.equal(await scene.run(), undefined)
      assert.deepEqual(scene.guards, [])
    })

    it('leaves one to its work that does not go', async () => {
      const scene = new Scene({}, {startGuard: undefined})
      const channel = new GuardChannel('/journals', 'users', 'b', scene.files)
      await channel.tell({pid: 5, sinceMs: 1, state: 'acting', text: 'it works'})
      assert.equal((await scene.run())?.error.code, 'guard.busy')
      assert.equal(scene.denies(), 0)
    })
  })

  it('leaves its guard to itself, or sends it away, when the run says so', async () => {
    const scene = new Scene({cutoverAttempts: 1})
    scene.cutover.leaveGuard()
    await scene.cutover.dismissGuard()
    assert.deepEqual(scene.guards, [])
    scene.failing('pause-duplication', 1, new MigratorError('drain.limit', 'too slow'))
    await scene.run()
    scene.cutover.leaveGuard()
    await scene.cutover.dismissGuard()
    await scene.cutover.dismissGuard()
    assert.deepEqual(scene.guards, ['1 started', '1 left', '1 dismissed'])
    assert.equal(scene.script.asked.includes(`write ${FIRST}`), true)
  })
})
