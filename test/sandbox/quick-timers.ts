import type {ClusterOverrides} from './index.js'

/** Shorter than real servers' own, in the same proportions: where the time itself does not matter. */
export const quickTimers: ClusterOverrides = {
  checkpointMs: 3000,
  config_sync_interval_ms: 6000,
  dupSyncMs: 3000,
  followerPrimaryMs: [2000, 3000],
  group_check_interval_ms: 4000,
  guardianStepMs: 3000,
  perfCounterMs: 4000,
}
