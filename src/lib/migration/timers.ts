import type {MigrationState} from './context.js'
import type {Effect} from './effects.js'
import type {PreflightFacts} from './preflight/check.js'
import {numberSettingOf} from './preflight/settings.js'

/** The source servers' own timers, the slowest of those that host the table; ms. */
export interface ServerTimers {
  /** How long an env may take to reach a server (protocol.md §6.3). */
  configSyncMs: number
  /** How often an idle primary makes an empty write (protocol.md §4.2). */
  groupCheckMs: number
}

/** The defaults of the code (protocol.md §12), where a server does not tell. */
const defaults: ServerTimers = {configSyncMs: 30_000, groupCheckMs: 10_000}

export function timersOf(state: Pick<MigrationState, 'timers'>): ServerTimers {
  return state.timers ?? defaults
}

/**
 * What Preflight read from the servers. An interval that an earlier run lowered is not believed: nobody knows whether
 * it counts already.
 */
export function readTimers(facts: PreflightFacts, changed: readonly Effect[]): ServerTimers {
  const slowest = (name: string, fallbackMs: number) => {
    const values = facts.source.servers
      .map((server) => numberSettingOf(server, name))
      .filter((value) => value !== undefined && value > 0) as number[]
    return values.length > 0 ? Math.max(...values) : fallbackMs
  }

  const lowered = changed
    .filter((effect) => effect.kind === 'set-server-config' && effect.name === 'config_sync_interval_ms')
    .map((effect) => Number('before' in effect ? effect.before : 0))
  return {
    configSyncMs: Math.max(slowest('config_sync_interval_ms', defaults.configSyncMs), ...lowered),
    groupCheckMs: slowest('group_check_interval_ms', defaults.groupCheckMs),
  }
}
