import type {Clock} from '../../src/lib/clock.js'
import type {Transport} from '../../src/lib/rpc/transport.js'
import {type ClusterOverrides, SimulatedCluster} from './cluster.js'
import {memoryNetwork, type SandboxNetwork, tcpNetwork} from './network.js'
import {type Flags, type Profile, profileSpec, type ProfileSpec, type Timers} from './profiles.js'
import {seededRandom} from './random.js'
import {World} from './world.js'

export {type ClusterOverrides, type Hazards, SimulatedCluster} from './cluster.js'
export {type Flags, type Profile, type Timers} from './profiles.js'
export {seededRandom} from './random.js'
export {type ReplicaServer as SimulatedReplicaServer} from './replica/server.js'
export {type CreateTableOptions, type LoadedRow} from './switchboard.js'
export {VirtualClock} from './virtual-clock.js'

export interface SandboxOptions {
  clock: Clock
  /** `memory` and `tcp` make a network of its own. */
  listen: 'memory' | 'tcp' | SandboxNetwork
  overrides?: {source?: ClusterOverrides; target?: ClusterOverrides}
  profile: Profile | {source: Profile; target: Profile}
  /** Default: numbers of a fixed seed. */
  random?: () => number
  /** Replica servers per cluster; default 3. */
  servers?: number
}

/** Two clusters that know each other, like the bed of the golden files: `onebox` and `onebox2`. */
export interface Sandbox {
  readonly source: SimulatedCluster
  readonly target: SimulatedCluster
  readonly transport: Transport
  stop(): Promise<void>
}

/** Starts both clusters; their servers are alive, connected and empty. */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const {listen} = options
  const network = listen === 'tcp' ? tcpNetwork() : listen === 'memory' ? memoryNetwork() : listen
  const world = new World(options.clock, options.random ?? seededRandom(1), network)
  const profiles =
    typeof options.profile === 'string' ? {source: options.profile, target: options.profile} : options.profile
  const make = (side: 'source' | 'target', name: string, metas: number) => {
    const overrides = options.overrides?.[side] ?? {}
    return new SimulatedCluster(world, {
      metas: overrides.metas ?? metas,
      name: overrides.name ?? name,
      overrides,
      profile: profiles[side],
      servers: overrides.servers ?? options.servers ?? 3,
      spec: withOverrides(profileSpec(profiles[side]), overrides),
    })
  }

  const source = make('source', 'onebox', 2)
  const target = make('target', 'onebox2', 1)
  const clusters = [source, target]
  for (const cluster of clusters) await cluster.bind()
  const duplicationGroup = {[source.name]: 1, [target.name]: 2}
  const pegasusClusters = {[source.name]: source.metaNames, [target.name]: target.metaNames}
  for (const cluster of clusters) {
    cluster.duplicationConfig = {duplicationGroup, pegasusClusters}
    await cluster.start()
  }

  return {
    source,
    async stop() {
      for (const cluster of clusters) await cluster.stop()
    },
    target,
    transport: world.transport,
  }
}

function withOverrides(spec: ProfileSpec, overrides: ClusterOverrides): ProfileSpec {
  const pick = <T extends object>(defaults: T): T => {
    const own = Object.entries(overrides).filter(([key]) => key in defaults)
    return {...defaults, ...Object.fromEntries(own)}
  }

  return {flags: pick<Flags>(spec.flags), timers: pick<Timers>(spec.timers), traits: spec.traits}
}
