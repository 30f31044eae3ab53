import assert from 'node:assert/strict'
import {EventEmitter} from 'node:events'

import {MigratorError} from '../../../src/lib/errors.js'
import {reportAll, type StatusReport} from '../../../src/lib/migration/status/report.js'
import {watchUntilInterrupted} from '../../../src/lib/ui/status-watch.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'

const report = reportAll([], {readAtMs: 0, source: {cluster: 'onebox', metas: []}, tookMs: 1, unread: []})

describe('status --watch', () => {
  function watch(
    output: {isTTY?: boolean; rows?: number},
    lines: string[],
    read?: (signal: AbortSignal) => Promise<StatusReport>,
  ) {
    const clock = new VirtualClock()
    const process = new EventEmitter()
    const written: string[] = []
    const watching = watchUntilInterrupted(
      {
        clock,
        lines: () => lines,
        output: {...output, write: (text) => written.push(text)},
        read: read ?? (async () => report),
      },
      process,
    )
    return {clock, process, watching, written}
  }

  it('reads again every 2 s, until SIGINT ends it without an error', async () => {
    const {clock, process, watching, written} = watch({}, ['one'])
    await clock.advance(5000)
    assert.deepEqual(written, ['one\n\n', 'one\n\n', 'one\n\n'])
    process.emit('SIGINT')
    await clock.run(watching)
    assert.equal(process.listenerCount('SIGINT'), 0)
  })

  it('paints over what it painted, and leaves out what the screen has no room for', async () => {
    const {clock, process, watching, written} = watch({isTTY: true, rows: 3}, ['a', 'b', 'c'])
    await clock.advance(2000)
    process.emit('SIGINT')
    await clock.run(watching)
    assert.deepEqual(written, [
      '\u001B[H\u001B[Ja\u001B[K\nb\u001B[K\n\u001B[J',
      '\u001B[Ha\u001B[K\nb\u001B[K\n\u001B[J',
    ])
  })

  it('ends a reading that is under way', async () => {
    const {clock, process, watching, written} = watch(
      {},
      [],
      (signal) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason))
        }),
    )
    await clock.advance(100)
    process.emit('SIGINT')
    await clock.run(watching)
    assert.deepEqual(written, [])
  })

  it('does not hide an error', async () => {
    const {clock, watching} = watch({}, [], async () => {
      throw new MigratorError('x', 'broken')
    })
    await assert.rejects(clock.run(watching), /broken/)
  })
})
