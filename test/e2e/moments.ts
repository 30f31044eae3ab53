import type {EffectKind} from '../../src/lib/migration/effects.js'
import type {MigrationEvent, PhaseId} from '../../src/lib/migration/index.js'

/* Moments of a run, for `Scene.at`. */

type Moment = (event: MigrationEvent) => boolean

/** Just before a phase begins. */
export const beginOf =
  (phase: PhaseId): Moment =>
  (event) =>
    event.type === 'phase-started' && event.phase === phase

/** When a phase is done. */
export const endOf =
  (phase: PhaseId): Moment =>
  (event) =>
    event.type === 'phase-finished' && event.phase === phase

/** Just before something is changed. */
export const before =
  (kind: EffectKind): Moment =>
  (event) =>
    event.type === 'effect' && event.effect.kind === kind && event.state === 'begin'

/** When something was changed. */
export const after =
  (kind: EffectKind): Moment =>
  (event) =>
    event.type === 'effect' && event.effect.kind === kind && event.state === 'done'

/** At the first live figures of a phase that match. */
export const during =
  (phase: PhaseId, text = /./): Moment =>
  (event) =>
    event.type === 'progress' && event.phase === phase && text.test(event.progress.text)

export const warned =
  (code: string): Moment =>
  (event) =>
    event.type === 'warning' && event.code === code
