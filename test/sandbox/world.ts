import type {Clock} from '../../src/lib/clock.js'
import type {Transport} from '../../src/lib/rpc/transport.js'
import type {ReplicaServer} from './replica/server.js'
import type {SandboxNetwork} from './network.js'

/** Thrift's `expire_ts` counts seconds from here (protocol.md §8.2). */
const EPOCH_SECONDS = 1_451_606_400

/** What all servers of a sandbox share. */
export class World {
  /** By address: the path by which checkpoints are copied between servers (NFS in real clusters, not a Pegasus RPC). */
  readonly replicaServers = new Map<string, ReplicaServer>()

  constructor(
    readonly clock: Clock,
    readonly random: () => number,
    readonly network: SandboxNetwork,
  ) {}

  get transport(): Transport {
    return this.network.transport
  }

  /** Seconds since 2016, as `expire_ts_seconds` counts. */
  expireNow(): number {
    return Math.floor(this.clock.wallMs() / 1000) - EPOCH_SECONDS
  }

  nowSeconds(): number {
    return Math.floor(this.clock.wallMs() / 1000)
  }
}

/** `yyyy-mm-dd hh:mm:ss`, as servers print times. */
export function formatTime(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(0, 19).replace('T', ' ')
}
