import type {RequestOf, ResponseOf, metaCalls} from '../../../src/lib/rpc/calls.js'
import type {ValueOf} from '../../../src/lib/rpc/codec.js'
import type {Gpid} from '../../../src/lib/rpc/custom-types.js'
import {
  type DuplicationEntry,
  DuplicationStatus,
  type duplicationConfirmEntry,
} from '../../../src/lib/rpc/structs/duplication.js'
import {Duplication} from './duplication.js'
import {createFollower, followerIsComplete} from './follower-creation.js'
import type {ClusterState, Table} from './state.js'

export interface ConfirmReport {
  confirms: ValueOf<typeof duplicationConfirmEntry>[]
  pid: Gpid
}

type AddRequest = RequestOf<typeof metaCalls.addDuplication>
type AddResponse = ResponseOf<typeof metaCalls.addDuplication>
type ModifyRequest = RequestOf<typeof metaCalls.modifyDuplication>
type ModifyResponse = ResponseOf<typeof metaCalls.modifyDuplication>

/** Duplications of a cluster: what metas answer about them, and how dup syncs drive them (protocol.md §3.9–3.12). */
export class DuplicationService {
  private readonly byTable = new Map<number, Map<number, Duplication>>()

  constructor(private readonly state: ClusterState) {}

  private get isMaster(): boolean {
    return this.state.cluster.spec.traits.isMaster
  }

  of(appId: number): Duplication[] {
    return [...(this.byTable.get(appId)?.values() ?? [])]
  }

  entriesOf(appId: number): DuplicationEntry[] {
    return this.of(appId).map((d) => d.entryForServers(this.isMaster))
  }

  add(request: AddRequest): AddResponse {
    const refused = this.refuse(request)
    if (refused) return {appId: 0, dupid: 0, ...refused}
    const table = this.state.tableNamed(request.appName)
    if (!table || !this.state.availableTable(table.info.appId)) {
      const hint = this.isMaster ? {hint: `app ${request.appName} was not found`} : {}
      return {appId: 0, dupid: 0, err: 'ERR_APP_NOT_EXIST', ...hint}
    }

    const existing = this.of(table.info.appId).find((d) => d.remote.cluster === request.remoteClusterName)
    const remoteTable = (this.isMaster && request.remoteAppName) || request.appName
    const rival = this.isMaster && !existing ? this.rival(request.remoteClusterName, remoteTable) : undefined
    if (rival !== undefined) {
      const remote = `cluster=${request.remoteClusterName}, app=${remoteTable}`
      const hint = `illegal operation: another app(${rival}) is also duplicated to the same remote app(${remote})`
      return {appId: 0, dupid: 0, err: 'ERR_INVALID_PARAMETERS', hint}
    }

    return this.start(table, existing, request, remoteTable)
  }

  modify(request: ModifyRequest): ModifyResponse {
    const table = this.state.tableNamed(request.appName)
    if (!table) return {appId: 0, err: 'ERR_APP_NOT_EXIST'}
    const {appId} = table.info
    const duplication = this.byTable.get(appId)?.get(request.dupid)
    if (!duplication) return {appId: 0, err: 'ERR_OBJECT_NOT_FOUND'}
    const status = request.status ?? duplication.status
    const failMode = request.failMode ?? duplication.failMode
    // A change to what it is already is answered without the table's id (protocol.md §3.11).
    if (status === duplication.status && failMode === duplication.failMode) return {appId: 0, err: 'ERR_OK'}
    const err = duplication.alter(status, failMode)
    if (err !== 'ERR_OK') return {appId: 0, err}
    if (status === DuplicationStatus.DS_REMOVED) this.remove(table, request.dupid)
    return {appId, err}
  }

  query(name: string): ResponseOf<typeof metaCalls.queryDuplication> {
    const table = this.state.tableNamed(name)
    if (!table) return {appId: 0, entries: [], err: 'ERR_APP_NOT_EXIST'}
    const entries = this.of(table.info.appId).map((d) => d.entryForClients(this.isMaster))
    return {appId: table.info.appId, entries, err: 'ERR_OK'}
  }

  /** One dup sync of one server: drives the stages, then takes its reports (meta_duplication_service.cpp `duplication_sync`). */
  sync(appIds: ReadonlySet<number>, reports: readonly ConfirmReport[]): Map<number, DuplicationEntry[]> {
    const tables = [...appIds].flatMap((appId) => this.state.availableTable(appId) ?? [])
    for (const table of tables) {
      for (const duplication of this.of(table.info.appId)) this.drive(table, duplication)
    }

    const {dupProgressMinUpdateMs} = this.state.cluster.spec.timers
    for (const {confirms, pid} of reports) {
      for (const confirm of confirms) {
        const duplication = this.byTable.get(pid.appId)?.get(confirm.dupid)
        duplication?.confirm(pid.partitionIndex, confirm, this.state.world.clock.nowMs(), dupProgressMinUpdateMs)
      }
    }

    // The answer leaves when all is stored: a primary learns its own K at once (`do_update_partition_confirmed`).
    const answer = new Map<number, DuplicationEntry[]>()
    for (const {info} of tables) if (this.of(info.appId).length > 0) answer.set(info.appId, this.entriesOf(info.appId))
    return answer
  }

