import assert from 'node:assert/strict'

import {isMigratorError, MigratorError} from '../../../../src/lib/errors.js'
import type {MigrationContext} from '../../../../src/lib/migration/context.js'
import {drain} from '../../../../src/lib/migration/phases/drain.js'
import type {MigrationRequest} from '../../../../src/lib/migration/request.js'
import {runPhases} from '../../../../src/lib/migration/runner.js'
import {DuplicationStatus} from '../../../../src/lib/rpc/structs/duplication.js'
import {DENY, FIRST, ScriptedMigration, SECOND} from '../../../support/scripted-migration.js'

/** When the writes that were under way at the deny have come to rest: a little less than a group check later. */
const RESTS_MS = 9000
const noLeader = () => new MigratorError('meta.error', 'no leader')

/** Writes are denied since now. */
function denied(request: Partial<MigrationRequest> = {}, more: Partial<MigrationContext> = {}): ScriptedMigration {
  const script = new ScriptedMigration({verify: 'none', ...request}, more)
  const {clock, source, state} = script
  const silent = request.denyMode === 'timeout'
  source.status = DuplicationStatus.DS_LOG
  source.envs.set(DENY, `${request.denyMode ?? 'reconfig'}*write`)
  source.answers = silent ? ['silent', 'silent'] : ['refusing', 'refusing']
  state.denySet = true
  for (const [partitionIndex, server] of [FIRST, SECOND].entries()) {
    state.denied.set(partitionIndex, {ballot: 3, partitionIndex, server, sinceMs: clock.nowMs()})
  }

  state.window = {provedAtMs: clock.wallMs(), setAtMs: clock.wallMs()}
  state.nodeVersion = script.node.version
  return script
}

async function drained(script: ScriptedMigration) {
  const {error, timings} = await script.run(runPhases(script.context, [drain]))
  return {error: error as MigratorError | undefined, summary: timings[0]!.summary}
}

const progress = (script: ScriptedMigration) =>
  script.events.flatMap((event) => (event.type === 'progress' ? [event.progress] : []))
const texts = (script: ScriptedMigration) => progress(script).map(({text}) => text)

