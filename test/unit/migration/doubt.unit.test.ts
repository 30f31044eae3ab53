import assert from 'node:assert/strict'

import {isMigratorError, type MigratorError} from '../../../src/lib/errors.js'
import {
  describeSkipping,
  doubtCopy,
  doubtMoved,
  doubtPartitions,
  doubtServers,
  doubtSkipping,
  maySkip,
  recallShippers,
  refuseFailMode,
  rememberShippers,
  waitForLateOnes,
} from '../../../src/lib/migration/doubt.js'
import {findEntry} from '../../../src/lib/migration/phases/duplicate.js'
import {readPrimaries} from '../../../src/lib/migration/proof/primaries.js'
import {readShipping} from '../../../src/lib/migration/proof/shipping.js'
import {DuplicationFailMode, DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {FIRST, ScriptedMigration, SECOND} from '../../support/scripted-migration.js'

const THIRD = '10.0.0.3:34801'

/** What the migration makes of where the primaries are now. */
async function look(script: ScriptedMigration): Promise<number[] | undefined> {
  const {context, state} = script
  const {primaries} = await readPrimaries(context.source, 'users', context.signal)
  doubtMoved(context, primaries)
  return state.compareAgain
}

const warnings = ({events}: ScriptedMigration) =>
  events.flatMap((event) => (event.type === 'warning' ? [[event.code, event.message]] : []))

describe('a primary of the source that moves while it ships', () => {
  it('is nothing where it is seen for the first time, or again', async () => {
    const script = new ScriptedMigration()
    assert.equal(await look(script), undefined)
    assert.equal(await look(script), undefined)
    assert.deepEqual(warnings(script), [])
    assert.equal(script.state.movedAtMs, undefined)
  })

  it('is nothing where only another replica came or went', async () => {
    const script = new ScriptedMigration()
    await look(script)
    script.source.ballots = [4, 9]
    assert.equal(await look(script), undefined)
  })

  it('brings all rows of its partition into doubt, once', async () => {
    const script = new ScriptedMigration()
    await look(script)
    await script.clock.advance(7000)
    script.source.primaries = [FIRST, THIRD]
    assert.deepEqual(await look(script), [1])
    assert.equal(script.state.movedAtMs, script.clock.nowMs())
    assert.deepEqual(warnings(script), [
      [
        'shipping.moved',
        'new primary of partition 1 on the source: what the old one had under way may arrive late; all rows there will be compared',
      ],
    ])
    script.state.compareAgain = undefined
    assert.equal(await look(script), undefined)
    assert.equal(warnings(script).length, 1)
  })

  it('is added to what is in doubt already', async () => {
    const script = new ScriptedMigration()
    await look(script)
    doubtPartitions(script.state, [1])
    script.source.primaries = [SECOND, THIRD]
    assert.deepEqual(await look(script), [0, 1])
  })

  it('is left to the drain while writes are denied, and not forgotten when they are allowed again', async () => {
    const script = new ScriptedMigration()
    await look(script)
    script.state.denySet = true
    script.source.primaries = [FIRST, THIRD]
    assert.equal(await look(script), undefined)
    script.state.denySet = false
    assert.deepEqual(await look(script), [1])
  })

  it('is seen by the next run, too, where rows were compared before', async () => {
    const first = new ScriptedMigration()
    await rememberShippers(first.context)
    assert.deepEqual(first.records, [], 'nothing is known yet')
    await look(first)
    await rememberShippers(first.context)
    assert.deepEqual(first.records, [{kind: 'compared', shippers: {0: FIRST, 1: SECOND}}])

    const next = new ScriptedMigration()
    next.context.hints.shippers = {0: FIRST, 1: SECOND}
    recallShippers(next.context)
    next.source.primaries = [FIRST, THIRD]
    assert.deepEqual(await look(next), [1])

    for (const spoil of ['adopted', 'unknown']) {
      const other = new ScriptedMigration()
      if (spoil === 'adopted') {
        other.state.adoptedForeign = true
        other.context.hints.shippers = {0: FIRST, 1: SECOND}
      }

      recallShippers(other.context)
      other.source.primaries = [FIRST, THIRD]
      assert.equal(await look(other), undefined, spoil)
    }
  })

  it('is waited for, up to a minute from when it was seen', async () => {
    const script = new ScriptedMigration()
    const {clock, context, state} = script
    const tookMs = async () => {
      const startMs = clock.nowMs()
      await clock.run(waitForLateOnes(context, script.report))
      return clock.nowMs() - startMs
    }

    assert.equal(await tookMs(), 0)
    state.movedAtMs = clock.nowMs()
    assert.equal(await tookMs(), 60_000)
    assert.equal(await tookMs(), 0)
    state.movedAtMs = clock.nowMs() - 59_000
    assert.equal(await tookMs(), 1000)
    assert.deepEqual(
      script.reports.map(({etaMs}) => etaMs),
      [60_000, 1000],
    )
  })

  it('is waited for no longer than the run lasts', async () => {
    const script = new ScriptedMigration()
    script.state.movedAtMs = script.clock.nowMs()
    script.clock.setTimer(5000, () => script.abort.abort(new Error('stop')))
    await assert.rejects(script.clock.run(waitForLateOnes(script.context, script.report)), /stop/)
    assert.equal(script.clock.nowMs(), 5000)
  })
})

describe('a copy that comes into doubt', () => {
  it('is told once, and written down for later runs', async () => {
    const script = new ScriptedMigration()
    await doubtCopy(script.context, 'something happened')
    await doubtCopy(script.context, 'something else')
    assert.equal(script.state.fullVerifyBecause, 'something happened')
    assert.deepEqual(warnings(script), [['shipping.doubtful', 'something happened; all rows will be compared']])
    assert.deepEqual(script.records, [{kind: 'doubt', reason: 'something happened'}])
  })

  it('is known to this run where it cannot be written down, or there is no journal', async () => {
    const full = new ScriptedMigration()
    full.failing('journal doubt', 1, new Error('no space'))
    await doubtCopy(full.context, 'a')
    assert.equal(full.state.fullVerifyBecause, 'a')
    assert.deepEqual(warnings(full).at(-1), ['journal.write_failed', 'no space'])
    const without = new ScriptedMigration({}, {journal: undefined})
    await doubtCopy(without.context, 'b')
    assert.deepEqual([without.state.fullVerifyBecause, warnings(without).length], ['b', 1])
  })
})

describe('the fail mode of the duplication', () => {
  const FAIL_SKIP = {failMode: DuplicationFailMode.FAIL_SKIP}
  const FAIL_FAST = {failMode: DuplicationFailMode.FAIL_FAST}

  async function judged(entry: object) {
    const script = new ScriptedMigration()
    script.source.status = DuplicationStatus.DS_LOG
    script.source.entry = entry
    const found = await findEntry(script.context)
    const error = await refuseFailMode(script.context, found).then(
      () => undefined,
      (error: MigratorError) => error,
    )
    return {error, found, script}
  }

  it('is what it is made with, or is not told at all', async () => {
    for (const entry of [{}, {failMode: DuplicationFailMode.FAIL_SLOW}]) {
      const {error, found, script} = await judged(entry)
      assert.equal(error, undefined)
      assert.deepEqual([maySkip(found), script.events], [false, []])
    }
  })

  it('stops the migration where files are skipped, and brings the copy into doubt', async () => {
    const {error, found, script} = await judged(FAIL_SKIP)
    assert.ok(maySkip(found))
    assert.ok(isMigratorError(error, 'duplicate.fail_mode'))
    assert.equal(
      error.message,
      'somebody set the fail mode of duplication 7 of users to FAIL_SKIP: log files that a server cannot read are left out, and what was in them is missing on the target',
    )
    assert.deepEqual(error.facts, {dupid: 7, failMode: 'FAIL_SKIP'})
    assert.equal(
      error.next,
      'In the Pegasus shell on the source: set_dup_fail_mode users 7 slow. Then run the same command again: it goes on from here and compares all rows.',
    )
    assert.equal(script.state.fullVerifyBecause, describeSkipping(7))
    assert.match(describeSkipping(7), /^the fail mode of duplication 7 was FAIL_SKIP/)
  })

  it('stops the migration where servers abort, and nothing is in doubt', async () => {
    const {error, script} = await judged(FAIL_FAST)
    assert.match(error!.message, /to FAIL_FAST: servers abort when a log cannot be read$/)
    assert.match(error!.next!, /it goes on from here\.$/)
    assert.equal(script.state.fullVerifyBecause, undefined)
  })

  it('has a number where it has no name', async () => {
    const {error} = await judged({failMode: 9})
    assert.match(error!.message, /of users to 9: servers abort/)
  })

  it('is believed of the servers too: one may skip while the meta says otherwise', async () => {
    for (const [failMode, because] of [
      ['FAIL_SLOW', undefined],
      ['FAIL_SKIP', describeSkipping(7)],
    ] as const) {
      const script = new ScriptedMigration()
      script.source.status = DuplicationStatus.DS_LOG
      script.source.failMode = failMode
      const {context} = script
      const view = await readShipping({
        cluster: context.source,
        decrees: false,
        dupid: 7,
        generation: '2.5',
        signal: context.signal,
        table: 'users',
      })
      await doubtSkipping(context, view)
      assert.equal(script.state.fullVerifyBecause, because)
    }
  })
})

describe('mutations that servers count as lost', () => {
  const counter = (partition: number, appId = 2) =>
    `replica*eon.replica*dup_recent_mutation_loss_count@${appId}.${partition}`
  const metric = (partition: string, figure?: number) => ({
    attributes: new Map([['partition_id', partition]]),
    id: '',
    type: 'replica',
    values: new Map(figure === undefined ? [] : [['dup_recent_lost_mutations', figure]]),
  })
  const reason = (which: string) =>
    `the servers count mutations of ${which} that they did not find in their logs and did not ship`

  async function looked(script: ScriptedMigration): Promise<string | undefined> {
    script.state.fullVerifyBecause = undefined
    await doubtServers(script.context)
    return script.state.fullVerifyBecause
  }

  it('bring the copy into doubt, once for each new figure', async () => {
    const script = new ScriptedMigration()
    const {counters} = script.source
    counters.set(counter(0), 0)
    assert.equal(await looked(script), undefined)
    // Each server tells all of them here; only the primary of a partition is asked for it.
    counters.set(counter(1), 3)
    counters.set(counter(0), 2)
    counters.set(counter(0, 22), 9)
    assert.equal(await looked(script), reason('partitions 0, 1'))
    assert.deepEqual(
      [...script.state.losses!].sort(([a], [b]) => a - b),
      [
        [0, 2],
        [1, 3],
      ],
    )
    assert.equal(await looked(script), undefined)
    counters.set(counter(1), 4)
    assert.equal(await looked(script), reason('partition 1'))
    assert.deepEqual(script.asked.filter((asked) => asked.startsWith('source counters')).slice(0, 2), [
      `source counters ${FIRST}`,
      `source counters ${SECOND}`,
    ])
  })

  it('are metrics on master', async () => {
    const script = new ScriptedMigration()
    script.source.generation = 'master'
    assert.equal(await looked(script), undefined)
    script.source.metrics = [metric('0'), metric('1', 5), metric('8', 1)]
    assert.equal(await looked(script), reason('partition 1'))
    assert.ok(script.asked.includes(`source metrics ${FIRST} 2 dup_recent_lost_mutations`))
    assert.equal(
      script.asked.some((asked) => asked.startsWith('source counters')),
      false,
    )
  })
})
