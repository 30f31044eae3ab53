import type {PhaseId} from '../migration/events.js'
import {formatSeconds} from './text.js'

/** What the screen knows when somebody thinks of leaving. */
export interface Moment {
  isDenied: boolean
  /** Whether the target serves. */
  isHandedOver: boolean
  /** Whether a first signal was heard. */
  isStopping: boolean
  /** The phase that runs; undefined: a deny is being taken back. */
  phase: PhaseId | undefined
  /** How long servers take to hear that writes are allowed again, ms. */
  undoMs?: number
}

/** What Ctrl-C would do now, in some 60 characters. */
export function ctrlCSentence({isDenied, isHandedOver, isStopping, phase, undoMs}: Moment): string {
  if (isStopping) return isDenied ? 'Ctrl-C again: leaves at once, writes stay denied' : 'Ctrl-C again: leaves at once'
  if (isHandedOver) return 'Ctrl-C: too late to go back, it only finishes'
  if (phase === undefined) return 'Ctrl-C: no need, writes are being allowed again'
  if (isDenied)
    return `Ctrl-C: allows writes again${undoMs === undefined ? '' : ` within ${formatSeconds(undoMs)}`}, keeps the copy`
  if (phase === 'preflight') return 'Ctrl-C: stops; nothing was changed'
  return 'Ctrl-C: stops; writes stay allowed, the copy is kept'
}
