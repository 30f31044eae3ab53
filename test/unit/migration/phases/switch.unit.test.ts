import assert from 'node:assert/strict'

import {isMigratorError, MigratorError} from '../../../../src/lib/errors.js'
import {formatNodeData} from '../../../../src/lib/metaproxy/node-data.js'
import type {MigrationContext} from '../../../../src/lib/migration/context.js'
import {switchOver} from '../../../../src/lib/migration/phases/switch.js'
import type {MigrationRequest} from '../../../../src/lib/migration/request.js'
import {runPhases} from '../../../../src/lib/migration/runner.js'
import {DENY, ScriptedMigration} from '../../../support/scripted-migration.js'

const [PROXY, OTHER] = ['10.0.2.1:34601', '10.0.2.2:34601']

/** Writes are denied, everything has arrived, and nothing ships. */
function drained(request: Partial<MigrationRequest> = {}, more: Partial<MigrationContext> = {}): ScriptedMigration {
  const script = new ScriptedMigration(request, more)
  const {clock, source, state} = script
  source.envs.set(DENY, `${request.denyMode ?? 'reconfig'}*write`)
  source.answers = ['refusing', 'refusing']
  state.denySet = true
  state.window = {firstRefusedAtMs: clock.wallMs() - 5000, setAtMs: clock.wallMs() - 6000}
  state.nodeVersion = script.node.version
  state.nodeBytes = Buffer.from('as it was')
  return script
}

async function switched(script: ScriptedMigration) {
  const {error, timings} = await script.run(runPhases(script.context, [switchOver]))
  return {error: error as MigratorError | undefined, summary: timings[0]!.summary}
}

/** Without a node: the operator's word. */
function byWord(request: Partial<MigrationRequest> = {}, more: Partial<MigrationContext> = {}): ScriptedMigration {
  const script = drained(request, {store: undefined, ...more})
  delete script.context.request.metaproxy
  return script
}

