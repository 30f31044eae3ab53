import type {PhaseId} from '../migration/events.js'
import {expectedWindow, type MigrationPlan} from '../migration/plan.js'
import type {Expectation} from './live-view.js'

/** Servers forget a duplication with their next duplication sync, each 10 s (protocol.md §12). */
const FORGET_MS = 20_000

/** How long a phase takes by the servers' own timers; `undo`: taking the deny back. */
export function expectationOf(plan: MigrationPlan | undefined, phase: PhaseId | 'undo'): Expectation | undefined {
  if (!plan) return undefined
  const {drainMs, spreadMs, switchMs, undoMs} = expectedWindow(plan)
  switch (phase) {
    case 'deny': {
      return {maxMs: spreadMs, minMs: 0}
    }

    case 'drain': {
      return {maxMs: drainMs.max, minMs: drainMs.min}
    }

    case 'finish': {
      return {maxMs: FORGET_MS, minMs: 0}
    }

    case 'switch': {
      return {maxMs: switchMs, minMs: 0}
    }

    case 'undo': {
      return {maxMs: undoMs, minMs: 0}
    }

    default: {
      return undefined
    }
  }
}
