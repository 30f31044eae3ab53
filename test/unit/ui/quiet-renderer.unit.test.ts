import assert from 'node:assert/strict'
import type {MigrationEvent} from '../../../src/lib/migration/events.js'
import {QuietRenderer} from '../../../src/lib/ui/quiet-renderer.js'

describe('QuietRenderer', () => {
  it('tells warnings and what is taken back, escaped, and nothing else', () => {
    let text = ''
    const renderer = new QuietRenderer({
      write(more) {
        text += more
      },
    })
    const events: MigrationEvent[] = [
      {atMs: 1, phase: 'preflight', type: 'phase-started'},
      {atMs: 1, phase: 'catch-up', progress: {text: 'far'}, step: 'wait', type: 'progress'},
      {atMs: 1, code: 'x', message: 'look\u001B[31m', type: 'warning'},
      {atMs: 1, reason: 'the drain took too long', sentence: 'writes are allowed again', type: 'undo-started'},
      {atMs: 1, ok: true, sentence: 'every primary accepts writes', type: 'undo-finished'},
      {atMs: 1, durationMs: 3, phase: 'drain', summary: 'done', type: 'phase-finished'},
    ]
    renderer.start()
    for (const event of events) renderer.onEvent(event)
    assert.equal(
      text,
      [
        String.raw`warning: look\u001b[31m`,
        'taking back, because the drain took too long: writes are allowed again',
        'every primary accepts writes',
        '',
      ].join('\n'),
    )
  })
})
