import assert from 'node:assert/strict'

import {isMigratorError, type MigratorError} from '../../../../src/lib/errors.js'
import type {MigrationContext} from '../../../../src/lib/migration/context.js'
import {whileLooking} from '../../../../src/lib/migration/phases/last-look.js'
import type {MigrationRequest} from '../../../../src/lib/migration/request.js'
import {RecentKeys} from '../../../../src/lib/migration/verify/recent-keys.js'
import {ScanContexts} from '../../../sandbox/replica/scanner.js'
import {VirtualClock} from '../../../sandbox/virtual-clock.js'
import {DuplicatedTable} from '../../../support/duplicated-table.js'
import {ScriptedMigration} from '../../../support/scripted-migration.js'

/* Both sides at rest: a table whose duplication has shipped all. */

describe('a look at both sides at rest', () => {
  let clock: VirtualClock
  let table: DuplicatedTable
  const {open: openScan} = ScanContexts.prototype

  beforeEach(async () => {
    clock = new VirtualClock()
    table = await clock.run(
      DuplicatedTable.start({
        clock,
        partitionCount: 2,
        profile: '2.5',
        rows: Array.from({length: 40}, (_, index) => ({hashKey: `row${index}`, value: `value ${index}`})),
      }),
    )
  })

  afterEach(() => {
    ScanContexts.prototype.open = openScan
    return clock.run(table.stop())
  })

  function script(request: Partial<MigrationRequest> = {}, more: Partial<MigrationContext> = {}): ScriptedMigration {
    const {client, source, target} = table
    const made = new ScriptedMigration(request, {client, clock, source, target, ...more})
    made.state.window.setAtMs = clock.wallMs()
    return made
  }

  const look = (made: ScriptedMigration, work: (context: MigrationContext) => Promise<void> = async () => {}) =>
    clock.run(whileLooking(made.context, work))

  const failure = async (made: ScriptedMigration) => {
    let found: unknown
    await look(made).catch((error: unknown) => {
      found = error
    })
    return found as MigratorError
  }

  const copy = (partition: number) => table.sandbox.target.table('users').partitions[partition]!.rows
  const lose = (partition: number) => {
    const {key, value} = copy(partition).snapshot()[0]!
    copy(partition).remove(key)
    return () => copy(partition).put(key, value, 0)
  }

  /** Called with the number of each look at where the target's rows are. */
  function onLook(made: ScriptedMigration, act: (look: number) => void): void {
    const {target} = made.context
    const watched = Object.create(target) as typeof target
    let looks = 0
    watched.configuration = (name, limits) => {
      act(++looks)
      return target.configuration(name, limits)
    }

    made.context.target = watched
  }

  /** The target counts three rows too many, and no row tells why. */
  function miscount(): void {
    const targets = new Set(table.sandbox.target.table('users').partitions.map(({rows}) => rows))
    ScanContexts.prototype.open = function (store, request, counts) {
      const reply = openScan.call(this, store, request, counts)
      return reply.kvCount !== undefined && targets.has(store) ? {...reply, kvCount: reply.kvCount + 3} : reply
    }
  }

  it('counts all partitions while the work is done', async () => {
    const made = script()
    let worked: MigrationContext | undefined
    await look(made, async (context) => {
      worked = context
    })
    assert.equal(worked, made.context)
    const {tookMs, ...seen} = made.state.lastLook!
    assert.deepEqual(seen, {counted: 2, countsDiffer: 0, keysRead: 0, partitions: 2, rowsCompared: 0})
    assert.ok(tookMs >= 0 && tookMs <= 500, String(tookMs))
    assert.deepEqual(made.events, [
      {phase: 'drain', progress: {text: 'the last look at both sides'}, step: 'look at rows', type: 'progress'},
    ])
  })

  it('is left out where nobody wants it, and where clients are on the target already', async () => {
    const none = script({verify: 'none'})
    const rehearsed = script({}, {dryRun: true})
    const switched = script()
    switched.state.commit = 'done'
    for (const made of [none, rehearsed, switched]) {
      let worked = 0
      await look(made, async () => void worked++)
      assert.deepEqual([worked, made.state.lastLook, made.events], [1, undefined, []])
    }
  })

  it('reads rows that were written lately', async () => {
    const made = script()
    const keys = new RecentKeys()
    for (const partition of [0, 1]) {
      for (const {key} of copy(partition).snapshot().slice(0, 3)) keys.add(partition, key)
    }

    made.state.recentKeys = keys
    await look(made)
    assert.equal(made.state.lastLook?.keysRead, 6)
  })

  it('counts nothing where a side cannot, or removes rows at its own time, and says so', async () => {
    const rules = 'user_specified_compaction'
    const sentence = `rows were not counted: with ${rules} each side removes rows at its own time`
    for (const [spoil, words] of [
      [(made: ScriptedMigration) => Object.assign(made.source, {generation: '2.4'}), '2.4 cannot count rows'],
      [(made: ScriptedMigration) => Object.assign(made.target, {generation: '2.4'}), '2.4 cannot count rows'],
      [(made: ScriptedMigration) => made.source.envs.set(rules, '{}'), sentence],
      [(made: ScriptedMigration) => made.target.envs.set(rules, '{}'), sentence],
    ] as const) {
      const made = script()
      spoil(made)
      lose(0)
      await look(made)
      assert.deepEqual([made.state.lastLook?.counted, made.state.lastLook?.leftOut], [0, words])
    }
  })

  it('stops the migration where a row differs a second time', async () => {
    lose(1)
    const made = script()
    const error = await failure(made)
    assert.ok(isMigratorError(error, 'verify.different'))
    assert.match(
      error.message,
      /^rows of users are not the same on both sides after everything was shipped: 1 of those looked at differ; the first is .* of partition 1/,
    )
    assert.deepEqual(error.facts, {different: 1})
    assert.match(
      error.next!,
      /^The copy on b is not sound: remove duplication 7, .*Writes are allowed again on the source\.$/,
    )
    assert.equal(made.state.lastLook, undefined)
  })

  it('goes on where it does not differ any more', async () => {
    const back = lose(1)
    const made = script()
    onLook(made, (number) => number === 2 && back())
    await look(made)
    assert.equal(made.state.lastLook?.counted, 2)
  })

  it('has rows compared where one differs and cannot be read again', async () => {
    lose(1)
    const made = script()
    onLook(made, (number) => {
      if (number === 2) throw new Error('nobody is there')
    })
    const error = await failure(made)
    assert.ok(isMigratorError(error, 'verify.suspicious'))
    assert.equal(
      error.message,
      'the last look at users found what it had no time to explain: rows differ, and could not be read again (nobody is there); all rows of partition 1 must be compared',
    )
    assert.deepEqual([made.state.compareAgain, error.facts], [[1], {partitions: '1'}])
    assert.match(error.next!, /--verify full/)
  })

  it('has rows compared where counts differ and no row tells why', async () => {
    miscount()
    const made = script()
    const error = await failure(made)
    assert.ok(isMigratorError(error, 'verify.suspicious'))
    assert.match(
      error.message,
      /partition \d has \d+ rows on the source and \d+ on the target; all rows of partitions 0, 1 must be compared$/,
    )
    assert.deepEqual(made.state.compareAgain?.sort(), [0, 1])
    const again = script()
    again.state.comparedAgain = new Set([0])
    await failure(again)
    assert.deepEqual(again.state.compareAgain, [1])
  })

  it('goes on where all their rows were compared since, and says so', async () => {
    miscount()
    const made = script()
    made.state.comparedAgain = new Set([0, 1])
    await look(made)
    assert.equal(made.state.lastLook?.countsDiffer, 2)
    assert.deepEqual(made.told, ['progress', 'verify.counts'])
    assert.match(
      made.words[0]!,
      /^partition \d has \d+ rows on the source and \d+ on the target, as in the cutover before; all its rows/,
    )
    assert.deepEqual(made.state.warnings, made.words)
  })

  it('is no alarm where rows expire', async () => {
    miscount()
    const made = script()
    made.state.rowsExpire = true
    await look(made)
    assert.equal(made.state.lastLook?.countsDiffer, 2)
  })

  it('begins anew when a primary moved during the work', async () => {
    const made = script()
    const looks: number[] = []
    onLook(made, (number) => looks.push(number))
    await look(made, async ({state}) => {
      state.drained = new Map()
    })
    assert.deepEqual(looks, [1, 2])
    assert.equal(made.state.lastLook?.counted, 2)
    const still = script()
    looks.length = 0
    onLook(still, (number) => looks.push(number))
    await look(still)
    assert.deepEqual(looks, [1])
  })

  it('is given up with the work, and with the run', async () => {
    const made = script()
    await assert.rejects(
      look(made, () => Promise.reject(new Error('not paused'))),
      /not paused/,
    )
    assert.equal(made.state.lastLook, undefined)
    const left = script()
    await assert.rejects(
      look(left, async () => left.abort.abort(new Error('Ctrl-C'))),
      /Ctrl-C/,
    )
  })

  it('holds nothing up where a side cannot be read, and says why', async () => {
    const made = script()
    onLook(made, () => {
      throw new Error('nobody is there')
    })
    await look(made)
    const {counted, leftOut, partitions} = made.state.lastLook!
    assert.deepEqual({counted, leftOut, partitions}, {counted: 0, leftOut: 'nobody is there', partitions: 0})
  })

  describe('takes no longer', () => {
    const slow = async (made: ScriptedMigration) => {
      table.sandbox.target.ignoreCalls('RPC_RRDB_RRDB_GET_SCANNER', {count: 1000})
      table.sandbox.target.ignoreCalls('RPC_RRDB_RRDB_GET', {count: 1000})
      const startMs = clock.nowMs()
      await look(made)
      return {leftOut: made.state.lastLook?.leftOut, tookMs: clock.nowMs() - startMs}
    }

    it('than half a second, and says what it left out', async () => {
      const made = script()
      const keys = new RecentKeys()
      keys.add(0, copy(0).snapshot()[0]!.key)
      made.state.recentKeys = keys
      const {leftOut, tookMs} = await slow(made)
      assert.equal(leftOut, 'time was over: 0 of 2 partitions counted, 0 of 1 row written lately read')
      assert.ok(tookMs >= 500 && tookMs <= 520, String(tookMs))
    })

    it('than what is left of the bound', async () => {
      const made = script()
      // A lift takes 32 s, the switch 10 s at most.
      made.state.window.setAtMs = clock.wallMs() - 77_800
      const {tookMs} = await slow(made)
      assert.ok(tookMs >= 200 && tookMs <= 220, String(tookMs))
    })

    it('than a tenth of the bound', async () => {
      const made = script({maxWriteDenyMs: 4000})
      made.state.timers = {configSyncMs: -20_000, groupCheckMs: 1}
      const {tookMs} = await slow(made)
      assert.ok(tookMs >= 400 && tookMs <= 420, String(tookMs))
    })

    it('than it takes where it counts nothing and has nothing to read', async () => {
      const made = script()
      Object.assign(made.source, {generation: '2.4'})
      const {leftOut, tookMs} = await slow(made)
      assert.deepEqual([leftOut, tookMs < 100], ['2.4 cannot count rows', true])
    })
  })
})
