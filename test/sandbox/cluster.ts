import type {HostPort} from '../../src/lib/rpc/custom-types.js'
import {splitAddress} from '../../src/lib/rpc/transport.js'
import type {ConfigSource, ServerConfig} from './config.js'
import {FaultRules} from './faults.js'
import {Leadership} from './leadership.js'
import {Guardian} from './meta/guardian.js'
import {MetaServer} from './meta/server.js'
import {ClusterState, type Table} from './meta/state.js'
import type {SimulatedProcess} from './process.js'
import type {Flags, Profile, ProfileSpec, Timers} from './profiles.js'
import {ReplicaServer} from './replica/server.js'
import {Switchboard} from './switchboard.js'
import type {World} from './world.js'

/** Changes to a profile for one cluster: timers and flags by their names, and what the cluster is made of. */
export type ClusterOverrides = Partial<Flags & Timers> & {
  /** Kerberos is demanded (protocol.md §1.7). */
  mandatoryAuth?: boolean
  metas?: number
  name?: string
  servers?: number
  /** `zookeeper_hosts` in the cluster info. */
  zookeeperHosts?: string
}

export interface ClusterOptions {
  metas: number
  name: string
  overrides: ClusterOverrides
  profile: Profile
  servers: number
  spec: ProfileSpec
}

/** Things that crashed real servers now and then (measured.md §14); off unless a test wants them. */
export interface Hazards {
  /** Dropping a table that is duplicated, or whose duplication was removed less than 40 s ago. */
  crashOnEarlyDrop: boolean
  /** Pausing or removing a duplication while it ships. */
  crashWhenStoppedUnderLoad: boolean
}

type ConfigEdit = (config: ServerConfig) => void

/** One simulated cluster: metas, replica servers, and the switchboard of its faults. */
export class SimulatedCluster extends Switchboard {
  readonly faults: FaultRules
  readonly guardian: Guardian
  readonly hazards: Hazards = {crashOnEarlyDrop: false, crashWhenStoppedUnderLoad: false}
  mandatoryAuth: boolean
  readonly metaServers: MetaServer[]
  readonly name: string
  readonly profile: Profile
  readonly servers: ReplicaServer[] = []
  readonly spec: ProfileSpec
  readonly state: ClusterState
  readonly zookeeperHosts: string
  /** `[duplication-group]` and `[pegasus.clusters]`, written once all addresses are known. */
  duplicationConfig: Pick<ConfigSource, 'duplicationGroup' | 'pegasusClusters'> = {
    duplicationGroup: {},
    pegasusClusters: {},
  }

  private readonly configEdits: {address: string; edit: ConfigEdit}[] = []
  private readonly leadership: Leadership

  constructor(
    readonly world: World,
    options: ClusterOptions,
  ) {
    super()
    this.name = options.name
    this.profile = options.profile
    this.spec = options.spec
    this.mandatoryAuth = options.overrides.mandatoryAuth ?? false
    this.zookeeperHosts = options.overrides.zookeeperHosts ?? '127.0.0.1:2181'
    this.faults = new FaultRules(world.clock)
    this.state = new ClusterState(this, world)
    this.guardian = new Guardian(this)
    this.metaServers = Array.from({length: options.metas}, () => new MetaServer(this))
    for (let i = 0; i < options.servers; i++) this.servers.push(new ReplicaServer(this))
    this.leadership = new Leadership(this, this.metaServers[0]!)
  }

  /** Addresses of the metas. */
  get metas(): string[] {
    return this.metaServers.map((m) => m.address)
  }

  get leader(): MetaServer | undefined {
    return this.leadership.leader
  }

  get knownLeader(): MetaServer {
    return this.leadership.known
  }

  get configSource(): ConfigSource {
    return {
      clusterName: this.name,
      flags: this.spec.flags,
      metaServers: this.metaNames,
      traits: this.spec.traits,
      ...this.duplicationConfig,
    }
  }

  /** The metas as the config files of this cluster name them. */
  get metaNames(): string {
    return this.metaServers.map((m) => (m.bound ? m.name : '')).join(',')
  }

  /** What metas know, while one of them leads. */
  leaderState(): ClusterState | undefined {
    return this.leader ? this.state : undefined
  }

  serverAt(address: string): ReplicaServer | undefined {
    return this.servers.find((s) => s.address === address)
  }

  /** A server's address as this cluster writes it: by host name on master (measured-master.md §8). */
  nameOf(address: string): string {
    return this.spec.traits.hostNames ? `localhost:${splitAddress(address).port}` : address
  }

  hostPortOf(address: string): HostPort {
    return {host: 'localhost', port: splitAddress(address).port, type: 1}
  }

  async bind(): Promise<void> {
    for (const process of this.processes) await process.bind()
  }

  async start(): Promise<void> {
    for (const process of this.processes) await process.boot()
  }

  async stop(): Promise<void> {
    for (const process of this.processes) await process.halt()
    this.guardian.stop()
  }

  get processes(): SimulatedProcess[] {
    return [...this.metaServers, ...this.servers]
  }

  /** Ends a process and lets the cluster notice. */
  async processDied(process: SimulatedProcess): Promise<void> {
    if (!process.alive) return
    const halted = process.halt()
    if (process instanceof MetaServer) this.leadership.died(process)
    else this.guardian.serverDied(process.address)
    await halted
  }

  async processStarted(process: SimulatedProcess): Promise<void> {
    if (process.alive) return
    await process.boot()
    if (process instanceof MetaServer) this.leadership.started(process)
    else this.guardian.serverStarted(process.address)
  }

  /** Changes a server's config file, now and for every later start. */
  editConfig(address: string, edit: ConfigEdit): void {
    this.configEdits.push({address, edit})
    const process = this.processes.find((p) => p.address === address)
    if (!process) throw new Error(`no server at ${address}`)
    edit(process.config)
  }

  applyConfigEdits(address: string, config: ServerConfig): void {
    for (const entry of this.configEdits) if (entry.address === address) entry.edit(config)
  }

  tableDropped(table: Table): void {
    const {appId, duplicating} = table.info
    const recently = this.world.clock.nowMs() - (table.duplicationRemovedMs ?? Number.NEGATIVE_INFINITY) < 40_000
    const victim = this.servers.find((s) => s.replicas.some((r) => r.pid.appId === appId && r.isPrimary))
    this.guardian.drop(table)
    if (this.hazards.crashOnEarlyDrop && (duplicating || recently)) victim?.abort('dropped a table too soon')
  }
}
