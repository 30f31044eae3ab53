import assert from 'node:assert/strict'
import {EventEmitter} from 'node:events'
import {PassThrough} from 'node:stream'
import type {Effect} from '../../../src/lib/migration/effects.js'
import type {MigrationEvent, UnstampedEvent} from '../../../src/lib/migration/events.js'
import {DenyWatch} from '../../../src/lib/ui/deny-watch.js'
import {outliveTerminal} from '../../../src/lib/ui/lost-terminal.js'
import {findTerminal} from '../../../src/lib/ui/prompts.js'
import {chooseRenderer} from '../../../src/lib/ui/renderer.js'
import {SignalWatch} from '../../../src/lib/ui/signals.js'

const at = (atMs: number, event: UnstampedEvent) => ({...event, atMs}) as MigrationEvent
const effect = (
  kind: 'close-source' | 'deny' | 'lift-deny',
  state: 'begin' | 'done' | 'failed' | 'would',
): UnstampedEvent => ({
  effect: {before: null, kind, value: 'x'} as Effect,
  sentence: kind,
  state,
  type: 'effect',
})

describe('the choice of the display', () => {
  const terminal = {columns: 80, isTTY: true}
  const choose = (stdout: {columns?: number; isTTY?: boolean}, env: NodeJS.ProcessEnv = {}, json = false) =>
    chooseRenderer({env, json, stdout})

  it('is the list on a terminal', () => assert.equal(choose(terminal, {CI: 'false', TERM: 'xterm'}), 'list'))

  it('is plain lines where a list cannot be drawn', () => {
    assert.equal(choose({}), 'plain')
    assert.equal(choose({columns: 0, isTTY: true}), 'plain')
    assert.equal(choose(terminal, {TERM: 'dumb'}), 'plain')
    assert.equal(choose(terminal, {CI: '1'}), 'plain')
  })

  it('is silence with --json, everywhere', () => {
    assert.equal(choose(terminal, {}, true), 'silent')
    assert.equal(choose({}, {}, true), 'silent')
  })
})

describe('where a person can be asked', () => {
  const stream = (isTTY: boolean) =>
    Object.assign(new PassThrough(), {isTTY}) as unknown as NodeJS.ReadStream & NodeJS.WriteStream

  it('is a terminal to read from and one to write to', () => {
    const [tty, pipe] = [stream(true), stream(false)]
    assert.equal(findTerminal({stderr: tty, stdin: tty, stdout: pipe})?.output, tty)
    assert.equal(findTerminal({stderr: tty, stdin: pipe, stdout: tty}), undefined)
    assert.equal(findTerminal({stderr: pipe, stdin: tty, stdout: pipe}), undefined)
  })
})

describe('what is known of the write-deny', () => {
  it('holds from before it is set until every primary accepts writes again', () => {
    const watch = new DenyWatch()
    watch.onEvent(at(1, effect('deny', 'would')))
    assert.equal(watch.deniedSinceMs, undefined)
    watch.onEvent(at(2, effect('deny', 'begin')))
    watch.onEvent(at(3, effect('deny', 'failed')))
    assert.equal(watch.deniedSinceMs, 2)
    watch.onEvent(at(4, {reason: '', sentence: '', type: 'undo-started'}))
    watch.onEvent(at(5, effect('lift-deny', 'done')))
    watch.onEvent(at(6, {ok: false, sentence: '', type: 'undo-finished'}))
    assert.equal(watch.deniedSinceMs, 2)
    watch.onEvent(at(7, {ok: true, sentence: '', type: 'undo-finished'}))
    assert.equal(watch.deniedSinceMs, undefined)
  })

  it('ends when the source is closed, and knows of a deny that an earlier run left', () => {
    const watch = new DenyWatch()
    watch.onEvent(at(9000, {phase: 'drain', progress: {deniedForMs: 4000, text: ''}, step: '', type: 'progress'}))
    assert.equal(watch.deniedSinceMs, 5000)
    assert.ok(!watch.isHandedOver)
    watch.onEvent(at(9100, effect('close-source', 'begin')))
    assert.equal(watch.deniedSinceMs, 5000)
    watch.onEvent(at(9200, effect('close-source', 'done')))
    assert.equal(watch.deniedSinceMs, undefined)
    assert.ok(watch.isHandedOver)
    watch.onEvent(at(9300, {reason: '', sentence: '', type: 'undo-started'}))
    assert.equal(watch.deniedSinceMs, 9300)
  })
})

describe('signals', () => {
  function watched() {
    const source = new EventEmitter()
    const told: string[] = []
    const watch = new SignalWatch(source, {
      exit: (code) => told.push(`exit ${code}`),
      onCrash: (error) => told.push(`crash ${(error as Error).message}`),
      onFirst: (signal) => told.push(`first ${signal}`),
      onSecond(signal) {
        told.push(`second ${signal}`)
        if (signal === 'SIGHUP') throw new Error('the terminal is gone')
      },
      onSuspend: () => told.push('suspend'),
    })
    return {source, told, watch}
  }

  it('stop the run first, and leave at once the second time', () => {
    const {source, told, watch} = watched()
    source.emit('SIGINT')
    assert.ok(watch.controller.signal.aborted)
    assert.equal(watch.first, 'SIGINT')
    source.emit('SIGTERM')
    assert.deepEqual(told, ['first SIGINT', 'second SIGTERM', 'exit 143'])
  })

  it('leave even when nothing can be written any more', () => {
    const {source, told} = watched()
    source.emit('SIGHUP')
    assert.throws(() => source.emit('SIGHUP'))
    assert.equal(told.at(-1), 'exit 129')
  })

  it('do not let the process be suspended', () => {
    const {source, told, watch} = watched()
    source.emit('SIGTSTP')
    assert.deepEqual(told, ['suspend'])
    assert.ok(!watch.controller.signal.aborted)
  })

  it('and errors that nobody caught stop the run too', () => {
    const {source, told, watch} = watched()
    source.emit('uncaughtException', new Error('bug'))
    assert.deepEqual(told, ['crash bug'])
    assert.ok(watch.controller.signal.aborted)
    assert.equal(watch.first, undefined)
  })

  it('are left alone afterwards', () => {
    const {source, watch} = watched()
    watch.dispose()
    assert.deepEqual(source.eventNames(), [])
  })
})

describe('a lost terminal', () => {
  it('does not end the process; other errors still do', () => {
    const stream = new PassThrough()
    const heard: string[] = []
    stream.on('error', (error: NodeJS.ErrnoException) => heard.push(error.code ?? error.message))
    outliveTerminal([stream])
    outliveTerminal([stream])
    for (const code of ['EIO', 'EPIPE', 'ENOSPC']) stream.emit('error', Object.assign(new Error('lost'), {code}))
    assert.deepEqual(heard, ['ENOSPC'])
    assert.equal(stream.listenerCount('error'), 1)
  })
})