  private refuse({
    remoteClusterName: remote,
    remoteReplicaCount,
  }: AddRequest): {err: string; hint?: string} | undefined {
    const config = this.state.cluster.leader?.config
    if (!config?.boolean('duplication_enabled')) return {err: 'ERR_SERVICE_NOT_ACTIVE'}
    const invalid = (hint: string) => ({err: 'ERR_INVALID_PARAMETERS', hint})
    if (remote === this.state.cluster.name) return invalid('illegal operation: adding duplication to itself')
    if (config.clusterId(remote) === undefined) {
      const why = `ERR_OBJECT_NOT_FOUND: failed to get cluster id for  << ${remote}`
      return invalid(`get_duplication_cluster_id(${remote}) failed, error: ${why}`)
    }

    if (config.get('pegasus.clusters', remote) === undefined) {
      return invalid(`failed to find cluster[${remote}] address in config [pegasus.clusters]`)
    }

    if (this.isMaster && (remoteReplicaCount ?? 0) < 0) {
      return invalid(`invalid remote_replica_count(${remoteReplicaCount}) which should never be negative`)
    }

    return undefined
  }

  /** Another table that goes to the same table of the same cluster. */
  private rival(cluster: string, table: string): string | undefined {
    for (const [appId, duplications] of this.byTable) {
      for (const {remote} of duplications.values()) {
        if (remote.cluster === cluster && remote.table === table) return this.state.tables.get(appId)?.info.appName
      }
    }

    return undefined
  }

  /** Starts a duplication, new or not; what a repeated add does depends on its status (protocol.md §3.9). */
  private start(
    table: Table,
    existing: Duplication | undefined,
    request: AddRequest,
    remoteTable: string,
  ): AddResponse {
    const {appId, appName} = table.info
    const duplication = existing ?? this.create(table, request, remoteTable)
    const checkpoint = request.isDuplicatingCheckpoint ?? true
    const err = duplication.alter(
      checkpoint ? DuplicationStatus.DS_PREPARE : DuplicationStatus.DS_LOG,
      duplication.failMode,
    )
    if (err !== 'ERR_OK') {
      // 2.4/2.5 only log it: success with neither table nor duplication (measured.md §5).
      if (!this.isMaster) return {appId: 0, dupid: 0, err: 'ERR_OK'}
      return {appId: 0, dupid: 0, err, hint: `start dup[${appName}(${duplication.dupid})] failed: err = ${err}`}
    }

    this.refreshDuplicating(table)
    const {remote} = duplication
    return {
      appId,
      dupid: duplication.dupid,
      err: this.isMaster && existing ? 'ERR_DUP_EXIST' : 'ERR_OK',
      ...(this.isMaster ? {remoteAppName: remote.table, remoteReplicaCount: remote.replicaCount} : {}),
    }
  }

  private create(table: Table, request: AddRequest, remoteTable: string): Duplication {
    const duplications = this.byTable.get(table.info.appId) ?? new Map<number, Duplication>()
    this.byTable.set(table.info.appId, duplications)
    let dupid = this.state.world.nowSeconds()
    while (this.idTaken(dupid)) dupid++
    const remote = {
      cluster: request.remoteClusterName,
      replicaCount: (this.isMaster && request.remoteReplicaCount) || table.info.maxReplicaCount,
      table: remoteTable,
    }
    const duplication = new Duplication(dupid, this.state.world.clock.wallMs(), remote, table.info.partitionCount)
    duplications.set(dupid, duplication)
    return duplication
  }

  private idTaken(dupid: number): boolean {
    return [...this.byTable.values()].some((duplications) => duplications.has(dupid))
  }

  private remove(table: Table, dupid: number): void {
    this.byTable.get(table.info.appId)?.delete(dupid)
    table.duplicationRemovedMs = this.state.world.clock.nowMs()
    this.refreshDuplicating(table)
  }

  private refreshDuplicating(table: Table): void {
    table.info.duplicating = this.of(table.info.appId).length > 0
  }

  private drive(table: Table, duplication: Duplication): void {
    if (duplication.busy || !duplication.allPrepared) return
    const {status} = duplication
    if (status !== DuplicationStatus.DS_PREPARE && status !== DuplicationStatus.DS_APP) return
    duplication.busy = true
    const {cluster} = this.state
    const step =
      status === DuplicationStatus.DS_PREPARE
        ? createFollower(cluster, table, duplication, 'creating')
        : followerIsComplete(cluster, table, duplication)
    void step.then((done) => {
      duplication.busy = false
      // Any error is only a line in the meta's log: tried again at the next sync, for ever.
      if (!done || duplication.status !== status) return
      duplication.alter(status === DuplicationStatus.DS_PREPARE ? DuplicationStatus.DS_APP : DuplicationStatus.DS_LOG)
    })
  }
}