describe('the drain', () => {
  it('ends once writes have come to rest and all of them are on the target; then nothing ships any more', async () => {
    const script = denied()
    const {clock, source, state} = script
    const {error, summary} = await drained(script)
    assert.equal(error, undefined)
    assert.ok(clock.nowMs() >= RESTS_MS && clock.nowMs() < RESTS_MS + 500, String(clock.nowMs()))
    assert.deepEqual(script.kinds, ['pause-duplication'])
    assert.deepEqual([source.status, state.paused], [DuplicationStatus.DS_PAUSE, true])
    assert.deepEqual(
      [...state.drained.values()].map(({decree, partitionIndex}: {decree?: number; partitionIndex: number}) => [
        partitionIndex,
        decree,
      ]),
      [
        [0, 100],
        [1, 200],
      ],
    )
    assert.equal(state.window.drainedAtMs, state.window.pausedAtMs)
    assert.ok(state.window.shippedSeenAtMs! - state.window.setAtMs! < 10)
    assert.equal(
      summary,
      `2 partitions drained ${((state.window.drainedAtMs! - state.window.provedAtMs!) / 1000).toFixed(1)} s after the proof`,
    )
  })

  it('waits for the last mutation of a partition', async () => {
    const script = denied()
    const {clock, source, state} = script
    source.partitions[1]!.gap = 3
    clock.setTimer(15_000, () => {
      source.partitions[1]!.gap = 0
    })
    assert.equal((await drained(script)).error, undefined)
    assert.ok(clock.nowMs() >= 15_000 && clock.nowMs() < 15_500, String(clock.nowMs()))
    const shippedMs = state.window.shippedSeenAtMs! - state.window.setAtMs!
    assert.ok(shippedMs >= 15_000 && shippedMs < 15_400, String(shippedMs))
    const seen = progress(script).find(({deniedForMs}) => deniedForMs! > 3000)!
    assert.deepEqual(
      {count: seen.partitionCount, done: seen.partitionsDone, lag: seen.lagMutations, worst: seen.worst},
      {count: 2, done: 0, lag: 3, worst: `partition 1 on ${SECOND}: 3 mutations to go`},
    )
    assert.equal(seen.etaMs, 20_000 - seen.deniedForMs!)
    assert.match(
      seen.text,
      /^1 partition waits for the empty write that lets the last mutation go \(group check each 10 s, until /,
    )
    assert.equal(progress(script).at(-1)?.partitionsDone, 2)
    // The env itself is looked at every 2 s, and in the end.
    const looks = script.asked.filter((question) => question === 'source table')
    assert.equal(looks.length, 9)
  })

  it('tells no more often than every 200 ms', async () => {
    const script = denied()
    const atMs: number[] = []
    const {emit} = script.context
    script.context.emit = (event) => {
      if (event.type === 'progress' && event.progress.partitionCount !== undefined) atMs.push(script.clock.nowMs())
      emit(event)
    }

    await drained(script)
    const gaps = atMs.slice(1, -2).map((ms, index) => ms - atMs[index]!)
    assert.ok(Math.min(...gaps) >= 200, gaps.join())
    assert.ok(atMs.length > 20, String(atMs.length))
  })

  it('waits for what was prepared at the deny and committed later', async () => {
    const script = denied()
    const {source, state} = script
    source.partitions[0]!.prepared = 103
    script.clock.setTimer(4000, () => {
      source.partitions[0]!.committed = 103
    })
    await drained(script)
    assert.equal((state.drained.get(0) as {decree?: number}).decree, 103)
  })

  it('looks at everything once more when a fence grew in the end', async () => {
    const script = denied()
    const {clock, source, state} = script
    let looks = 0
    script.onAsk = (question) => {
      // The very last look finds what a client wrote.
      if (question === `source replicas ${FIRST}` && clock.nowMs() >= RESTS_MS && ++looks === 2) {
        Object.assign(source.partitions[0]!, {committed: 109, gap: 4, prepared: 109})
        clock.setTimer(8000, () => {
          source.partitions[0]!.gap = 0
        })
      }
    }

    assert.equal((await drained(script)).error, undefined)
    assert.equal((state.drained.get(0) as {decree?: number}).decree, 109)
    assert.ok(clock.nowMs() >= 17_000, String(clock.nowMs()))
  })

  it('does not end while a partition says that it does not ship', async () => {
    const script = denied()
    const {clock, source} = script
    source.duplicating = false
    clock.setTimer(12_000, () => {
      source.duplicating = true
    })
    assert.equal((await drained(script)).error, undefined)
    assert.ok(clock.nowMs() >= 12_000 && clock.nowMs() < 13_000, String(clock.nowMs()))
    assert.ok(
      texts(script).some((text) => /partition/.test(text) && /not/.test(text)),
      [...new Set(texts(script))].join('\n'),
    )
  })

  describe('is not at its end', () => {
    it('after two group checks and half a minute, and says what it waited for', async () => {
      const script = denied()
      const {clock, source} = script
      source.partitions[1]!.gap = 3
      const {error} = await drained(script)
      assert.ok(isMigratorError(error, 'drain.limit'))
      assert.ok(clock.nowMs() > 50_000 && clock.nowMs() < 51_500, String(clock.nowMs()))
      assert.match(
        error.message,
        /^users: not everything accepted was on the target within the time of the drain; duplication 7 is in DS_LOG; last seen: 1 partition waits for the empty write .*; partition 1 on 10\.0\.0\.2:34801: 3 mutations to go$/,
      )
      assert.match(error.next!, /See that the target keeps up/)
      assert.deepEqual([script.kinds, script.state.drained.size], [[], 0])
    })

    it('while a partition does not ship at all, and says so', async () => {
      const script = denied()
      script.source.duplicating = false
      const {error} = await drained(script)
      assert.ok(isMigratorError(error, 'drain.limit'))
      const text = texts(script).findLast((one) => /not/.test(one))!
      assert.ok(error.message.includes(`; last seen: ${text}`), error.message)
      assert.ok(script.clock.nowMs() > 50_000 && script.clock.nowMs() < 51_500, String(script.clock.nowMs()))
    })

    it('after the time that was asked for', async () => {
      const script = denied({limits: {...denied().context.request.limits, drainMs: 5000}})
      assert.ok(isMigratorError((await drained(script)).error, 'drain.limit'))
      assert.ok(script.clock.nowMs() > 5000 && script.clock.nowMs() < 6500, String(script.clock.nowMs()))
    })

    for (const [what, spoil, sentence] of [
      [
        'because empty writes are switched off',
        ({source}) => source.config.set('empty_write_disabled', 'true'),
        /; empty_write_disabled is true on 10\.0\.0\.1:34801, 10\.0\.0\.2:34801: the last mutation of each partition there never ships; set it to false$/,
      ],
      [
        'because group checks are switched off, on one server',
        ({source}) => source.config.set(`${SECOND} group_check_disabled`, 'true'),
        /; group_check_disabled is true on 10\.0\.0\.2:34801: the last/,
      ],
      [
        'because of both',
        ({source}) => {
          source.config.set('empty_write_disabled', 'true')
          source.config.set(`${SECOND} group_check_disabled`, 'true')
        },
        /; empty_write_disabled is true on .*, group_check_disabled is true on 10\.0\.0\.2:34801: the last/,
      ],
      [
        'because somebody lets it skip what the target refuses',
        (script) => {
          script.source.failMode = 'FAIL_SKIP'
        },
        /; the fail mode of partitions 0, 1 is FAIL_SKIP: somebody set it$/,
      ],
      [
        'because the target refuses what is shipped',
        ({target}) => target.envs.set(DENY, 'reconfig*write'),
        /; The target's users carries replica\.deny_client_request=reconfig\*write/,
      ],
      [
        'for reasons that nobody tells',
        (script) => script.failing('target table', 99, new MigratorError('meta.error', 'no leader')),
        /; not everything could be asked: no leader$/,
      ],
      [
        'and nobody answers why within 3 s',
        (script) => {
          script.onAsk = (question) => (question === 'target table' ? new Promise(() => {}) : undefined)
        },
        /; not everything could be asked: no answer within 3 s$/,
      ],
    ] as [string, (script: ScriptedMigration) => unknown, RegExp][]) {
      it(what, async () => {
        const script = denied()
        script.source.partitions[1]!.gap = 3
        spoil(script)
        const {error} = await drained(script)
        assert.ok(isMigratorError(error, 'drain.limit'), String(error))
        assert.match(error.message, sentence)
      })
    }

    it('where servers are many, of which three are named', async () => {
      const script = denied()
      const {source, state} = script
      source.primaries = [1, 2, 3, 4, 5].map((number) => `10.0.0.${number}:34801`)
      source.ballots = source.primaries.map(() => 3)
      source.answers = source.primaries.map(() => 'refusing')
      source.partitions = source.primaries.map(() => ({committed: 9, gap: 3, prepared: 9}))
      for (const [partitionIndex, server] of source.primaries.entries())
        state.denied.set(partitionIndex, {ballot: 3, partitionIndex, server: server!, sinceMs: 0})
      source.config.set('empty_write_disabled', 'true')
      const {error} = await drained(script)
      assert.match(
        error!.message,
        /is true on 10\.0\.0\.1:34801, 10\.0\.0\.2:34801, 10\.0\.0\.3:34801 and 2 more: the last/,
      )
    })

    it('on master, where neither flag matters', async () => {
      const script = denied()
      const {source} = script
      source.generation = 'master'
      source.partitions[1]!.gap = 3
      source.config.set('empty_write_disabled', 'true')
      const {error} = await drained(script)
      assert.ok(isMigratorError(error, 'drain.limit'))
      assert.equal(error.message.includes('empty_write_disabled'), false)
      assert.equal(
        script.asked.some((question) => question.includes('empty_write')),
        false,
      )
    })

    it('where nothing could be read', async () => {
      const script = denied({limits: {...denied().context.request.limits, drainMs: 5000}})
      script.failing('source configuration', Number.POSITIVE_INFINITY, noLeader())
      const {error} = await drained(script)
      assert.ok(isMigratorError(error, 'drain.limit'))
      assert.ok(isMigratorError(error.cause, 'meta.error'))
      assert.ok(texts(script).includes('waiting: no leader'))
    })
  })

  it('bears servers and metas that do not answer for a while', async () => {
    for (const question of [
      'source configuration',
      'source duplications',
      'source table',
      `source states ${FIRST}`,
      `source replicas ${SECOND}`,
      `source config ${FIRST} duplicate_log_batch_bytes`,
    ]) {
      const script = denied()
      script.failing(question, 3, noLeader())
      assert.equal((await drained(script)).error, undefined, question)
      assert.ok(texts(script).includes('waiting: no leader'), question)
    }
  })

  it('looks at everything once more where its last look took long, and remembers when it saw the deny', async () => {
    for (const [failures, looks, leastMs] of [
      [0, 1, 0],
      [5, 1, 5000],
      [6, 2, 0],
    ] as const) {
      const script = denied()
      const question = `source config ${FIRST} duplicate_log_batch_bytes`
      script.failing(question, failures, noLeader())
      assert.equal((await drained(script)).error, undefined)
      assert.equal(script.asked.filter((asked) => asked === question).length, failures + looks)
      const agoMs = script.clock.nowMs() - script.state.denySeenAtMs!
      assert.ok(agoMs >= leastMs && agoMs < leastMs + 500, String(agoMs))
    }
  })

  it('ends with a bug, and with the operator', async () => {
    const broken = denied()
    broken.failing(`source states ${FIRST}`, 1, new TypeError('a bug'))
    assert.equal((await drained(broken)).error?.message, 'a bug')
    const left = denied()
    left.clock.setTimer(4000, () => left.abort.abort(new Error('Ctrl-C')))
    assert.equal((await drained(left)).error?.message, 'Ctrl-C')
    assert.equal(left.clock.nowMs(), 4000)
    const asked = left.asked.length
    await left.clock.advance(10_000)
    assert.equal(left.asked.length, asked)
  })

  describe('is stopped', () => {
    it('by somebody who takes the deny off', async () => {
      for (const deny of [undefined, 'timeout*write']) {
        const script = denied()
        script.clock.setTimer(3000, () => {
          if (deny === undefined) script.source.envs.clear()
          else script.source.envs.set(DENY, deny)
        })
        const {error} = await drained(script)
        assert.ok(isMigratorError(error, 'deny.taken_back'))
        assert.equal(error.message, 'somebody took the write-deny off users while it was drained')
        assert.match(error.next!, /Find out who did/)
        assert.ok(script.clock.nowMs() >= 3000 && script.clock.nowMs() <= 5000, String(script.clock.nowMs()))
      }
    })

    it('by somebody who took it off just before its end', async () => {
      const script = denied()
      script.clock.setTimer(RESTS_MS - 100, () => script.source.envs.clear())
      assert.ok(isMigratorError((await drained(script)).error, 'deny.taken_back'))
    })

    it('by somebody who pauses or removes the duplication', async () => {
      for (const [status, code] of [
        [DuplicationStatus.DS_PAUSE, 'duplicate.not_log'],
        [undefined, 'duplicate.vanished'],
      ] as const) {
        const script = denied()
        script.clock.setTimer(3000, () => {
          script.source.status = status
        })
        assert.ok(isMigratorError((await drained(script)).error, code))
        assert.ok(script.clock.nowMs() <= 4500, String(script.clock.nowMs()))
      }
    })

    it('by somebody who took it off while its last look waited for a server', async () => {
      const script = denied()
      script.failing(`source config ${FIRST} duplicate_log_batch_bytes`, 8, noLeader())
      script.clock.setTimer(RESTS_MS + 2000, () => script.source.envs.clear())
      assert.ok(isMigratorError((await drained(script)).error, 'deny.taken_back'))
      assert.deepEqual(script.kinds, [])
    })

    it('by a server that came back and shipped in batches', async () => {
      const script = denied()
      script.source.config.set(`${SECOND} duplicate_log_batch_bytes`, '4096')
      const {error} = await drained(script)
      assert.ok(isMigratorError(error, 'batching.returned'))
      const reason = 'duplicate_log_batch_bytes was not 0 on 10.0.0.2:34801 during the drain'
      assert.equal(error.message, `${reason}: all rows must be compared`)
      assert.equal(script.state.fullVerifyBecause, reason)
      assert.match(error.next!, /compares all rows/)
    })

    it('by several of them', async () => {
      const script = denied()
      script.source.config.set('duplicate_log_batch_bytes', '4096')
      assert.match((await drained(script)).error!.message, /on 10\.0\.0\.1:34801, 10\.0\.0\.2:34801 during the drain/)
    })

    it('by whatever else brought the order of shipping into doubt meanwhile', async () => {
      const script = denied()
      script.clock.setTimer(3000, () => {
        script.state.fullVerifyBecause = 'somebody did something'
      })
      const {error} = await drained(script)
      assert.ok(isMigratorError(error, 'shipping.doubtful'))
      assert.equal(error.message, 'somebody did something: all rows must be compared')
      assert.match(error.next!, /^Writes are allowed again\. .* compares all rows\.$/)
    })

    it('by a primary that takes writes again', async () => {
      const script = denied()
      script.clock.setTimer(5000, () => {
        script.source.answers[1] = 'open'
      })
      const {error} = await drained(script)
      assert.ok(isMigratorError(error, 'deny.not_proved'))
    })
  })

  describe('proves the deny again', () => {
    const moves = (script: ScriptedMigration, atMs: number) =>
      script.clock.setTimer(atMs, () => {
        script.source.primaries[1] = FIRST
        script.source.ballots[1] = 4
      })

    it('when a primary moves, and drains what is left', async () => {
      const script = denied()
      moves(script, 4000)
      assert.equal((await drained(script)).error, undefined)
      assert.ok(texts(script).includes('new primary of partition 1: the deny is proved again'))
      const {ballot, server} = script.state.denied.get(1)!
      assert.deepEqual([ballot, server], [4, FIRST])
      assert.deepEqual([script.state.drained.get(1)?.ballot, script.state.drained.get(1)?.server], [4, FIRST])
      assert.ok(script.clock.nowMs() >= 4000 + RESTS_MS, String(script.clock.nowMs()))
    })

    it('also when it moved before the drain began', async () => {
      const script = denied()
      script.source.ballots[0] = 7
      assert.equal((await drained(script)).error, undefined)
      assert.equal(script.state.drained.get(0)?.ballot, 7)
    })

    it('also when it moves while shipping is stopped: it ships again and is drained anew', async () => {
      const script = denied()
      let paused = 0
      script.afterEffect = ({kind}) => {
        if (kind === 'pause-duplication' && ++paused === 1) {
          script.source.primaries[1] = FIRST
          script.source.ballots[1] = 4
        }
      }

      assert.equal((await drained(script)).error, undefined)
      assert.deepEqual(script.kinds, ['pause-duplication', 'resume-duplication', 'pause-duplication'])
      assert.ok(script.told.includes('drain.moved'))
      assert.ok(script.words.includes('new primary of partition 1: drained once more'))
      assert.equal(script.state.paused, true)
      assert.equal(script.state.drained.get(1)?.ballot, 4)
      assert.ok(script.events.some((event) => event.type === 'progress' && event.step === 'drain once more'))
    })

    it('and leaves nothing paused when that comes to no end', async () => {
      const script = denied()
      script.afterEffect = ({kind}) => {
        if (kind === 'pause-duplication') script.source.ballots[1] = 4
        if (kind === 'resume-duplication') script.abort.abort(new Error('Ctrl-C'))
      }

      assert.equal((await drained(script)).error?.message, 'Ctrl-C')
      assert.equal(script.state.paused, false)
    })

    it('within the same limit', async () => {
      const script = denied({limits: {...denied().context.request.limits, drainMs: 10_000}})
      moves(script, 8000)
      const {error} = await drained(script)
      assert.ok(isMigratorError(error, 'drain.limit'), String(error))
      assert.ok(script.clock.nowMs() < 12_000, String(script.clock.nowMs()))
    })
  })

  describe('stops shipping', () => {
    it('only for a run whose guard has not acted', async () => {
      const script = denied()
      script.context.guard = {assertMine: () => Promise.reject(new MigratorError('guard.acted', 'acted'))} as never
      assert.ok(isMigratorError((await drained(script)).error, 'guard.acted'))
      assert.deepEqual([script.kinds, script.state.paused], [[], false])
    })

    it('and believes only a duplication that is paused', async () => {
      const script = denied()
      script.afterEffect = () => {
        script.source.status = DuplicationStatus.DS_LOG
      }

      const {error} = await drained(script)
      assert.ok(isMigratorError(error, 'drain.not_paused'))
      assert.match(error.message, /duplication 7 is in DS_LOG .*after it was paused/)
      assert.equal(script.state.paused, true)
    })

    it('and must let it go on when nobody heard the answer', async () => {
      const script = denied()
      script.onEffect = () => {
        assert.equal(script.state.paused, true)
        throw new MigratorError('effect.unknown', 'lost')
      }

      assert.ok(isMigratorError((await drained(script)).error, 'effect.unknown'))
      assert.equal(script.state.paused, true)
    })

    it('while it looks that nobody has written the node', async () => {
      const script = denied()
      script.clock.setTimer(5000, () => script.writeNode('b'))
      const {error} = await drained(script)
      assert.ok(isMigratorError(error, 'switch.by_others'))
      assert.deepEqual(script.kinds, ['pause-duplication'])
      assert.equal(script.state.window.pausedAtMs, undefined)
    })

    it('and fails with what stopped it rather than with that look', async () => {
      const script = denied()
      script.clock.setTimer(5000, () => script.writeNode('b'))
      script.onEffect = () => {
        throw new MigratorError('meta.error', 'no')
      }

      assert.ok(isMigratorError((await drained(script)).error, 'meta.error'))
    })

    it('in a rehearsal says so, and asks nobody', async () => {
      const script = denied({}, {dryRun: true})
      script.writeNode('b')
      const {error} = await drained(script)
      assert.equal(error, undefined)
      assert.deepEqual(
        [script.kinds, script.asked, script.state.window.pausedAtMs],
        [['pause-duplication'], [], undefined],
      )
    })
  })

  describe('of writes that are left unanswered', () => {
    it('watches the silence all along, and ends with it', async () => {
      const script = denied({denyMode: 'timeout'})
      assert.equal((await drained(script)).error, undefined)
      assert.ok(script.clock.nowMs() < RESTS_MS + 1000, String(script.clock.nowMs()))
      assert.ok(script.asked.filter((question) => question === `write ${FIRST}`).length >= 8)
      const asked = script.asked.length
      await script.clock.advance(20_000)
      assert.equal(script.asked.length, asked, 'it goes on watching')
    })

    it('names the partition that answers, and where', async () => {
      const script = denied({denyMode: 'timeout', limits: {...denied().context.request.limits, denyMs: 4000}})
      script.clock.setTimer(6000, () => {
        script.source.answers[1] = 'open'
      })
      const {error} = await drained(script)
      assert.ok(isMigratorError(error, 'deny.not_proved'), String(error))
      assert.match(
        error.message,
        /^users: writes to partition 1 are not left unanswered any more: 10\.0\.0\.2:34801 answered writes: not-denied/,
      )
      const afterMs = script.clock.nowMs() - RESTS_MS
      assert.ok(afterMs > 4000 && afterMs < 5000, String(afterMs))
    })

    it('waits for silence that came back', async () => {
      const script = denied({denyMode: 'timeout'})
      script.clock.setTimer(6000, () => {
        script.source.answers[1] = 'open'
      })
      script.clock.setTimer(9500, () => {
        script.source.answers[1] = 'silent'
      })
      assert.equal((await drained(script)).error, undefined)
      assert.ok(script.clock.nowMs() >= 12_500 && script.clock.nowMs() < 14_500, String(script.clock.nowMs()))
    })
  })
})
