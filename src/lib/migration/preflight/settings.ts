import type {ConfigDump} from '../../pegasus/config-dump.js'
import type {ServerFacts} from './check.js'

/** The sections of a configuration file that something is judged by. */
const judgedSections = ['duplication-group', 'meta_server', 'pegasus.clusters', 'replication']

/**
 * The judged sections alone: of a hundred servers the whole files, 600 KB each, would stay in memory for as long as
 * the migration runs.
 */
export function judgedPartOf(dump: ConfigDump): ConfigDump {
  // Texts cut out of the answer would keep all of it alive; a clone has texts of its own.
  const sections = structuredClone(new Map(judgedSections.map((name) => [name, dump.section(name)])))
  return {
    get: (section, key) => sections.get(section)?.get(key),
    section: (name) => sections.get(name) ?? new Map(),
  }
}

/** Flags that preflight reads live from each source server, because they can be changed while it runs. */
export const liveFlags = [
  'config_sync_interval_ms',
  'duplicate_log_batch_bytes',
  'empty_write_disabled',
  'group_check_interval_ms',
] as const

/**
 * A setting of `[replication]` on one server: its live value where it is a registered flag, else what the
 * configuration file says; on 2.4 both timers are only there (protocol.md §13). Undefined: it could not be read.
 */
export function settingOf(server: Pick<ServerFacts, 'config' | 'dump'>, name: string): string | undefined {
  return server.config.get(name) ?? server.dump?.get('replication', name)
}

/** As `settingOf`, as a number; undefined when it is none. */
export function numberSettingOf(server: Pick<ServerFacts, 'config' | 'dump'>, name: string): number | undefined {
  const text = settingOf(server, name)?.trim()
  return text && /^\d+$/.test(text) ? Number(text) : undefined
}

/** Ids of clusters as `[duplication-group]` gives them. A name that was only asked for has no value in the dump. */
export function clusterIds(dump: ConfigDump): Map<string, number> {
  const entries = [...dump.section('duplication-group')].filter(([, id]) => id.trim() !== '')
  return new Map(entries.map(([name, id]) => [name, Number(id)]))
}

/** Metas of `cluster` as `[pegasus.clusters]` names them; undefined when it does not. */
export function configuredMetas(dump: ConfigDump, cluster: string): string | undefined {
  return dump.get('pegasus.clusters', cluster)?.trim() || undefined
}

/** The name under which a cluster duplicates: master's `dup_cluster_name`, else `cluster_name` (protocol.md §13). */
export function duplicationNameIn(dump: ConfigDump): string | undefined {
  return (
    dump.get('replication', 'dup_cluster_name')?.trim() || dump.get('replication', 'cluster_name')?.trim() || undefined
  )
}

/** Whether `[replication] <name> = true`. */
export function isOn(dump: ConfigDump, name: string): boolean {
  return dump.get('replication', name)?.trim() === 'true'
}
