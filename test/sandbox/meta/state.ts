import type {Gpid} from '../../../src/lib/rpc/custom-types.js'
import {type AppInfo, AppStatus} from '../../../src/lib/rpc/structs/table.js'
import {Partition} from '../replica/partition.js'
import type {World} from '../world.js'
import {DuplicationService} from './duplication-service.js'
import type {SimulatedCluster} from '../cluster.js'

/** Who holds a partition, as metas know it. */
export interface Membership {
  ballot: number
  /** Servers that left, the latest last. */
  lastDrops: string[]
  /** C when the membership last changed: old news (protocol.md §2). */
  lastCommittedDecree: number
  primary: string | undefined
  secondaries: string[]
}

export interface Table {
  /** When its last duplication was removed; dropping it too soon can crash a server (measured.md §14). */
  duplicationRemovedMs?: number
  /** 1 everywhere, unless a test made it an old table. */
  dataVersion: number
  info: AppInfo
  memberships: Membership[]
  partitions: Partition[]
}

/**
 * What a cluster's metas keep in ZooKeeper: tables, memberships, duplications. It outlives every leader; what does
 * not (the meta level, who is alive) is elsewhere.
 */
export class ClusterState {
  readonly duplications: DuplicationService
  readonly tables = new Map<number, Table>()
  private nextAppId = 1

  constructor(
    readonly cluster: SimulatedCluster,
    readonly world: World,
  ) {
    this.duplications = new DuplicationService(this)
  }

  /** The table of this name that is not dropped. */
  tableNamed(name: string): Table | undefined {
    return [...this.tables.values()].find((t) => t.info.appName === name && t.info.status !== AppStatus.AS_DROPPED)
  }

  availableTable(appId: number): Table | undefined {
    const table = this.tables.get(appId)
    return table?.info.status === AppStatus.AS_AVAILABLE ? table : undefined
  }

  addTable(options: {
    atomicIdempotent: boolean
    envs: Map<string, string>
    name: string
    partitionCount: number
    replicaCount: number
  }): Table {
    const appId = this.nextAppId++
    const {atomicIdempotent, envs, name, partitionCount, replicaCount} = options
    const info: AppInfo = {
      appId,
      appName: name,
      appType: 'pegasus',
      createSecond: this.world.nowSeconds(),
      dropSecond: 0,
      duplicating: false,
      envs,
      expireSecond: 0,
      initPartitionCount: partitionCount,
      isBulkLoading: false,
      isStateful: true,
      maxReplicaCount: replicaCount,
      partitionCount,
      status: AppStatus.AS_AVAILABLE,
      ...(this.cluster.spec.traits.isMaster ? {atomicIdempotent} : {}),
    }
    const indices = Array.from({length: partitionCount}, (_, partitionIndex) => partitionIndex)
    const table: Table = {
      dataVersion: 1,
      info,
      memberships: indices.map(() => ({
        ballot: 0,
        lastCommittedDecree: 0,
        lastDrops: [],
        primary: undefined,
        secondaries: [],
      })),
      partitions: indices.map((partitionIndex) => new Partition({appId, partitionIndex})),
    }
    this.tables.set(appId, table)
    return table
  }

  memberCount({appId, partitionIndex}: Gpid): number {
    const membership = this.tables.get(appId)?.memberships[partitionIndex]
    return membership ? (membership.primary ? 1 : 0) + membership.secondaries.length : 0
  }

  dataVersion({appId}: Gpid): number {
    return this.tables.get(appId)?.dataVersion ?? 1
  }
}
