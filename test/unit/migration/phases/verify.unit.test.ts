import assert from 'node:assert/strict'

import {isMigratorError, type MigratorError} from '../../../../src/lib/errors.js'
import {verify} from '../../../../src/lib/migration/phases/verify.js'
import type {MigrationRequest} from '../../../../src/lib/migration/request.js'
import {runPhases} from '../../../../src/lib/migration/runner.js'
import {VirtualClock} from '../../../sandbox/virtual-clock.js'
import {DuplicatedTable} from '../../../support/duplicated-table.js'
import {ScriptedMigration} from '../../../support/scripted-migration.js'

const ROWS = 60

describe('the comparison before the deny', () => {
  let clock: VirtualClock
  let dupid: number
  let table: DuplicatedTable

  async function open(rows = ROWS): Promise<void> {
    clock = new VirtualClock()
    table = await clock.run(
      DuplicatedTable.start({
        clock,
        partitionCount: 2,
        profile: '2.5',
        rows: Array.from({length: rows}, (_, index) => ({hashKey: `row${index}`, value: `value ${index}`})),
      }),
    )
    const [entry] = await clock.run(table.source.duplications('users'))
    dupid = entry!.dupid
  }

  afterEach(() => clock.run(table.stop()))

  function script(request: Partial<MigrationRequest> = {}): ScriptedMigration {
    const {client, source, target} = table
    const made = new ScriptedMigration({verifySampleRows: 10, ...request}, {client, clock, source, target})
    made.state.dupid = dupid
    return made
  }

  async function run(made: ScriptedMigration) {
    const {error, timings} = await clock.run(runPhases(made.context, [verify]))
    return {error: error as MigratorError | undefined, state: timings[0]!.state, summary: timings[0]!.summary}
  }

  const copy = (partition: number) => table.sandbox.target.table('users').partitions[partition]!.rows
  const lose = (partition: number) => {
    const rows = copy(partition)
    rows.remove(rows.snapshot()[0]!.key)
  }

  it('is left out where it is not wanted', async () => {
    await open()
    const {state, summary} = await run(script({verify: 'none'}))
    assert.deepEqual([state, summary], ['skipped', 'not wanted (--verify none)'])
  })

  it('looks at some rows of each partition', async () => {
    await open()
    const made = script()
    const {error, summary} = await run(made)
    assert.equal(error, undefined)
    const {partitions, rowsCompared} = made.state.verification!
    assert.equal(partitions, 2)
    assert.ok(rowsCompared >= 10 && rowsCompared < ROWS, String(rowsCompared))
    assert.equal(summary, `${rowsCompared} rows are the same on both sides`)
    assert.notEqual(made.state.recentKeys, undefined)
    assert.notEqual(made.state.targetAppId, undefined)
  })

  it('reads no more rows a second than it may, from a cluster that serves', async () => {
    await open()
    const tookMs = async (request: Partial<MigrationRequest>) => {
      const made = script({verify: 'full', ...request})
      const startMs = clock.nowMs()
      assert.equal((await run(made)).error, undefined)
      assert.equal(made.state.verification!.rowsCompared, ROWS)
      return clock.nowMs() - startMs
    }

    assert.ok((await tookMs({})) < 1000)
    const slowlyMs = await tookMs({verifyRowsPerSecond: 10})
    assert.ok(slowlyMs > (ROWS / 10 - 2) * 1000 && slowlyMs < (ROWS / 10 + 5) * 1000, String(slowlyMs))
  })

  it('looks at all rows where that is asked for, and tells how far it is', async () => {
    await open()
    const made = script({verify: 'full'})
    const {summary} = await run(made)
    assert.deepEqual(made.state.verification, {
      partitions: 2,
      rowsCompared: ROWS,
      rowsCountedSource: ROWS,
      rowsCountedTarget: ROWS,
    })
    assert.equal(summary, '60 rows are the same on both sides')
    const told = made.events.flatMap((event) => (event.type === 'progress' ? [event.progress] : []))
    assert.deepEqual(told.at(-1), {
      partitionCount: 2,
      partitionsDone: 2,
      text: 'full: 60 rows compared, 0 read again, 0 differ',
    })
  })

  for (const [what, doubt] of [
    [
      'of somebody else’s duplication',
      (made: ScriptedMigration) => {
        made.state.adoptedForeign = true
      },
    ],
    [
      'out of order perhaps',
      (made: ScriptedMigration) => {
        made.state.fullVerifyBecause = 'batches'
      },
    ],
  ] as const) {
    it(`looks at all rows ${what}, whatever was asked for`, async () => {
      await open()
      const made = script({verify: 'none'})
      doubt(made)
      assert.equal((await run(made)).error, undefined)
      assert.equal(made.state.verification?.rowsCompared, ROWS)
      assert.deepEqual([made.state.fullVerifyBecause, [...made.state.comparedAgain!]], [undefined, []])
      const told = made.events.flatMap((event) => (event.type === 'progress' ? [event.progress.text] : []))
      assert.match(told.at(-1)!, /^full: /)
    })
  }

  it('looks at all of them though some were to be compared again', async () => {
    await open()
    const made = script({verify: 'none'})
    made.state.compareAgain = [1]
    made.state.fullVerifyBecause = 'batches'
    await run(made)
    assert.equal(made.state.verification?.partitions, 2)
    assert.deepEqual([...made.state.comparedAgain!], [1])
  })

  it('looks at all rows of those partitions that could not be explained, and remembers it', async () => {
    await open()
    const made = script({verify: 'none'})
    made.state.compareAgain = [1]
    made.state.comparedAgain = new Set([0])
    assert.equal((await run(made)).error, undefined)
    const {compareAgain, comparedAgain, verification} = made.state
    assert.equal(verification?.partitions, 1)
    assert.ok(verification.rowsCompared > 10 && verification.rowsCompared < ROWS, String(verification.rowsCompared))
    assert.deepEqual([compareAgain, [...comparedAgain!].sort()], [undefined, [0, 1]])
  })

  it('compares besides what was asked for all rows of partitions whose primary moved, once nothing late can come any more', async () => {
    await open()
    const made = script()
    const before = script()
    assert.equal((await run(before)).error, undefined)
    const sampled = before.state.verification!.rowsCompared
    made.state.compareAgain = [1]
    made.state.movedAtMs = clock.nowMs() - 10_000
    const startMs = clock.nowMs()
    // It comes late, but in time.
    clock.setTimer(45_000, () => lose(1))
    const {error} = await run(made)
    assert.ok(isMigratorError(error, 'verify.different'))
    assert.match(error.message, / 1 missing on the target, /)
    assert.ok(clock.nowMs() - startMs >= 50_000 && clock.nowMs() - startMs < 130_000, String(clock.nowMs() - startMs))
    const {partitions, rowsCompared} = made.state.verification!
    assert.equal(partitions, 2)
    assert.ok(rowsCompared > sampled + 10 && rowsCompared < sampled + ROWS, `${rowsCompared} and ${sampled}`)
    const told = made.events.flatMap((event) => (event.type === 'progress' ? [event.progress] : []))
    const waiting = told.filter(({text}) => text.startsWith('waiting'))
    assert.deepEqual(
      waiting.map(({text}) => text),
      ['waiting 50 s until what the old primary had under way has arrived'],
    )
    assert.equal(waiting[0]!.etaMs, 50_000)
  })

  it('writes down who ships, where it was asked to compare and found no difference', async () => {
    await open()
    const made = script({verify: 'full'})
    const shippers = {0: '10.0.0.1:34801', 1: '10.0.0.2:34801'}
    made.state.shippers = new Map(Object.entries(shippers).map(([partition, server]) => [Number(partition), server]))
    await run(made)
    const compared = () => made.records.filter(({kind}) => kind === 'compared')
    assert.deepEqual(compared(), [{kind: 'compared', shippers}])
    lose(0)
    assert.ok((await run(made)).error)
    assert.equal(compared().length, 1)
  })

  it('does not wait where it moved long ago, or where all is to be compared for another reason', async () => {
    await open()
    for (const movedAtMs of [undefined, clock.nowMs() - 60_000]) {
      const made = script({verify: 'none'})
      made.state.compareAgain = [0]
      made.state.movedAtMs = movedAtMs
      const startMs = clock.nowMs()
      assert.equal((await run(made)).error, undefined)
      assert.ok(clock.nowMs() - startMs < 1000)
      assert.deepEqual([made.state.compareAgain, [...made.state.comparedAgain!]], [undefined, [0]])
    }
  })

  it('waits for what is late before all rows are compared, too', async () => {
    await open()
    const made = script({verify: 'full'})
    made.state.compareAgain = [0]
    made.state.movedAtMs = clock.nowMs()
    clock.setTimer(59_000, () => lose(0))
    assert.ok(isMigratorError((await run(made)).error, 'verify.different'))
    // All of it once: what was in doubt is a part of it.
    assert.equal(made.state.verification!.rowsCompared, ROWS)
  })

  it('compares anew what moves while it is compared, and gives up where that has no end', async () => {
    for (const [moves, code] of [
      [2, undefined],
      [3, 'verify.restless'],
    ] as const) {
      await open()
      const made = script({verify: 'none'})
      made.state.compareAgain = [1]
      let rounds = 0
      const {emit} = made.context
      made.context.emit = (event) => {
        emit(event)
        if (event.type !== 'progress' || rounds === moves) return
        rounds++
        made.state.compareAgain = [1]
      }

      const {error} = await run(made)
      assert.equal(error?.code, code)
      assert.equal(rounds, moves)
      if (!code) continue
      assert.match(
        error!.message,
        /^partition 1 of users got a new primary on the source each time that the rows there were compared \(3 of 3\)$/,
      )
      assert.match(error!.next!, /Writes were not denied\.$/)
      await clock.run(table.stop())
    }
  })

  it('goes on with the keys that an earlier one has met', async () => {
    await open()
    const made = script({verify: 'full'})
    await run(made)
    const {recentKeys} = made.state
    await run(made)
    assert.equal(made.state.recentKeys, recentKeys)
  })

  it('stops the migration where a row is missing on the target', async () => {
    await open()
    const made = script({verify: 'full'})
    lose(0)
    const {error} = await run(made)
    assert.ok(isMigratorError(error, 'verify.different'))
    assert.match(
      error.message,
      /^rows of users are not the same on both sides: 0 different, 1 missing on the target, 0 only on the target \(60 rows compared\); the first is .* of partition 0 \(missing-on-target\)$/,
    )
    assert.deepEqual(error.facts, {different: 0, missingOnSource: 0, missingOnTarget: 1})
    assert.equal(
      error.next,
      `The copy on b is not sound: remove duplication ${dupid}, drop the copy, and run the same command again. Writes were not denied.`,
    )
    assert.equal(made.state.verification?.rowsCompared, 60)
  })

  it('says whose duplication it was', async () => {
    await open()
    const made = script()
    made.state.adoptedForeign = true
    lose(1)
    const {error} = await run(made)
    assert.match(error!.next!, /is not sound \(the duplication was begun by somebody else\): remove/)
  })

  it('stops the migration where rows could not be judged, or not in time', async () => {
    await open()
    lose(0)
    const made = script({verify: 'full'})
    // Of another duplication nobody tells what was shipped.
    made.state.dupid = 999
    const {error} = await run(made)
    assert.ok(isMigratorError(error, 'verify.unproved'))
    assert.equal(
      error.message,
      '1 row of users could not be judged; 0 different, 0 missing on the target, 0 only on the target (60 rows compared)',
    )
    assert.deepEqual(error.facts, {hot: 0, unresolved: 1})
    assert.match(error.next!, /larger --verify-limit\. Writes were not denied\.$/)
    const hasty = script({limits: {...script().context.request.limits, verifyMs: 0}, verify: 'full'})
    assert.match((await run(hasty)).error!.message, /could not be judged within the time limit; 0 different/)
  })

  it('knows that rows expire once it has met one', async () => {
    await open()
    const made = script({verify: 'full'})
    await run(made)
    assert.equal(made.state.rowsExpire, undefined)
    for (const side of [table.sandbox.source, table.sandbox.target]) {
      const {rows} = side.table('users').partitions[0]!
      const {key, value} = rows.snapshot()[0]!
      rows.put(key, value, 2_000_000_000)
    }

    assert.equal((await run(made)).error, undefined)
    assert.equal(made.state.rowsExpire, true)
  })

  describe('of a table whose rows expire by default', () => {
    const later = async (seconds: number) => {
      await open()
      const {rows} = table.sandbox.source.table('users').partitions[0]!
      const {key, value} = rows.snapshot()[0]!
      rows.put(key, value, 600_000_000)
      copy(0).put(key, value, 600_000_000 + seconds)
      const made = script({verify: 'full'})
      made.source.envs.set('default_ttl', '86400')
      await clock.advance(100_000)
      return made
    }

    it('bears the time between the two sides, and a minute', async () => {
      const made = await later(140)
      assert.equal((await run(made)).error, undefined)
    })

    it('and no more', async () => {
      const made = await later(400)
      assert.ok(isMigratorError((await run(made)).error, 'verify.different'))
    })

    it('and none of it without that setting', async () => {
      const made = await later(140)
      made.source.envs.clear()
      assert.ok(isMigratorError((await run(made)).error, 'verify.different'))
    })
  })
})
