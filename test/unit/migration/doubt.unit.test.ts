import assert from 'node:assert/strict'

import {doubtMoved, doubtPartitions, waitForLateOnes} from '../../../src/lib/migration/doubt.js'
import {readPrimaries} from '../../../src/lib/migration/proof/primaries.js'
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
