import type {Flags, Traits} from './profiles.js'

/** One registered flag, as `/config` and `/configs` show it. */
export interface Flag {
  description: string
  mutable: boolean
  name: string
  section: string
  type: 'FV_BOOL' | 'FV_INT32' | 'FV_STRING' | 'FV_UINT32' | 'FV_UINT64'
  value: string
}

export interface ConfigSource {
  clusterName: string
  /** `[duplication-group]`: cluster name → id, 1..127. */
  duplicationGroup: Record<string, number>
  flags: Flags
  metaServers: string
  /** `[pegasus.clusters]`: cluster name → metas. */
  pegasusClusters: Record<string, string>
  traits: Traits
}

/** A server's config file as it was loaded, and its flags as they are now. Restarting makes a new one. */
export class ServerConfig {
  readonly flags = new Map<string, Flag>()
  private readonly sections = new Map<string, Map<string, string>>()

  constructor(source: ConfigSource) {
    for (const flag of flagsOf(source)) {
      if (!source.traits.unregisteredFlags.includes(flag.name)) this.flags.set(flag.name, flag)
      this.set(flag.section, flag.name, flag.value)
    }

    this.set('apps..default', 'run', 'true')
    this.set('apps.replica', 'type', 'replica')
    this.set('meta_server', 'server_list', source.metaServers)
    this.set('security', 'enable_auth', 'false')
    for (const [name, id] of Object.entries(source.duplicationGroup)) this.set('duplication-group', name, String(id))
    for (const [name, metas] of Object.entries(source.pegasusClusters)) this.set('pegasus.clusters', name, metas)
  }

  get(section: string, key: string): string | undefined {
    return this.sections.get(section)?.get(key)
  }

  set(section: string, key: string, value: string): void {
    const entries = this.sections.get(section) ?? new Map<string, string>()
    this.sections.set(section, entries.set(key, value))
  }

  delete(section: string, key: string): void {
    this.sections.get(section)?.delete(key)
  }

  /** The flag's value now; what 2.4 does not register comes from the file. */
  number(name: keyof Flags): number {
    return Number(this.flags.get(name)?.value ?? this.get('replication', name))
  }

  boolean(name: keyof Flags): boolean {
    return (this.flags.get(name)?.value ?? this.get('replication', name)) === 'true'
  }

  /** Id of a cluster in `[duplication-group]`. */
  clusterId(name: string): number | undefined {
    const id = this.get('duplication-group', name)
    return id === undefined ? undefined : Number(id)
  }

  /** Whether any cluster of `[duplication-group]` has this id; else DUPLICATE is refused (protocol.md §3.12). */
  knowsClusterId(id: number): boolean {
    return [...(this.sections.get('duplication-group')?.values() ?? [])].some((v) => Number(v) === id)
  }

  /** Answer of the remote command `config-dump`: the file, not later changes (measured.md §12). */
  dump(): string {
    const names = [...this.sections.keys()].sort()
    return names
      .map((name) => {
        const entries = [...this.sections.get(name)!].sort(([a], [b]) => (a < b ? -1 : 1))
        const lines = entries.map(([key, value]) => `; ${this.flags.get(key)?.description ?? ''}\n${key} = ${value}\n`)
        return `[${name}]\n${lines.join('\n')}\n`
      })
      .join('\n')
  }

  /** `/updateConfig`: every answer has status 200, the text tells (measured.md §1). */
  update(args: ReadonlyMap<string, string>): {changed?: string; status: string} {
    const [entry, ...more] = args
    if (!entry || more.length > 0) {
      return {status: 'ERR_INVALID_PARAMETERS: there should be exactly one config to be updated once'}
    }

    const [name, value] = entry
    const flag = this.flags.get(name)
    if (!flag) return {status: `ERR_OBJECT_NOT_FOUND: ${name} is not found`}
    if (!flag.mutable) return {status: `ERR_INVALID_PARAMETERS: ${name} is not mutable`}
    const wanted = flag.type === 'FV_BOOL' ? /^(true|false)$/ : flag.type === 'FV_STRING' ? /^/ : /^\d+$/
    if (!wanted.test(value)) return {status: `ERR_INVALID_PARAMETERS: ${value} is invalid`}
    if (name === 'config_sync_interval_ms' && Number(value) === 0) {
      return {status: 'ERR_INVALID_PARAMETERS: value validation failed'}
    }

    flag.value = value
    return {changed: name, status: 'ERR_OK'}
  }

  describe(flag: Flag): Record<string, string> {
    return {
      name: flag.name,
      section: flag.section,
      type: flag.type,
      tags: flag.mutable ? 'flag_tag::FT_MUTABLE' : '',
      description: flag.description,
      value: flag.value,
    }
  }
}

function flagsOf({clusterName, flags, traits}: ConfigSource): Flag[] {
  const flag = (
    name: string,
    type: Flag['type'],
    value: boolean | number | string,
    mutable: boolean,
    description: string,
    section = 'replication',
  ): Flag => ({description, mutable, name, section, type, value: String(value)})
  const m = traits.isMaster
  return [
    flag('abnormal_write_trace_latency_threshold', 'FV_UINT64', 1_000_000_000, true, 'write latency that is traced'),
    flag('add_secondary_enable_flow_control', 'FV_BOOL', false, false, 'flow control of secondaries', 'meta_server'),
    flag('checkpoint_interval_seconds', 'FV_INT32', 100, false, 'period of checkpoints in seconds'),
    flag('cluster_name', 'FV_STRING', clusterName, false, 'name of this cluster'),
    flag(
      'config_sync_interval_ms',
      'FV_UINT32',
      flags.config_sync_interval_ms,
      true,
      m
        ? 'The interval milliseconds of replica server to send replica config-sync requests to meta server'
        : 'The interval milliseconds of replica server to syncs replica configuration with meta server',
    ),
    ...(m ? [flag('dup_cluster_name', 'FV_STRING', '', false, 'name of this cluster in duplications')] : []),
    flag('duplicate_log_batch_bytes', 'FV_UINT32', flags.duplicate_log_batch_bytes, true, 'bytes of a shipped batch'),
    flag('duplication_enabled', 'FV_BOOL', flags.duplication_enabled, false, 'whether duplication is enabled'),
    flag('empty_write_disabled', 'FV_BOOL', flags.empty_write_disabled, true, 'whether empty writes are disabled'),
    flag('group_check_disabled', 'FV_BOOL', false, false, 'whether group check is disabled'),
    flag('group_check_interval_ms', 'FV_INT32', flags.group_check_interval_ms, false, 'period of group checks'),
    flag('max_allowed_write_size', 'FV_UINT64', flags.max_allowed_write_size, true, 'largest accepted write in bytes'),
    flag('max_concurrent_manual_emergency_checkpointing_count', 'FV_UINT64', 10, true, 'emergency checkpoints at once'),
    flag(
      'mutation_2pc_min_replica_count',
      'FV_INT32',
      flags.mutation_2pc_min_replica_count,
      false,
      'fewest replicas for writes',
    ),
    flag('max_copy_rate_megabytes_per_disk', 'FV_UINT32', 0, true, 'copy rate', 'nfs'),
    flag('max_send_rate_megabytes_per_disk', 'FV_UINT32', 0, true, 'send rate', 'nfs'),
  ]
}
