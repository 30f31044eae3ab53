import assert from 'node:assert/strict'
import type {Effect} from '../../../src/lib/migration/effects.js'
import type {MigrationEvent, Progress, UnstampedEvent} from '../../../src/lib/migration/events.js'
import {ctrlCSentence} from '../../../src/lib/ui/ctrl-c.js'
import {bar, History, sparkline} from '../../../src/lib/ui/gauge.js'
import {LiveView, type Surroundings} from '../../../src/lib/ui/live-view.js'

const at = (atMs: number, event: UnstampedEvent) => ({...event, atMs}) as MigrationEvent
const progress = (figures: Partial<Progress>): UnstampedEvent => ({
  phase: 'drain',
  progress: {text: 'draining', ...figures},
  step: '',
  type: 'progress',
})

function shown(view: LiveView, nowMs: number, around: Partial<Surroundings> = {}): string[] {
  return view
    .lines({ctrlC: 'Ctrl-C', notices: [], nowMs, room: {columns: 74, lines: 12}, ...around})
    .map((line) => (typeof line === 'string' ? line : line.text))
}

describe('the lines under the running phase', () => {
  it('tell what, how far, how long still, what is worst, and count down between two events', () => {
    const view = new LiveView()
    for (const [second, lagMutations] of [8000, 4000, 2000].entries())
      view.onEvent(
        at(
          second * 1000,
          progress({etaMs: 9000, lagMutations, partitionCount: 8, partitionsDone: 5, worst: 'partition 3 on a:1'}),
        ),
      )
    const lines = [
      'WRITES DENIED for 6 s, 114 s left  █░░░░░░░░░░░░░░░░░░░',
      'draining',
      '5/8 partitions  █████████████░░░░░░░',
      'lag 2,000 mutations  █▅▃',
      'about 6 s to go',
      'worst: partition 3 on a:1',
      'Ctrl-C',
    ]
    assert.deepEqual(shown(view, 5000, {denied: {boundMs: 120_000, sinceMs: -1000}}), lines)
    assert.deepEqual(shown(view, 14_000), [
      ...lines.slice(1, 4),
      'should be there any moment',
      lines[5],
      'nothing new for 12 s',
      'Ctrl-C',
    ])
  })

  it("take the servers' timers for phases that do not tell how long still", () => {
    const view = new LiveView((phase) => (phase === 'drain' ? {maxMs: 22_000, minMs: 10_000} : undefined))
    view.onEvent(at(0, {phase: 'drain', type: 'phase-started'}))
    assert.deepEqual(shown(view, 1000), ['9 s to 21 s to go', 'Ctrl-C'])
    view.onEvent(at(12_000, progress({})))
    assert.deepEqual(shown(view, 12_000), ['draining', 'at most 10 s to go', 'Ctrl-C'])
    assert.deepEqual(shown(view, 21_900 + 3100)[1], "3 s longer than the servers' timers tell")
    view.onEvent(at(30_000, {phase: 'switch', type: 'phase-started'}))
    assert.deepEqual(shown(view, 30_000), ['Ctrl-C'])
  })

  it('count on the servers only from the deny on: before it a migration may be held for days', () => {
    const view = new LiveView(() => ({maxMs: 6000, minMs: 1000}))
    view.onEvent(at(0, {phase: 'deny', type: 'phase-started'}))
    assert.deepEqual(shown(view, 500), ['Ctrl-C'])
    const effect = {before: null, kind: 'deny', value: 'reconfig*write'} as Effect
    view.onEvent(at(86_400_000, {effect, sentence: 'deny', state: 'begin', type: 'effect'}))
    assert.deepEqual(shown(view, 86_400_000), ['1 s to 6 s to go', 'deny', 'Ctrl-C'])
  })

  it('say when the bound is passed', () => {
    assert.match(shown(new LiveView(), 130_000, {denied: {boundMs: 120_000, sinceMs: 0}})[0]!, /, 10 s OVER {2}█+$/)
  })

  it('show an effect while it is under way and a moment longer', () => {
    const view = new LiveView()
    const effect = (state: 'begin' | 'done'): UnstampedEvent => ({
      effect: {before: null, kind: 'lift-deny'} as Effect,
      sentence: 'lift',
      state,
      type: 'effect',
    })
    view.onEvent(at(0, effect('begin')))
    assert.equal(shown(view, 9000)[0], 'lift')
    view.onEvent(at(9000, effect('done')))
    assert.equal(shown(view, 13_999)[0], 'lift')
    assert.deepEqual(shown(view, 14_000), ['Ctrl-C'])
  })

  it('are no more than there is room for, and Ctrl-C is always among them', () => {
    const view = new LiveView()
    const text = 'DS_APP: the target copies the checkpoint: 0 of 8 partitions have a primary, 0 a secondary too'
    view.onEvent(at(0, progress({lagMutations: 1, partitionCount: 8, text, worst: 'x'})))
    const lines = shown(view, 0, {
      denied: {boundMs: 120_000, sinceMs: -17_000},
      notices: ['notice'],
      room: {columns: 35, lines: 5},
    })
    assert.deepEqual(lines, [
      'WRITES DENIED for 17 s, 103 s left',
      'DS_APP: the target copies the',
      'checkpoint: 0 of 8 partitions have…',
      '0/8 partitions  ░░░░░░░░░░░░░░░░░░░',
      'Ctrl-C',
    ])
  })
})

describe('gauges', () => {
  it('fill up, and are full only when all is done', () => {
    assert.equal(bar(0, 8, 4), '░░░░')
    assert.equal(bar(999, 1000, 4), '███░')
    assert.equal(bar(8, 8, 4), '████')
    assert.equal(bar(1, 0, 4), '░░░░')
  })

  it('draw a figure over time, one sample a second', () => {
    const history = new History()
    for (const [atMs, value] of [
      [0, 1],
      [1000, 100],
      [1500, 70],
      [2000, 0],
    ] as const)
      history.add(value, atMs)
    assert.deepEqual(history.values, [1, 70, 0])
    assert.equal(sparkline(history.values, 24), '▁█▁')
    assert.equal(sparkline([0, 0], 24), '▁▁')
    assert.equal(sparkline([1, 2, 3], 2), '▆█')
  })
})

describe('what Ctrl-C would do now', () => {
  const moment = {isDenied: false, isHandedOver: false, isStopping: false, phase: 'catch-up' as const}
  it('follows what is denied and what is decided', () => {
    assert.equal(ctrlCSentence({...moment, phase: 'preflight'}), 'Ctrl-C: stops; nothing was changed')
    assert.equal(ctrlCSentence(moment), 'Ctrl-C: stops; writes stay allowed, the copy is kept')
    const denied = {...moment, isDenied: true, phase: 'drain' as const, undoMs: 2000}
    assert.equal(ctrlCSentence(denied), 'Ctrl-C: allows writes again within 2 s, keeps the copy')
    assert.equal(ctrlCSentence({...denied, isStopping: true}), 'Ctrl-C again: leaves at once, writes stay denied')
    assert.match(ctrlCSentence({...denied, phase: undefined}), /no need/)
    assert.match(ctrlCSentence({...moment, isHandedOver: true, phase: 'switch'}), /only finishes/)
  })
})
