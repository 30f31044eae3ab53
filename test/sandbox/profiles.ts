import type {RangeMs} from './random.js'

/** `2.5`: the code's defaults, as most of measured.md; `2.5-stock`: group check of 100 s as in the stock config file. */
export type Profile = '2.4' | '2.5' | '2.5-stock' | 'master'

/** Every duration of a simulated cluster, in milliseconds. */
export interface Timers {
  /** Periodic checkpoint of each replica; the measured bed had 100 s. */
  checkpointIntervalMs: number
  /** How long an emergency checkpoint takes; with it the stages of a duplication fall as in measured.md §4. */
  checkpointMs: number
  /** From losing the meta leader to refusing everything (measured.md §10b). */
  disconnectMs: RangeMs
  /** `dup sync` of each replica server (protocol.md §12). */
  dupSyncMs: number
  /** K is stored on the meta at most this often per partition (protocol.md §4.2). */
  dupProgressMinUpdateMs: number
  /** From creation to the primaries of a table that copies a checkpoint (measured.md §4). */
  followerPrimaryMs: RangeMs
  /** Step in which metas add secondaries (measured.md §0). */
  guardianStepMs: number
  /** From a leader's death to the follower's takeover (measured.md §10). */
  leaderTakeoverMs: RangeMs
  /** A meta that starts while no other waits to lead (measured.md §5: 1.5 s). */
  loneLeaderStartMs: number
  /** From a leader's arrival to serving again (measured.md §10b: 3 to 10 s). */
  reconnectMs: RangeMs
  /** Wait of a log reader that found nothing (protocol.md §12). */
  loadDelayMs: number
  /** Refresh of perf counters. */
  perfCounterMs: number
  /** From a request for a mutation to its commit; 0 commits at once. */
  prepareMs: number
  /** From creation to primaries (measured.md §0; master: 4.1 s). */
  primaryMs: RangeMs
  /** A restarted replica server holds its replicas again after this (measured.md §10). */
  relearnMs: RangeMs
  /** A dead replica server's partitions get other primaries after this (measured.md §10). */
  replaceDeadMs: RangeMs
  /** Life of a scan context (protocol.md §8.4). */
  scanContextMs: number
  /** Retry of a failed DUPLICATE. */
  shipRetryMs: number
  /** RPC timeout of DUPLICATE (protocol.md §12). */
  shipTimeoutMs: number
  /** A dead replica server is listed unalive after this (measured.md §10). */
  unaliveMs: number
}

/** Settings of the servers' config files that matter here; names as in the file. */
export interface Flags {
  config_sync_interval_ms: number
  duplicate_log_batch_bytes: number
  duplication_enabled: boolean
  empty_write_disabled: boolean
  group_check_interval_ms: number
  max_allowed_write_size: number
  /** Fewer replicas than this refuse writes with ERR_NOT_ENOUGH_MEMBER; 1 as in the measured bed. */
  mutation_2pc_min_replica_count: number
}

/** What differs between the versions. */
export interface Traits {
  /** A name and not an ip in `server`, `primary_meta_server`, HTTP texts; host_port fields (measured-master.md §8). */
  hostNames: boolean
  isMaster: boolean
  /** Names of flags that are in the config file but not registered (protocol.md §13: 2.4.0). */
  unregisteredFlags: string[]
  /** The last committed mutation can be shipped before a later one is logged (protocol.md §4.2). */
  shipsLastMutation: boolean
  version: string
  gitCommit: string
  /** `/updateConfig` of the sync interval reaches its timer (measured-master.md §1). */
  syncIntervalIsMutable: boolean
  /** only_return_count of scans (protocol.md §8.4). */
  countsScans: boolean
}

export interface ProfileSpec {
  flags: Flags
  timers: Timers
  traits: Traits
}

const timers: Timers = {
  checkpointIntervalMs: 100_000,
  checkpointMs: 12_000,
  disconnectMs: [5800, 6800],
  dupProgressMinUpdateMs: 5000,
  dupSyncMs: 10_000,
  followerPrimaryMs: [8500, 9500],
  guardianStepMs: 10_000,
  leaderTakeoverMs: [38_000, 42_000],
  loadDelayMs: 100,
  loneLeaderStartMs: 1500,
  perfCounterMs: 10_000,
  prepareMs: 0,
  primaryMs: [5000, 9000],
  reconnectMs: [3000, 10_000],
  relearnMs: [5500, 7500],
  replaceDeadMs: [8600, 8700],
  scanContextMs: 300_000,
  shipRetryMs: 1000,
  shipTimeoutMs: 100_000,
  unaliveMs: 21_000,
}

const flags: Flags = {
  config_sync_interval_ms: 30_000,
  duplicate_log_batch_bytes: 4096,
  duplication_enabled: true,
  empty_write_disabled: false,
  group_check_interval_ms: 10_000,
  max_allowed_write_size: 1 << 20,
  mutation_2pc_min_replica_count: 1,
}

const traits: Traits = {
  countsScans: true,
  gitCommit: '0ca31b70eac7321bb17fb034105695597245d47b',
  hostNames: false,
  isMaster: false,
  shipsLastMutation: false,
  syncIntervalIsMutable: true,
  unregisteredFlags: [],
  version: '2.5.0',
}

const specs: Record<Profile, ProfileSpec> = {
  '2.4': {
    flags,
    timers,
    traits: {
      ...traits,
      countsScans: false,
      gitCommit: '8bdca79a7f871e91283bd0270e5bd7913d8c295e',
      syncIntervalIsMutable: false,
      unregisteredFlags: ['config_sync_interval_ms', 'group_check_interval_ms'],
      version: '2.4.0',
    },
  },
  '2.5': {flags, timers, traits},
  '2.5-stock': {flags: {...flags, group_check_interval_ms: 100_000}, timers, traits},
  master: {
    flags: {...flags, group_check_interval_ms: 100_000},
    timers: {...timers, primaryMs: [4000, 4200]},
    traits: {
      ...traits,
      gitCommit: 'db756dcdf24e2af6169659a67548501ed61f106c',
      hostNames: true,
      isMaster: true,
      shipsLastMutation: true,
      syncIntervalIsMutable: false,
      version: '2.6.0-SNAPSHOT',
    },
  },
}

export function profileSpec(profile: Profile): ProfileSpec {
  return specs[profile]
}
