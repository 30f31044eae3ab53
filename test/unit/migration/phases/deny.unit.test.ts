import assert from 'node:assert/strict'

import {sleep} from '../../../../src/lib/clock.js'
import {isMigratorError, MigratorError} from '../../../../src/lib/errors.js'
import type {MigrationContext} from '../../../../src/lib/migration/context.js'
import {deny, denyLimitMs} from '../../../../src/lib/migration/phases/deny.js'
import type {MigrationRequest} from '../../../../src/lib/migration/request.js'
import {runPhases} from '../../../../src/lib/migration/runner.js'
import {DuplicationStatus} from '../../../../src/lib/rpc/structs/duplication.js'
import {DENY, FIRST, ScriptedMigration, SECOND} from '../../../support/scripted-migration.js'

/** Everything is caught up and compared; the cutover was just seen to fit. */
function ready(request: Partial<MigrationRequest> = {}, more: Partial<MigrationContext> = {}): ScriptedMigration {
  const script = new ScriptedMigration(request, more)
  script.source.status = DuplicationStatus.DS_LOG
  script.state.readyAtMs = 0
  return script
}

async function run(script: ScriptedMigration) {
  const {error, timings} = await script.run(runPhases(script.context, [deny]))
  return {error: error as MigratorError | undefined, summary: timings[0]!.summary}
}

const progress = (script: ScriptedMigration) =>
  script.events.flatMap((event) => (event.type === 'progress' ? [event.progress] : []))

/** Nothing was denied, and nothing would be undone. */
function assertUntouched(script: ScriptedMigration): void {
  assert.deepEqual([script.kinds, script.state.denySet, script.state.window], [[], false, {}])
}

