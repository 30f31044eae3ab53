import type {ClusterOverrides} from '../../sandbox/index.js'

/** Shorter than real servers' own, in the same proportions: a migration takes half a minute. */
export const TIMERS: ClusterOverrides = {
  checkpointMs: 800,
  config_sync_interval_ms: 3000,
  dupProgressMinUpdateMs: 2000,
  dupSyncMs: 1200,
  followerPrimaryMs: [800, 1500],
  group_check_interval_ms: 2000,
  guardianStepMs: 1000,
  leaderTakeoverMs: [12_000, 16_000],
  perfCounterMs: 2000,
  shipTimeoutMs: 20_000,
  unaliveMs: 12_000,
}
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
