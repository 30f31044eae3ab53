import type {PhaseId} from '../../../src/lib/migration/events.js'
import type {ClusterOverrides} from '../../sandbox/index.js'
import type {WorldPlan} from './plan.js'

/** Shorter than real servers' own, in the same proportions: a migration takes half a minute. */
export const TIMERS: ClusterOverrides = {
  checkpointMs: 800,
  config_sync_interval_ms: 2000,
  dupProgressMinUpdateMs: 2000,
  dupSyncMs: 1000,
  followerPrimaryMs: [800, 1500],
  group_check_interval_ms: 2000,
  guardianStepMs: 1000,
  leaderTakeoverMs: [12_000, 16_000],
  perfCounterMs: 1300,
  shipTimeoutMs: 20_000,
  unaliveMs: 12_000,
}
/** As much shorter than the tool's own. */
export const CALM_MS = 250
/** Of the phases. */
export const LIMITS = {
  catchUpMs: 400_000,
  duplicateMs: 400_000,
  finishMs: 120_000,
  preflightMs: 60_000,
  stallMs: 60_000,
  switchMs: 30_000,
  verifyMs: 120_000,
}

const LONG: ReadonlySet<PhaseId> = new Set(['duplicate', 'catch-up'])

/** Writes of the application, per second: while little hangs on their order, one is as good as many. */
export function paceIn(phase: PhaseId, {writesPerSecond}: WorldPlan): number {
  return LONG.has(phase) ? Math.min(writesPerSecond, 0.7) : writesPerSecond
}