describe('the deny', () => {
  it('is set, and proved on every primary', async () => {
    const script = ready()
    const {clock, state} = script
    const {error, summary} = await run(script)
    assert.equal(error, undefined)
    assert.deepEqual(script.performed, [{before: null, kind: 'deny', value: 'reconfig*write'}])
    const nowMs = clock.wallMs()
    assert.deepEqual(state.window, {firstRefusedAtMs: nowMs, lastRefusedAtMs: nowMs, provedAtMs: nowMs, setAtMs: nowMs})
    assert.deepEqual([...state.denied.keys()].sort(), [0, 1])
    assert.deepEqual([state.denySet, state.denyUnanswered, state.denySpreadMs], [true, false, 0])
    assert.deepEqual([state.nodeVersion, state.nodeBytes], [4, script.node.bytes])
    assert.equal(state.targetAppId, 5)
    assert.equal(summary, 'every primary refuses writes; spread 0.0 s')
    assert.deepEqual([script.context.client.gate.manner, script.sessionKept], ['singly', true])
  })

  it('tells how far the servers were apart, and who refuses', async () => {
    const script = ready()
    const {clock, source} = script
    script.afterEffect = () => {
      source.answers = ['open', 'open']
      clock.setTimer(1050, () => {
        source.answers[1] = 'refusing'
      })
      clock.setTimer(3550, () => {
        source.answers[0] = 'refusing'
      })
    }

    const startMs = clock.wallMs()
    const {summary} = await run(script)
    const {window} = script.state
    assert.equal(window.setAtMs, startMs)
    assert.deepEqual([window.firstRefusedAtMs! - startMs, window.lastRefusedAtMs! - startMs], [1100, 3600])
    assert.equal(summary, 'every primary refuses writes; spread 2.5 s')
    const [one, both] = progress(script).slice(-2)
    assert.deepEqual(one, {
      deniedForMs: 1100,
      partitionCount: 2,
      partitionsDone: 1,
      text: `${SECOND} (1 partition) refuses writes`,
    })
    assert.deepEqual([both?.partitionsDone, both?.deniedForMs], [2, 3600])
  })

  it('in silence is proved by silence', async () => {
    const script = ready({denyMode: 'timeout'})
    assert.equal((await run(script)).error, undefined)
    assert.deepEqual(script.performed, [{before: null, kind: 'deny', value: 'timeout*write'}])
    assert.ok(script.clock.nowMs() >= 3000, String(script.clock.nowMs()))
  })

  it('is taken back though nobody heard its answer', async () => {
    const script = ready()
    script.onEffect = () => {
      assert.deepEqual([script.state.denySet, script.state.denyUnanswered], [true, true])
      throw new MigratorError('effect.unknown', 'lost')
    }

    assert.ok(isMigratorError((await run(script)).error, 'effect.unknown'))
    assert.deepEqual([script.state.denySet, script.state.denyUnanswered], [true, true])
  })

  it('that was answered late was sent more than once, and may come again', async () => {
    for (const [tookMs, isLate] of [
      [1000, false],
      [1001, true],
    ] as const) {
      const script = ready()
      let answeredAtMs = 0
      script.onEffect = async () => {
        await sleep(script.clock, tookMs)
        answeredAtMs = script.clock.nowMs()
      }

      assert.equal((await run(script)).error, undefined)
      const {denyLateUntilMs, denyUnanswered} = script.state
      assert.equal(denyUnanswered, isLate)
      assert.equal(denyLateUntilMs, isLate ? answeredAtMs + 15_000 : undefined)
    }
  })

  it('is given up where not every primary refuses in time: a config sync and 15 s, or what was asked for', async () => {
    for (const [limits, wantedMs] of [
      [{}, 45_000],
      [{denyMs: 7000}, 7000],
    ] as const) {
      const script = ready({limits: {...ready().context.request.limits, ...limits}})
      script.onAsk = (question) => {
        if (question.startsWith('write')) script.source.answers = ['refusing', 'open']
      }

      assert.equal(denyLimitMs(script.context), wantedMs)
      const {error} = await run(script)
      assert.ok(isMigratorError(error, 'deny.not_proved'))
      assert.ok(script.clock.nowMs() > wantedMs && script.clock.nowMs() < wantedMs + 1000, String(script.clock.nowMs()))
    }
  })

  describe('is not set', () => {
    const cases: [string, string, (script: ScriptedMigration) => void, RegExp?][] = [
      [
        'while the duplication does not ship',
        'duplicate.not_log',
        ({source}) => {
          source.status = DuplicationStatus.DS_PAUSE
        },
      ],
      [
        'once the duplication is gone',
        'duplicate.vanished',
        ({source}) => {
          source.status = undefined
        },
      ],
      [
        'before a target that refuses what is shipped',
        'target.unfit',
        ({target}) => target.envs.set(DENY, 'reconfig*all'),
      ],
      [
        'before a target that takes no writes',
        'deny.not_proved',
        ({target}) => {
          target.answers = ['open', 'refusing']
        },
      ],
      [
        'after a server came back and shipped in batches',
        'batching.returned',
        ({source}) => source.config.set(`${FIRST} duplicate_log_batch_bytes`, '4096'),
        /^duplicate_log_batch_bytes was not 0 on 10\.0\.0\.1:34801 for a while: all rows of users must be compared$/,
      ],
      [
        'after a primary moved since the rows were compared',
        'shipping.moved',
        ({source, state}) => {
          state.shippers = new Map(source.primaries.map((primary, index) => [index, primary!]))
          source.primaries = [SECOND, SECOND]
        },
        /^new primary of partition 0 of users on the source since rows were compared: all rows there must be compared$/,
      ],
      [
        'over one of somebody else',
        'deny.foreign',
        ({source}) => source.envs.set(DENY, 'timeout*all'),
        /^the source's users carries replica\.deny_client_request=timeout\*all, set by somebody else$/,
      ],
      [
        'once the node names somebody else',
        'switch.node_moved',
        (script) => script.writeNode('c'),
        /^\/pegasus-metaproxy\/users names c, not the source a: somebody changed it$/,
      ],
    ]
    for (const [what, code, spoil, message] of cases) {
      it(what, async () => {
        const script = ready()
        spoil(script)
        const {error} = await run(script)
        assert.ok(isMigratorError(error, code), String(error))
        if (message) assert.match(error.message, message)
        assert.equal(script.state.denySet, false)
        assert.equal(script.kinds.includes('deny'), false)
        assert.deepEqual(script.state.window, {})
        if (['batching.returned', 'shipping.moved', 'switch.node_moved'].includes(code))
          assert.match(error.next!, /Nothing was denied/)
        if (code === 'deny.foreign') assert.match(error.next!, /^Find out who did and why; nothing was/)
      })
    }

    it('when the cutover window is over before the servers are ready', async () => {
      const script = ready()
      const {clock, context} = script
      const now = new Date(clock.wallMs())
      const fromMinute = now.getHours() * 60 + now.getMinutes()
      context.request = {...context.request, cutoverWindow: {fromMinute, toMinute: fromMinute + 3}}
      let looks = 0
      script.onAsk = (question) =>
        question === 'source configuration' && ++looks === 2
          ? new Promise((resolve) => {
              clock.setTimer(90_000, resolve)
            })
          : undefined
      const {error} = await run(script)
      assert.ok(isMigratorError(error, 'hold.window_over'), String(error))
      assertUntouched(script)
    })

    it('without a guard where there is to be one', async () => {
      const script = ready({}, {arm: () => Promise.reject(new MigratorError('guard.not_started', 'no'))})
      assert.ok(isMigratorError((await run(script)).error, 'guard.not_started'))
      assertUntouched(script)
      const other = ready(
        {},
        {guard: {assertMine: () => Promise.reject(new MigratorError('guard.acted', 'no'))} as never},
      )
      assert.ok(isMigratorError((await run(other)).error, 'guard.acted'))
      assertUntouched(other)
    })

    it('in a rehearsal, which tells it and asks no server', async () => {
      const script = ready({}, {dryRun: true})
      assert.equal((await run(script)).error, undefined)
      assert.deepEqual(script.kinds, ['deny'])
      assert.deepEqual([script.state.denySet, script.state.window], [false, {}])
      assert.equal(
        script.asked.some((question) => /^(read|write) |table|node/.test(question)),
        false,
        script.asked.join(),
      )
    })

    it('by an operator who leaves while the metaproxies are asked', async () => {
      const script = ready({proxies: ['10.0.2.1:34601']})
      script.onAsk = (question) => void (question.startsWith('proxy') && script.abort.abort(new Error('Ctrl-C')))
      assert.equal((await run(script)).error?.message, 'Ctrl-C')
      assertUntouched(script)
    })
  })

  it('goes over one of its own: of this journal, or just what it would set', async () => {
    const same = ready()
    same.source.envs.set(DENY, 'reconfig*write')
    assert.equal((await run(same)).error, undefined)
    const earlier = ready()
    earlier.source.envs.set(DENY, 'timeout*write')
    earlier.context.hints.deny = 'timeout*write'
    assert.equal((await run(earlier)).error, undefined)
  })

  it('comes behind the arming, and the guard’s word', async () => {
    const order: string[] = []
    const script = ready(
      {},
      {
        async arm() {
          order.push('armed')
        },
        guard: {
          async assertMine() {
            order.push('mine')
          },
        } as never,
      },
    )
    script.onEffect = ({kind}) => void order.push(kind)
    await run(script)
    assert.deepEqual(order, ['armed', 'mine', 'deny'])
  })

  it('asks each metaproxy before, whatever it answers: its connection is there then', async () => {
    const script = ready({proxies: ['10.0.2.1:34601', '10.0.2.2:34601']})
    script.proxies.set('10.0.2.1:34601', 'source')
    assert.equal((await run(script)).error, undefined)
    const asked = script.asked.filter((question) => question.startsWith('proxy'))
    assert.deepEqual(asked, ['proxy 10.0.2.1:34601', 'proxy 10.0.2.2:34601'])
    assert.ok(script.asked.indexOf('proxy 10.0.2.2:34601') < script.asked.indexOf(`write ${FIRST}`))
  })

  it('does not wait longer than 2 s for one of them, nor ask for a node where there is none', async () => {
    const script = ready({proxies: ['10.0.2.1:34601']}, {store: undefined})
    delete script.context.request.metaproxy
    script.onAsk = (question) =>
      question.startsWith('proxy')
        ? new Promise((_, reject) => {
            script.clock.setTimer(2000, () => reject(new MigratorError('rpc.timeout', 'late')))
          })
        : undefined
    assert.equal((await run(script)).error, undefined)
    assert.equal(script.clock.nowMs(), 2000)
    assert.equal(script.state.nodeVersion, undefined)
    assert.equal(script.asked.includes('node users'), false)
  })

  it('keeps the number of the target’s copy that is known', async () => {
    const script = ready()
    script.state.targetAppId = 44
    await run(script)
    assert.equal(script.state.targetAppId, 44)
  })

  describe('tells settings that are not the same on both sides', () => {
    const differing = () => {
      const script = ready()
      script.source.envs.set('default_ttl', '100')
      return script
    }

    it('once', async () => {
      const script = differing()
      await run(script)
      const [warning] = script.words
      assert.match(warning!, /^settings of users are not the same on both sides: .*default_ttl/)
      assert.equal(script.told.filter((told) => told === 'envs.differ').length, 1)
      const again = script.events.length
      script.source.envs.delete(DENY)
      script.source.answers = ['open', 'open']
      await run(script)
      assert.equal(
        script.events.slice(again).some((event) => event.type === 'warning' && event.code === 'envs.differ'),
        false,
      )
      assert.equal(script.state.envDifferences?.length, 1)
    })

    it('each of them with a sentence', async () => {
      const script = differing()
      script.target.envs.set('replica.slow_query_threshold', '30')
      await run(script)
      assert.match(script.words[0]!, /default_ttl.*; .*slow_query|slow_query.*; .*default_ttl/)
    })

    it('and none where they are', async () => {
      const script = ready()
      await run(script)
      assert.deepEqual(script.state.envDifferences, [])
      assert.equal(script.told.includes('envs.differ'), false)
    })
  })

  it('waits for the moment from which the servers hear of it soonest one after the other', async () => {
    const script = ready()
    const {clock, state} = script
    state.ticks = new Map([
      [FIRST, {afterMs: 20_000, byMs: 20_100, startTime: 'today'}],
      [SECOND, {afterMs: 22_000, byMs: 22_100, startTime: 'today'}],
    ])
    let atMs = 0
    script.onEffect = () => {
      atMs = clock.nowMs()
    }

    assert.equal((await run(script)).error, undefined)
    assert.equal(atMs, state.moment?.atMs)
    assert.equal(atMs, 18_500)
    assert.ok(progress(script).length > 0)
  })

  it('does not wait for a moment that has passed', async () => {
    const script = ready(
      {},
      {
        async arm() {
          script.state.moment = {atMs: -5000, spreadMs: 1}
        },
      },
    )
    assert.equal((await run(script)).error, undefined)
    assert.equal(script.clock.nowMs(), 0)
  })

  it('has the syncs written down at which servers heard of it', async () => {
    const script = ready()
    const {clock, source, state} = script
    state.startTimes = new Map([
      [FIRST, 'today'],
      [SECOND, 'today'],
    ])
    script.afterEffect = () => {
      source.answers = ['open', 'open']
      clock.setTimer(3050, () => {
        source.answers = ['refusing', 'refusing']
      })
    }

    await run(script)
    await clock.advance(0)
    const ticks = script.records.find(({kind}) => kind === 'ticks')
    assert.ok(ticks?.kind === 'ticks')
    assert.deepEqual(Object.keys(ticks.servers).sort(), [FIRST, SECOND])
  })

  it('is not set after servers have counted mutations that they lost', async () => {
    const script = ready()
    script.source.counters.set('replica*eon.replica*dup_recent_mutation_loss_count@2.1', 4)
    const {error} = await run(script)
    assert.ok(isMigratorError(error), String(error))
    assert.match(error.message, /partition 1 that they did not find/)
    assertUntouched(script)
  })

  it('asks about duplications to other clusters that Preflight has not seen', async () => {
    const script = ready()
    const {facts} = script.state
    script.source.others = [
      {dupid: 8, remote: 'd'},
      {dupid: 9, remote: 'c'},
    ]
    const {error} = await run(script)
    assert.ok(isMigratorError(error, 'duplicate.others'))
    assert.match(error.message, /\(8 to d, 9 to c\)/)
    assert.match(error.next!, /^Nothing was denied\./)
    assertUntouched(script)
    facts!.source.duplications.push({dupid: 8} as never, {dupid: 9} as never)
    assert.equal((await run(script)).error, undefined)
  })

  it('bears a source whose table cannot be found for a moment', async () => {
    const script = ready()
    script.source.isThere = false
    script.context.hints.deny = 'timeout*write'
    assert.equal((await run(script)).error, undefined)
    assert.equal(script.state.envDifferences, undefined)
  })

  it('bears a meta that does not answer for a moment', async () => {
    const script = ready()
    script.failing(`source config ${FIRST} duplicate_log_batch_bytes`, 2, new MigratorError('meta.error', 'no leader'))
    script.failing('source configuration', 1, new MigratorError('meta.error', 'no leader'))
    assert.equal((await run(script)).error, undefined)
  })
})
