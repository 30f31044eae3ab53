import {describeEffect, type Effect, type EffectOutcome, type Effects} from './effects.js'
import type {UnstampedEvent} from './events.js'

/** The dry run's twin of `LiveEffects`: changes nothing, remembers what would have been done, in order. */
export class RecordingEffects implements Effects {
  readonly recorded: Effect[] = []

  constructor(
    private readonly table: string,
    private readonly emit: (event: UnstampedEvent) => void,
  ) {}

  async perform(effect: Effect): Promise<EffectOutcome> {
    this.recorded.push(effect)
    this.emit({effect, sentence: describeEffect(effect, this.table), state: 'would', type: 'effect'})
    return {}
  }
}
