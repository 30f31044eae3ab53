import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {lockLost} from '../../../src/lib/metaproxy/shared-lock.js'
import {JournaledEffects} from '../../../src/lib/migration/effects-journaled.js'
import {type Effect, type EffectKind, effectKinds} from '../../../src/lib/migration/effects.js'
import type {UnstampedEvent} from '../../../src/lib/migration/events.js'
import type {NewRecord} from '../../../src/lib/migration/journal.js'
import type {MigrationLock} from '../../../src/lib/migration/lock.js'

const {signal} = new AbortController()
const deny: Effect = {before: null, kind: 'deny', value: 'reconfig*write'}
const denying = "set replica.deny_client_request=reconfig*write on the source's users: writes are denied from here on"
const lift: Effect = {before: null, kind: 'lift-deny'}
const lifting = "delete replica.deny_client_request from the source's users: writes are allowed again"
const full = new Error('ENOSPC: no space left on device')
const timeout = new MigratorError('rpc.timeout', 'no answer')

/** What makes things safe again, or keeps them so: it happens with a full disk, and takes a lost lock again. */
const mending: ReadonlySet<EffectKind> = new Set([
  'close-source',
  'lift-deny',
  'lift-target',
  'pause-duplication',
  'resume-duplication',
  'take-commit-away',
])
/** Only its kind matters. */
const anEffect = (kind: EffectKind) => ({before: null, dupid: 7, keys: [], kind, value: ''}) as unknown as Effect

/** Effects under a journal, and all that happens with them, in order. */
class Desk {
  readonly events: UnstampedEvent[] = []
  readonly happened: string[] = []
  readonly records: NewRecord[] = []
  /** Called when one of them happens; throws to make it fail. */
  onStep: (step: string) => void = () => {}
  readonly effects: JournaledEffects

  constructor({locked = true} = {}) {
    const asked = (name: string) => async (given: AbortSignal) => {
      assert.equal(given, signal)
      this.step(name)
    }

    const inner = {
      perform: async ({kind}: Effect, given: AbortSignal) => {
        assert.equal(given, signal)
        this.step(kind)
        return {nodeVersion: 5}
      },
    }
    const journal = {
      write: async (record: NewRecord) => {
        this.step(record.kind)
        this.records.push(record)
      },
    }
    const emit = (event: UnstampedEvent) => {
      this.happened.push(event.type === 'effect' ? event.state : event.type)
      this.events.push(event)
    }

    const lock = {check: asked('check'), regain: asked('regain')} as unknown as MigrationLock
    this.effects = new JournaledEffects(inner, journal, 'users', emit, locked ? lock : undefined)
  }

  fails(step: string, error: Error): void {
    const before = this.onStep
    this.onStep = (name) => {
      before(name)
      if (name === step) throw error
    }
  }

  private step(name: string): void {
    this.happened.push(name)
    this.onStep(name)
  }
}

describe('an effect under a journal', () => {
  let desk: Desk

  beforeEach(() => {
    desk = new Desk()
  })

  it('is written down before and after, and told', async () => {
    assert.deepEqual(await desk.effects.perform(deny, signal), {nodeVersion: 5})
    assert.deepEqual(desk.happened, ['check', 'before', 'begin', 'deny', 'done', 'after'])
    assert.deepEqual(desk.records, [
      {effect: deny, kind: 'before'},
      {effect: deny, kind: 'after', outcome: 'done'},
    ])
    assert.deepEqual(desk.events, [
      {effect: deny, sentence: denying, state: 'begin', type: 'effect'},
      {effect: deny, sentence: denying, state: 'done', type: 'effect'},
    ])
  })

  it('is one of those that were done, in their order', async () => {
    for (const effect of [deny, lift]) await desk.effects.perform(effect, signal)
    assert.deepEqual(desk.effects.done, [denying, lifting])
  })

  it('needs no lock where there is none', async () => {
    desk = new Desk({locked: false})
    for (const effect of [deny, lift]) await desk.effects.perform(effect, signal)
    const one = (kind: string) => ['before', 'begin', kind, 'done', 'after']
    assert.deepEqual(desk.happened, [...one('deny'), ...one('lift-deny')])
  })

  it('is written down and told as failed where it failed, and was not done', async () => {
    desk.fails('deny', timeout)
    await assert.rejects(desk.effects.perform(deny, signal), timeout)
    assert.deepEqual(desk.happened, ['check', 'before', 'begin', 'deny', 'failed', 'after'])
    assert.deepEqual(desk.records.at(-1), {detail: 'no answer', effect: deny, kind: 'after', outcome: 'failed'})
    assert.deepEqual(desk.events.at(-1), {
      effect: deny,
      sentence: `${denying}: no answer`,
      state: 'failed',
      type: 'effect',
    })
    assert.deepEqual(desk.effects.done, [])
  })

  describe('where the lock was lost', () => {
    it('does not happen, nor is it told or written, unless it mends', async () => {
      const error = lockLost('users', 'its session expired')
      for (const kind of effectKinds) {
        desk = new Desk()
        desk.fails('check', error)
        const performed = desk.effects.perform(anEffect(kind), signal)
        if (mending.has(kind)) {
          await performed
          assert.deepEqual(desk.happened, ['regain', 'before', 'begin', kind, 'done', 'after'])
        } else {
          await assert.rejects(performed, error)
          assert.deepEqual(desk.happened, ['check'])
        }
      }
    })

    it('does not mend either what is somebody else’s business by now', async () => {
      const error = new MigratorError('lock.held', 'somebody else has it')
      desk.fails('regain', error)
      await assert.rejects(desk.effects.perform(lift, signal), error)
      assert.deepEqual([desk.happened, desk.effects.done], [['regain'], []])
    })
  })

  describe('where the journal cannot be written', () => {
    const warning = {code: 'journal.write_failed', message: full.message, type: 'warning'}

    it('does not happen, nor is it told, unless it mends', async () => {
      for (const kind of effectKinds) {
        desk = new Desk()
        desk.fails('before', full)
        const performed = desk.effects.perform(anEffect(kind), signal)
        if (mending.has(kind)) {
          await performed
          assert.deepEqual(desk.happened, ['regain', 'before', 'warning', 'begin', kind, 'done', 'after'])
          assert.deepEqual(desk.events[0], warning)
        } else {
          await assert.rejects(performed, full)
          assert.deepEqual(desk.happened, ['check', 'before'])
        }
      }
    })

    it('is done if it was done before that, and the loss is told', async () => {
      desk.fails('after', full)
      assert.deepEqual(await desk.effects.perform(deny, signal), {nodeVersion: 5})
      assert.deepEqual(desk.happened, ['check', 'before', 'begin', 'deny', 'done', 'after', 'warning'])
      assert.deepEqual([desk.events.at(-1), desk.effects.done], [warning, [denying]])
    })

    it('fails with its own reason, not with the journal’s', async () => {
      desk.fails('deny', timeout)
      desk.fails('after', full)
      await assert.rejects(desk.effects.perform(deny, signal), timeout)
      assert.deepEqual(desk.happened, ['check', 'before', 'begin', 'deny', 'failed', 'after', 'warning'])
      assert.deepEqual(desk.events.at(-1), warning)
    })
  })
})
