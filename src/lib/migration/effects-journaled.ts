import {messageOf} from '../errors.js'
import {describeEffect, type Effect, type EffectKind, type EffectOutcome, type Effects} from './effects.js'
import type {UnstampedEvent} from './events.js'
import type {Journal} from './journal.js'
import type {MigrationLock} from './lock.js'

/** Effects that make things safe again: a full disk must not keep them from happening. */
const mending: ReadonlySet<EffectKind> = new Set([
  'close-source',
  'lift-deny',
  'lift-target',
  'pause-duplication',
  'resume-duplication',
  'take-commit-away',
])

/** Writes each effect into the journal before and after it is carried out, and tells of it. */
export class JournaledEffects implements Effects {
  /** Sentences of what was done, in order. */
  readonly done: string[] = []

  constructor(
    private readonly inner: Effects,
    private readonly journal: Pick<Journal, 'write'>,
    private readonly table: string,
    private readonly emit: (event: UnstampedEvent) => void,
    /** Must be held before each effect; what mends may take it again when it was lost (I6). */
    private readonly lock?: MigrationLock,
  ) {}

  async perform(effect: Effect, signal: AbortSignal): Promise<EffectOutcome> {
    const sentence = describeEffect(effect, this.table)
    await (mending.has(effect.kind) ? this.lock?.regain(signal) : this.lock?.check(signal))
    await this.write({effect, kind: 'before'}, mending.has(effect.kind))
    this.emit({effect, sentence, state: 'begin', type: 'effect'})
    let outcome: EffectOutcome
    try {
      outcome = await this.inner.perform(effect, signal)
    } catch (error) {
      this.emit({effect, sentence: `${sentence}: ${messageOf(error)}`, state: 'failed', type: 'effect'})
      await this.write({detail: messageOf(error), effect, kind: 'after', outcome: 'failed'}, true)
      throw error
    }

    this.done.push(sentence)
    this.emit({effect, sentence, state: 'done', type: 'effect'})
    await this.write({effect, kind: 'after', outcome: 'done'}, true)
    return outcome
  }

  /** A record that follows an effect is a convenience: losing it must not undo what was done. */
  private async write(record: Parameters<Journal['write']>[0], tolerant: boolean): Promise<void> {
    try {
      await this.journal.write(record)
    } catch (error) {
      if (!tolerant) throw error
      this.emit({code: 'journal.write_failed', message: messageOf(error), type: 'warning'})
    }
  }
}