describe('the switch', () => {
  describe('asks the hook before-switch', () => {
    const hooks = (asked: string[]) => ({
      has: () => true,
      async run({moment}: {moment: string}) {
        asked.push(moment)
        return {lines: [], ok: false, text: 'exit code 3', tookMs: 1}
      },
    })

    it('and stops when it fails', async () => {
      const asked: string[] = []
      const script = drained({hooks: {inWindow: true, limitMs: 1000}}, {operatorHooks: hooks(asked) as never})
      const {error} = await switched(script)
      assert.ok(isMigratorError(error, 'hook.refused'))
      assert.deepEqual(asked, ['before-switch'])
      assert.deepEqual(script.performed, [])
    })

    it('and no more behind the commit point: there is only forward', async () => {
      const asked: string[] = []
      const script = drained({hooks: {inWindow: true, limitMs: 1000}}, {operatorHooks: hooks(asked) as never})
      script.state.commit = 'done'
      assert.equal((await switched(script)).error, undefined)
      assert.deepEqual(asked, [])
    })
  })

  describe('of the node', () => {
    it('names the target at the version that was seen before the deny, and then closes the source', async () => {
      const script = drained()
      const {clock, state} = script
      const {error, summary} = await switched(script)
      assert.equal(error, undefined)
      assert.deepEqual(script.performed, [
        {
          before: 'as it was',
          beforeVersion: 4,
          bytes: formatNodeData('b', ['10.0.1.9:34601']).toString('utf8'),
          kind: 'switch-node',
          path: '/pegasus-metaproxy/users',
        },
        {before: 'reconfig*write', kind: 'close-source', value: 'reconfig*all'},
      ])
      assert.deepEqual([state.commit, state.switchSent, state.nodeVersion], ['done', true, 5])
      assert.equal(state.window.switchedAtMs, clock.wallMs())
      assert.equal(state.window.windowMs, 5000)
      assert.equal(summary, 'b serves; writes were denied for 5.0 s')
      assert.equal(state.window.sourceClosedAtMs, clock.wallMs())
      assert.deepEqual([state.window.closedFirstAtMs, state.window.closedSeenAtMs], [clock.wallMs(), clock.wallMs()])
    })

    it('goes by what Preflight saw where nothing is known of a deny of this run', async () => {
      const script = drained()
      script.state.nodeBytes = undefined
      script.state.nodeVersion = undefined
      assert.equal((await switched(script)).error, undefined)
      const [first] = script.performed
      assert.ok(first?.kind === 'switch-node')
      assert.deepEqual(
        [first.before, first.beforeVersion],
        [script.context.state.facts!.metaproxy!.node!.bytes.toString(), 4],
      )
    })

    it('is not done twice', async () => {
      const script = drained()
      script.state.commit = 'done'
      await switched(script)
      assert.deepEqual(script.kinds, ['close-source'])
      assert.equal(script.asked.includes('target table'), false)
    })

    it('is not done to a target that is not fit', async () => {
      const script = drained()
      script.target.isThere = false
      const {error} = await switched(script)
      assert.ok(isMigratorError(error, 'target.unfit'))
      assert.deepEqual([script.kinds, script.state.commit], [[], 'none'])
    })

    it('is not done over somebody else who has written the node', async () => {
      const script = drained()
      script.writeNode('c')
      const {error} = await switched(script)
      assert.ok(isMigratorError(error, 'switch.node_moved'))
      assert.deepEqual([script.kinds, script.state.commit], [[], 'none'])
    })

    it('is not done once somebody took the deny off, where the drain did not just see it', async () => {
      for (const seenMsAgo of [undefined, 1001]) {
        const script = drained()
        script.state.denySeenAtMs = seenMsAgo && script.clock.nowMs() - seenMsAgo
        script.source.envs.clear()
        const {error} = await switched(script)
        assert.ok(isMigratorError(error, 'deny.taken_back'))
        assert.deepEqual([script.kinds, script.state.commit, script.state.switchSent], [[], 'none', undefined])
      }
    })

    it('is not held up by another look at what the drain just saw', async () => {
      const script = drained()
      script.state.denySeenAtMs = script.clock.nowMs() - 1000
      let isSent = false
      script.onEffect = () => {
        isSent = true
      }

      const before: string[] = []
      script.onAsk = (question) => {
        if (!isSent) before.push(question)
      }

      assert.equal((await switched(script)).error, undefined)
      assert.equal(before.includes('source table'), false)
      assert.ok(before.length > 0)
    })

    it('is not done by a run whose guard has acted', async () => {
      const script = drained()
      const acted = new MigratorError('guard.acted', 'the guard acted')
      script.context.guard = {assertMine: () => Promise.reject(acted)} as never
      assert.equal((await switched(script)).error, acted)
      assert.deepEqual([script.kinds, script.state.commit], [[], 'none'])
    })

    for (const code of [
      'journal.write_failed',
      'metaproxy.bad_node',
      'zk.auth_failed',
      'zk.check_failed',
      'zk.no_node',
      'zk.timeout',
      'zk.unreachable',
    ]) {
      it(`was surely not done after ${code}`, async () => {
        const script = drained()
        const failure = new MigratorError(code, 'no')
        script.onEffect = () => {
          assert.deepEqual([script.state.commit, script.state.switchSent], ['uncertain', true])
          throw failure
        }

        assert.equal((await switched(script)).error, failure)
        assert.deepEqual([script.state.commit, script.state.switchSent], ['none', false])
      })
    }

    for (const code of ['rpc.aborted', 'effect.unknown', 'zk.outcome_unknown', 'zk.version_conflict']) {
      it(`may have been done after ${code}`, async () => {
        const script = drained()
        script.onEffect = () => {
          throw new MigratorError(code, 'who knows')
        }

        assert.ok(isMigratorError((await switched(script)).error, code))
        assert.deepEqual([script.state.commit, script.state.switchSent], ['uncertain', true])
        assert.equal(script.state.window.switchedAtMs, undefined)
      })
    }

    it('is told, and nothing done, in a rehearsal', async () => {
      const script = drained({}, {dryRun: true})
      script.onEffect = ({kind}) => assert.ok(['close-source', 'switch-node'].includes(kind))
      script.target.isThere = false
      assert.equal((await switched(script)).error, undefined)
      assert.deepEqual([script.state.commit, script.state.switchSent], ['none', false])
      assert.deepEqual(script.kinds, ['switch-node', 'close-source'])
      assert.deepEqual(script.asked, [])
    })
  })

  describe('by the word', () => {
    it('is asked for, and written down before anything follows from it', async () => {
      const script = byWord()
      const {clock, state} = script
      const order: string[] = []
      script.context.askMoved = async (signal) => {
        assert.equal(signal, script.abort.signal)
        order.push('asked')
        return 'moved'
      }

      script.context.guard = {
        async claimWord() {
          order.push('claimed')
        },
      } as never
      script.onAsk = (question) => void (question === 'journal word' && order.push(`written, commit ${state.commit}`))
      assert.equal((await switched(script)).error, undefined)
      assert.deepEqual(order, ['asked', 'claimed', 'written, commit none'])
      assert.deepEqual([state.commit, state.window.switchedAtMs, state.handedOver], ['done', clock.wallMs(), undefined])
      assert.deepEqual(script.kinds, ['close-source'])
      assert.equal(state.window.windowMs, 5000)
      assert.deepEqual(
        script.told.filter((told) => told.startsWith('switch.')),
        [],
      )
    })

    it('is not given: writes are allowed again, the duplication stays', async () => {
      for (const script of [byWord({}, {askMoved: async () => 'abort'}), byWord({afterDrain: 'lift'})]) {
        const {error} = await switched(script)
        assert.ok(isMigratorError(error, 'switch.not_moved'))
        assert.equal(error.message, 'users is drained, and the applications stay on the source')
        assert.match(error.next!, /Writes are allowed again on the source; the duplication is kept/)
        assert.deepEqual(
          [script.kinds, script.state.commit, script.records.some(({kind}) => kind === 'word')],
          [[], 'none', false],
        )
      }
    })

    it('is not asked for where nobody is to be asked', async () => {
      const never = () => Promise.reject(new Error('asked'))
      const lifted = await switched(byWord({afterDrain: 'lift'}, {askMoved: never}))
      assert.ok(isMigratorError(lifted.error, 'switch.not_moved'))
      const script = byWord({afterDrain: 'keep'}, {askMoved: never})
      assert.equal((await switched(script)).error, undefined)
      assert.deepEqual([script.state.handedOver, script.state.commit], [true, 'done'])
    })

    it('does not count from an operator who left', async () => {
      const script = byWord()
      script.context.askMoved = async () => {
        script.abort.abort(new Error('Ctrl-C'))
        return 'moved'
      }

      assert.equal((await switched(script)).error?.message, 'Ctrl-C')
      assert.equal(script.state.commit, 'none')
    })

    it('does not count when somebody took the deny off meanwhile', async () => {
      for (const deny of [undefined, 'timeout*write']) {
        const script = byWord()
        if (deny === undefined) script.source.envs.clear()
        else script.source.envs.set(DENY, deny)
        const {error} = await switched(script)
        assert.ok(isMigratorError(error, 'deny.taken_back'))
        assert.match(
          error.message,
          /^somebody took the write-deny off users before the table was handed over: .* not on the target$/,
        )
        assert.match(error.next!, /leave the applications there/)
        assert.deepEqual([script.records.some(({kind}) => kind === 'word'), script.state.commit], [false, 'none'])
      }
    })

    it('does not count over the guard', async () => {
      const script = byWord()
      script.context.guard = {claimWord: () => Promise.reject(new MigratorError('guard.acted', 'acted'))} as never
      assert.ok(isMigratorError((await switched(script)).error, 'guard.acted'))
      assert.equal(
        script.records.some(({kind}) => kind === 'word'),
        false,
      )
    })

    it('is not asked for in a rehearsal', async () => {
      const script = byWord({}, {askMoved: () => Promise.reject(new Error('asked')), dryRun: true})
      assert.equal((await switched(script)).error, undefined)
      assert.equal(script.state.commit, 'none')
    })
  })

  describe('is confirmed', () => {
    it('by nobody where no metaproxy was named, and that is told', async () => {
      const script = drained()
      await switched(script)
      const words = 'no --proxy was given: nobody confirmed that clients are sent to the target'
      assert.deepEqual(script.state.warnings, [words])
      assert.ok(script.words.includes(words))
      assert.ok(script.told.includes('switch.unconfirmed'))
      assert.equal(script.state.window.confirmedAtMs, undefined)
    })

    it('once every metaproxy names the target’s servers, asked every 100 ms', async () => {
      const script = drained({proxies: [PROXY, OTHER]})
      const {clock, state} = script
      script.proxies.set(PROXY, 'target')
      script.proxies.set(OTHER, 'source')
      clock.setTimer(250, () => script.proxies.set(OTHER, 'target'))
      const startMs = clock.wallMs()
      const {summary} = await switched(script)
      assert.equal(state.window.confirmedAtMs! - startMs, 300)
      assert.equal(state.window.windowMs, 5300)
      assert.equal(summary, 'b serves; writes were denied for 5.3 s')
      const progress = script.events.flatMap((event) => (event.type === 'progress' ? [event.progress.text] : []))
      assert.deepEqual(progress.slice(0, 4), [
        ...Array.from({length: 3}, () => '1 of 2 metaproxies name the target'),
        '2 of 2 metaproxies name the target',
      ])
      assert.equal(script.asked.filter((question) => question === `proxy ${PROXY}`).length, 1)
      assert.deepEqual([state.unconfirmedProxies, state.warnings], [undefined, []])
    })

    for (const [what, stale] of [
      ['servers that are not all the target’s', {primaries: ['10.0.1.1:34801', '10.9.9.9:1']}],
      ['another table', {appId: 99}],
      ['no server', {primaries: []}],
    ] as const) {
      it(`by nobody who names ${what}`, async () => {
        const script = drained({limits: {...drained().context.request.limits, switchMs: 1000}, proxies: [PROXY]})
        const {appId, primaries} = {...script.target, ...stale}
        const empty = what === 'no server'
        script.proxies.set(PROXY, {...script.target.configuration, ...script.answerOf(empty ? 99 : appId, primaries)})
        await switched(script)
        assert.deepEqual(script.state.unconfirmedProxies, [PROXY])
        const at = empty ? 'no server' : '10.0.1.1:34801'
        assert.match(script.state.warnings[0]!, new RegExp(`names table id ${empty ? 99 : appId} at ${at}\\. `))
      })
    }

    it('by a metaproxy that stays stale in no more than the limit; it is named, and the source is closed', async () => {
      const script = drained({
        limits: {...drained().context.request.limits, switchMs: 2000},
        proxies: [PROXY, OTHER, '10.0.2.3:34601'],
      })
      const {clock, state} = script
      script.proxies.set(PROXY, 'target')
      script.proxies.set(OTHER, 'source')
      const startMs = clock.wallMs()
      assert.equal((await switched(script)).error, undefined)
      assert.deepEqual(state.unconfirmedProxies, [OTHER, '10.0.2.3:34601'])
      assert.equal(clock.wallMs() - startMs, 2000)
      const [warning] = state.warnings
      assert.match(
        warning!,
        /^confirmation by every --proxy: not there after 2 s; last seen: 10\.0\.2\.2:34601 names table id 2 at 10\.0\.0\.1:34801; 10\.0\.2\.3:34601 no connection/,
      )
      assert.match(
        warning!,
        /Restart 10\.0\.2\.2:34601, 10\.0\.2\.3:34601: its clients are refused by the source until then$/,
      )
      assert.ok(script.told.includes('switch.proxy_stale'))
      assert.equal(state.window.windowMs, 5000)
      assert.equal(script.kinds.at(-1), 'close-source')
    })

    it('goes on when the operator leaves: there is only forward', async () => {
      const script = drained({proxies: [PROXY]})
      script.proxies.set(PROXY, 'source')
      script.clock.setTimer(500, () => script.abort.abort(new Error('Ctrl-C')))
      script.clock.setTimer(900, () => script.proxies.set(PROXY, 'target'))
      await switched(script)
      assert.notEqual(script.state.window.confirmedAtMs, undefined)
      assert.equal(script.kinds.at(-1), 'close-source')
    })

    it('is not hidden by a bug', async () => {
      const script = drained({proxies: [PROXY]})
      script.proxies.set(PROXY, new TypeError('a bug'))
      assert.equal((await switched(script)).error?.message, 'a bug')
    })
  })

  describe('closes the source', () => {
    it('however often it must be tried', async () => {
      const script = drained()
      let tries = 0
      script.onEffect = ({kind}) => {
        if (kind === 'close-source' && ++tries < 4) throw new MigratorError('meta.error', 'no leader')
      }

      assert.equal((await switched(script)).error, undefined)
      assert.equal(tries, 4)
      assert.ok(script.words.some((text) => text.includes("sending the source's clients away: no leader")))
    })

    it('for as long as the limit says', async () => {
      const script = drained({limits: {...drained().context.request.limits, switchMs: 5000}})
      script.onEffect = ({kind}) => {
        if (kind === 'close-source') throw new MigratorError('meta.error', 'no leader')
      }

      assert.equal((await switched(script)).error?.message, 'no leader')
      assert.equal(script.clock.nowMs(), 6000)
    })

    it('and sees every primary refuse reads and writes, however late', async () => {
      const script = drained()
      const {clock, source} = script
      script.afterEffect = ({kind}) => {
        if (kind !== 'close-source') return
        source.answers = ['refusing', 'refusing']
        clock.setTimer(20_000, () => {
          source.answers[0] = 'closed'
        })
        // Two config syncs away.
        clock.setTimer(61_000, () => {
          source.answers[1] = 'closed'
        })
      }

      const startMs = clock.wallMs()
      const {error} = await switched(script)
      assert.equal(error, undefined)
      const {closedFirstAtMs, closedSeenAtMs, sourceClosedAtMs} = script.state.window
      assert.ok(
        closedFirstAtMs! - startMs >= 20_000 && closedFirstAtMs! - startMs < 21_000,
        String(closedFirstAtMs! - startMs),
      )
      assert.ok(closedSeenAtMs! - startMs >= 61_000 && closedSeenAtMs! - startMs < 62_000)
      assert.ok(sourceClosedAtMs! >= closedSeenAtMs!)
      const texts = script.events.flatMap((event) => (event.type === 'progress' ? [event.progress] : []))
      assert.deepEqual(texts.at(-1), {
        partitionCount: 2,
        partitionsDone: 2,
        text: '10.0.0.2:34801 (1 partition) refuses reads and writes',
      })
      assert.equal(script.state.window.windowMs, 5000)
    })

    it('gives it two config syncs and half a minute', async () => {
      const script = drained()
      const {clock, source} = script
      script.onAsk = (question) => {
        if (question.startsWith('read')) source.answers = ['refusing', 'refusing']
      }

      const {error} = await switched(script)
      assert.ok(isMigratorError(error, 'deny.not_proved'))
      assert.ok(clock.nowMs() > 90_000 && clock.nowMs() < 92_000, String(clock.nowMs()))
    })

    it('which ends the window of writes that were left unanswered', async () => {
      const script = drained({denyMode: 'timeout'})
      const {clock, state} = script
      script.source.answers = ['silent', 'silent']
      script.afterEffect = ({kind}) => {
        if (kind !== 'close-source') return
        script.source.answers = ['refusing', 'refusing']
        clock.setTimer(7000, () => {
          script.source.answers = ['closed', 'closed']
        })
      }

      const startMs = clock.wallMs()
      await switched(script)
      assert.equal(state.window.windowMs, 5000 + state.window.sourceClosedAtMs! - startMs)
      assert.ok(state.window.windowMs! >= 12_000, String(state.window.windowMs))
      assert.equal((script.performed[1] as {before: string}).before, 'timeout*write')
    })

    it('and reads what its servers had counted by then', async () => {
      const script = drained()
      await switched(script)
      assert.deepEqual(await script.state.failedBefore, new Map())
    })
  })

  it('knows no window where nothing was denied', async () => {
    const script = drained()
    script.state.window = {}
    const {summary} = await switched(script)
    assert.equal(script.state.window.windowMs, undefined)
    assert.equal(summary, 'b serves; writes were denied for 0.0 s')
  })
})
