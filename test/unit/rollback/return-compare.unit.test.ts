import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {ExitCode} from '../../../src/lib/exit-codes.js'
import {compareDenied, compareLive} from '../../../src/lib/migration/rollback/return.js'
import {type Rows, ScriptedReturn} from '../../support/scripted-return.js'

const many = (from: number, to: number): Rows =>
  Object.fromEntries(Array.from({length: to - from}, (_, index) => [`row${from + index}`, 'x']))

/** Both sides can be read. */
function readable(scene: ScriptedReturn): ScriptedReturn {
  scene.become('source', 'reconfig*write')
  return scene
}

describe('a return compares both sides', () => {
  it('all rows of them, and tells how many', async () => {
    const scene = readable(new ScriptedReturn())
    assert.equal(await scene.run(compareLive), '3 rows are the same on both sides')
    assert.equal(await scene.run(compareDenied), '3 rows are the same on both sides, and nobody writes')
    assert.deepEqual(scene.script.performed, [])
    scene.rows.source = [{one: '1'}, {}]
    scene.rows.target = [{one: '1'}, {}]
    assert.equal(await scene.run(compareLive), '1 row is the same on both sides')
    assert.equal(await scene.run(compareDenied), '1 row is the same on both sides, and nobody writes')
  })

  it('and tells how far it is', async () => {
    const scene = readable(new ScriptedReturn())
    scene.rows.target[1] = {two: 'other', zwei: 'other'}
    await scene.error(compareLive)
    const {reports} = scene.script
    assert.ok(
      reports.some(({text}) => text === '3 rows compared, 2 differ'),
      reports.map(({text}) => text).join('\n'),
    )
    assert.deepEqual(reports.at(-1), {...reports.at(-1), partitionCount: 2, partitionsDone: 2})
  })

  it('and says of one that differs: one', async () => {
    const scene = readable(new ScriptedReturn())
    scene.rows.target[1] = {two: 'other', zwei: '2'}
    await scene.error(compareLive)
    assert.ok(scene.script.reports.some(({text}) => text === '3 rows compared, 1 differs'))
  })

  it('and ends where a write would be lost, naming the ways', async () => {
    const scene = readable(new ScriptedReturn())
    scene.rows.source = [
      {here: 'x', one: '1'},
      {two: '2', zwei: '2'},
    ]
    scene.rows.target = [
      {one: 'other', there: 'x', there2: 'x', there3: 'x'},
      {two: 'other', zwei: '2'},
    ]
    for (const step of [compareLive, compareDenied]) {
      const error = await scene.error(step)
      assert.deepEqual(
        [error.code, error.message, error.exitCode, error.facts, error.next],
        [
          'rollback.would_lose',
          '6 rows of users would be lost by a return: 3 only on b, 2 different, 1 gone there, 0 changing while being read',
          ExitCode.refused,
          {different: 2, hot: 0, missingOnSource: 3, missingOnTarget: 1, unresolved: 0},
          'b goes on serving. What is left of the migration, and the command that finishes it: pegasus table:migrate-status -t users. To go back all the same and lose what was written there: --allow-data-loss.',
        ],
      )
    }
  })

  it('and stops at a thousand: at least so many would be lost', async () => {
    const scene = readable(new ScriptedReturn({partitionCount: 12}))
    scene.have(12, {source: {}, target: many(0, 400)})
    scene.scanMs = 60_000
    const error = await scene.error(compareLive)
    assert.match(error.message, /^at least /)
    const [, rows] = /^at least ([\d,]+) rows of users would be lost by a return/.exec(error.message)!
    const count = Number(rows!.replaceAll(',', ''))
    assert.ok(count >= 1000 && count < 12 * 400, error.message)
  })

  it('and says so too where not all of them were proved', async () => {
    const scene = readable(new ScriptedReturn({partitionCount: 1}))
    scene.have(1, {source: {one: '1', two: '2'}, target: {one: 'other', two: '2'}})
    let value = 0
    scene.onScan = (side) => {
      if (side === 'target') scene.rows.target[0] = {one: 'other', two: `changes ${value++}`}
    }

    const error = await scene.error(compareLive)
    assert.match(error.message, /^at least 1 row of users would be lost by a return: 0 only on b, 1 different/)
    assert.equal(error.facts.unresolved, 1)
  })

  it('and does not take a row that changes all the while for one that is the same', async () => {
    const scene = readable(new ScriptedReturn())
    let value = 0
    scene.onScan = (side) => {
      if (side === 'source') scene.rows.source[0] = {one: `changes ${value++}`}
    }

    const error = await scene.error(compareLive)
    assert.deepEqual(
      [error.code, error.message.split(': ')[1]],
      ['rollback.would_lose', '0 only on b, 0 different, 0 gone there, 1 changing while being read'],
    )
    assert.ok(error.message.startsWith('1 row of users'))
  })

  it('and takes an hour for it where nobody is kept from writing', async () => {
    const scene = readable(new ScriptedReturn())
    scene.scanMs = 1_800_000
    assert.equal(await scene.run(compareLive), '3 rows are the same on both sides')
  })

  it('within the bound where nobody may write, what is needed to open a side again left aside', async () => {
    const scene = readable(new ScriptedReturn({}, {maxWriteDenyMs: 100_000}))
    scene.denyBoth()
    await scene.script.clock.advance(10_000)
    scene.scanMs = 200_000
    const error = await scene.error(compareDenied)
    assert.deepEqual(
      [error.code, error.message, error.next],
      [
        'rollback.bound_reached',
        'both sides of users could not be compared within the bound of 100 s',
        'The target goes on serving. Run it again with a larger --max-write-deny.',
      ],
    )
    // 100 s less the config sync of 30 s and a second.
    assert.equal(scene.script.clock.nowMs(), 69_000)
  })

  it('and counts the bound from now where it denied nothing itself', async () => {
    const scene = readable(new ScriptedReturn({}, {maxWriteDenyMs: 100_000}))
    await scene.script.clock.advance(50_000)
    scene.scanMs = 200_000
    await scene.error(compareDenied)
    assert.equal(scene.script.clock.nowMs(), 50_000 + 69_000)
  })

  it('and gives up at once when the bound is over', async () => {
    const scene = readable(new ScriptedReturn({}, {maxWriteDenyMs: 100_000}))
    scene.denyBoth()
    await scene.script.clock.advance(90_000)
    scene.scanMs = 1000
    assert.equal((await scene.error(compareDenied)).code, 'rollback.bound_reached')
    assert.equal(scene.script.clock.nowMs(), 90_001)
  })

  it('and proves nothing where the time did not last for all of them', async () => {
    const scene = readable(new ScriptedReturn({partitionCount: 12}))
    scene.have(12, {source: {one: '1'}, target: {one: '1'}})
    // The first partitions take a whole day, so that no time is left for the others.
    scene.scanMs = 12 * 3_600_000
    const error = await scene.error(compareLive)
    assert.deepEqual(
      [error.code, error.message, error.exitCode, error.next],
      [
        'rollback.unproved',
        'it could not be proved within the time that nothing of users would be lost: 0 rows open, not all were compared',
        ExitCode.refused,
        'b goes on serving. Give it more time: --max-write-deny.',
      ],
    )
  })

  it('and proves nothing where one row was never read the same way twice', async () => {
    const scene = readable(new ScriptedReturn())
    let value = 0
    scene.onScan = (side) => {
      if (side === 'target') scene.rows.target[0] = {one: `changes ${value++}`}
    }

    const error = await scene.error(compareLive)
    assert.deepEqual(
      [error.code, error.message, error.facts.unresolved],
      [
        'rollback.unproved',
        'it could not be proved within the time that nothing of users would be lost: 1 row open',
        1,
      ],
    )
  })

  it('and ends with the signal', async () => {
    const scene = readable(new ScriptedReturn())
    scene.scanMs = 10_000
    const why = new MigratorError('stopped', 'Ctrl-C')
    scene.script.clock.setTimer(1000, () => scene.script.abort.abort(why))
    assert.equal(await scene.error(compareLive), why)
    assert.equal(scene.script.clock.nowMs(), 1000)
  })

  it('and says which side could not be read', async () => {
    for (const side of ['source', 'target'] as const) {
      const scene = readable(new ScriptedReturn())
      scene.script[side].primaries = [null, null]
      const error = await scene.error(compareLive)
      assert.equal(error.code, 'verify.unreadable')
      assert.match(error.message, new RegExp(`could not be read on the ${side} for 90 s`))
    }
  })
})
