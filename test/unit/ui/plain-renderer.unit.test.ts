import assert from 'node:assert/strict'
import type {MigrationEvent, UnstampedEvent} from '../../../src/lib/migration/events.js'
import {formatFields} from '../../../src/lib/ui/plain-lines.js'
import {PlainRenderer} from '../../../src/lib/ui/plain-renderer.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'

const START_MS = Date.UTC(2026, 10, 22, 8)

function rendered(...events: [number, UnstampedEvent][]): string[] {
  const written: string[] = []
  const renderer = new PlainRenderer(new VirtualClock(), {write: (text) => written.push(text)}, 'users')
  for (const [afterMs, event] of events) renderer.onEvent({...event, atMs: START_MS + afterMs} as MigrationEvent)
  assert.ok(written.every((text) => text.endsWith('\n') && text.indexOf('\n') === text.length - 1))
  return written.map((text) => text.trimEnd())
}

const progress = (text: string, partitionsDone: number, step = 'wait'): UnstampedEvent => ({
  phase: 'drain',
  progress: {partitionCount: 8, partitionsDone, text},
  step,
  type: 'progress',
})

describe('plain lines', () => {
  it('are one line an event, with time, phase and table in front', () => {
    const lines = rendered(
      [0, {phase: 'deny', type: 'phase-started'}],
      [
        250,
        {
          phase: 'deny',
          progress: {
            deniedForMs: 200.4,
            etaMs: 1000,
            lagMutations: 7,
            partitionCount: 8,
            partitionsDone: 5,
            text: 'x "y"',
            worst: 'p3',
          },
          step: 'prove',
          type: 'progress',
        },
      ],
      [3000, {durationMs: 3000, phase: 'deny', summary: '8 partitions', type: 'phase-finished'}],
    )
    assert.deepEqual(lines, [
      '2026-11-22T08:00:00.000Z phase=deny table=users event=started',
      '2026-11-22T08:00:00.250Z phase=deny table=users event=progress step=prove partitions=5/8 lagMutations=7 etaMs=1000 deniedForMs=200 worst=p3 text="x \\"y\\""',
      '2026-11-22T08:00:03.000Z phase=deny table=users event=finished durationMs=3000 summary="8 partitions"',
    ])
  })

  it('tell progress every two seconds, and at once when a partition or a step is done', () => {
    const lines = rendered(
      [0, progress('a', 1)],
      [500, progress('b', 1)],
      [1999, progress('c', 1)],
      [2000, progress('d', 1)],
      [2001, progress('e', 2)],
      [2002, progress('f', 2, 'next')],
    )
    assert.deepEqual(
      lines.map((line) => line.slice(-1)),
      ['a', 'd', 'e', 'f'],
    )
  })

  it('tell the same again only every half minute', () => {
    const events = Array.from({length: 70}, (_, second): [number, UnstampedEvent] => [
      second * 1000,
      progress('same', 1),
    ])
    assert.equal(rendered(...events).length, 3)
  })

  it('leave out checks that are ok', () => {
    const check = (severity: 'ok' | 'warning'): UnstampedEvent => ({
      check: {evidence: 'seen', id: 'a-check', remedy: '', severity, title: 'title'},
      type: 'check',
    })
    assert.deepEqual(
      rendered([0, check('ok')], [0, check('warning')]).map((line) => line.split(' ').slice(1).join(' ')),
      ['table=users event=check check=a-check severity=warning evidence=seen'],
    )
  })

  it('escape what servers say', () => {
    const [line] = rendered([0, {code: 'x', message: '\u001B[2J\nphase=switch', type: 'warning'}])
    assert.ok(line!.endsWith('text="\\u001b[2J\\u000aphase=switch"'), line)
  })

  it('hold lines back while somebody is asked', async () => {
    const written: string[] = []
    const renderer = new PlainRenderer(new VirtualClock(), {write: (text) => written.push(text)}, 'users')
    await renderer.pause(async () => {
      renderer.onEvent({atMs: START_MS, phase: 'drain', type: 'phase-started'})
      assert.deepEqual(written, [])
    })
    assert.equal(written.length, 1)
  })

  it('quote what is not one word', () => {
    assert.equal(formatFields({a: 1, b: undefined, c: '', d: 'x=y', e: 'plain'}), 'a=1 c="" d="x=y" e=plain')
  })
})
