import assert from 'node:assert/strict'
import type {Effect} from '../../../src/lib/migration/effects.js'
import type {RollbackEvent, RollbackResult} from '../../../src/lib/migration/rollback/index.js'
import type {UnstampedRollbackEvent} from '../../../src/lib/migration/rollback/events.js'
import {RollbackList} from '../../../src/lib/ui/rollback-renderer.js'
import {rollbackSummaryLines} from '../../../src/lib/ui/rollback-summary.js'
import {RollbackWatch} from '../../../src/lib/ui/rollback-watch.js'
import {VerifyList} from '../../../src/lib/ui/verify-renderer.js'
import {VirtualClock} from '../../sandbox/index.js'

const ROOM = {columns: 74, lines: 12}

const effect = (kind: Effect['kind'], state: 'begin' | 'done' | 'would'): UnstampedRollbackEvent => ({
  effect: {kind} as Effect,
  sentence: kind,
  state,
  type: 'effect',
})

class ShownRollback extends RollbackList {
  shown = () => this.lines(ROOM, []).map((line) => (typeof line === 'string' ? line : line.text))
}

class ShownVerify extends VerifyList {
  shown = () => this.lines(ROOM, []).map((line) => (typeof line === 'string' ? line : line.text))
}

describe('the list of a rollback', () => {
  const clock = new VirtualClock()
  let isStopping: boolean
  let list: ShownRollback
  let watch: RollbackWatch

  beforeEach(() => {
    isStopping = false
    watch = new RollbackWatch()
    list = new ShownRollback(clock, {boundMs: 120_000, isStopping: () => isStopping, watch}, {write: () => true})
  })

  function hear(...events: UnstampedRollbackEvent[]): string[] {
    for (const event of events) {
      watch.onEvent({...event, atMs: clock.wallMs()} as RollbackEvent)
      if (event.type === 'progress' || event.type === 'effect')
        list.onEvent({...event, atMs: clock.wallMs()} as RollbackEvent)
    }

    return list.shown()
  }

  it('counts the brief deny down to its bound, and says at every moment what Ctrl-C would do', async () => {
    assert.deepEqual(hear({step: 'allow-writes', type: 'step-started'}), ['Ctrl-C: stops; writes may stay denied then'])
    hear({durationMs: 1, step: 'allow-writes', summary: '', type: 'step-finished'})
    const before = hear({step: 'remove-duplication', type: 'step-started'}, effect('deny', 'would'))
    assert.deepEqual(before, ['Ctrl-C: stops; the same command goes on from there'])
    const text = 'nothing to ship for 3 of 10 s'
    assert.equal(hear({progress: {text}, step: 'remove-duplication', type: 'progress'})[0], text)
    hear(effect('deny', 'begin'))
    await clock.advance(7000)
    const denied = hear(effect('deny', 'done'))
    assert.equal(denied.length, 2, 'what was waited for before is not shown any more')
    assert.match(denied[0]!, /^WRITES DENIED for 7 s, 113 s left {2}█+░+$/)
    assert.equal(denied.at(-1), 'Ctrl-C: allows writes again first, then stops')
    isStopping = true
    assert.equal(list.shown().at(-1), 'Ctrl-C again: leaves at once, writes stay denied')
    // Allowed and proved before the step ends, whichever way it does.
    const after = hear({error: 'stopped', step: 'remove-duplication', type: 'step-failed'})
    assert.deepEqual(after, ['Ctrl-C again: leaves at once'])
  })

  it('does so on the way back from the target too, where there is a point of no return', () => {
    assert.equal(hear({step: 'deny-target', type: 'step-started'}, effect('deny-target', 'begin')).length, 2)
    // What was opened for the look stays denied until it is taken back.
    assert.equal(hear({error: 'differs', step: 'compare-denied', type: 'step-failed'}).length, 2)
    assert.equal(hear(effect('lift-target', 'done')).length, 1)
    hear(
      effect('deny-target', 'begin'),
      {step: 'switch-back', type: 'step-started'},
      effect('switch-node-back', 'done'),
    )
    assert.equal(list.shown().at(-1), 'Ctrl-C: too late to stop, it only finishes')
    assert.match(list.shown()[0]!, /^WRITES DENIED/)
    assert.equal(hear({durationMs: 1, step: 'open-source', summary: '', type: 'step-finished'}).length, 1)
  })

  it('of a comparison says it too', () => {
    const verify = new ShownVerify(clock, {write: () => true}, {isStopping: () => isStopping, table: 'users'})
    assert.deepEqual(verify.shown(), ['Ctrl-C: stops; nothing was changed'])
    isStopping = true
    assert.deepEqual(verify.shown(), ['Ctrl-C again: leaves at once; nothing was changed'])
  })
})

describe('the end of a rollback that was stopped', () => {
  const stopped: RollbackResult = {
    effects: [],
    error: {code: 'ui.signal', facts: {}, message: 'stopped by SIGINT (Ctrl-C)'},
    found: [],
    next: 'Running the same command again goes on from where things are.',
    outcome: 'stopped',
    schema: 1,
    settingsPutBack: [],
    source: {cluster: 'onebox', metas: ['a:1']},
    steps: [
      {durationMs: 1, state: 'done', step: 'prove-writes', summary: ''},
      {durationMs: 1, state: 'failed', step: 'remove-duplication', summary: ''},
    ],
    table: 'users',
    target: {cluster: 'onebox2', metas: ['b:1']},
    warnings: [],
    writableAfterMs: 18,
  }

  it('says what was stopped, where writes are allowed, and the command that goes on', () => {
    assert.deepEqual(rollbackSummaryLines(stopped, 80, 'pegasus table:migrate-rollback -t users'), [
      'Stopped: the rollback of users is not finished; its writes are allowed on onebox.',
      'Stopped by SIGINT (Ctrl-C) in “Remove the duplication”.',
      '  Every primary was proved to accept writes after 18 ms.',
      'Next:',
      '  Running the same command again goes on from where things are.',
      '  pegasus table:migrate-rollback -t users',
    ])
  })

  it('names the target where that serves', () => {
    const unopened = {...stopped}
    delete unopened.writableAfterMs
    const said = (result: RollbackResult) => rollbackSummaryLines(result, 80)[0]
    const back = {
      ...unopened,
      steps: [{durationMs: 1, state: 'failed' as const, step: 'compare-live' as const, summary: ''}],
    }
    assert.match(said(back)!, /allowed on onebox2\.$/)
    const error = {code: 'rollback.switched', facts: {}, message: 'switched'}
    assert.match(said({...unopened, error})!, /allowed on onebox2\.$/)
  })
})
