import {type Call, metaCalls, serverCalls} from '../../../src/lib/rpc/calls.js'
import {type ClusterCommandSource, clusterInfo} from './cluster-info.js'
import {MetaFunctionLevel, NodeStatus} from '../../../src/lib/rpc/structs/cluster.js'
import {commonCommands, runCommand} from '../commands.js'
import type {HttpHandler} from '../http.js'
import {SimulatedProcess} from '../process.js'
import {reply, type WireServer} from '../rpc-dispatch.js'
import {updateEnvs} from './envs.js'
import {metaHttp} from './http.js'
import * as tables from './tables.js'

const FORWARD = 'ERR_FORWARD_TO_OTHERS'

/** A meta server: leader or follower. What leaders forget when they change is here; the rest is ClusterState. */
export class MetaServer extends SimulatedProcess implements ClusterCommandSource {
  /** In memory only: a new leader has its configured one (measured.md §10). */
  level: MetaFunctionLevel = MetaFunctionLevel.fl_steady

  protected override readonly http: HttpHandler = (request) => metaHttp(this, request)

  get leads(): boolean {
    return this.cluster.leader === this
  }

  protected override onBoot(): void {
    this.level = MetaFunctionLevel.fl_steady
  }

  protected override onHalt(): void {
    // Nothing is kept outside ZooKeeper.
  }

  protected override register(wire: WireServer): void {
    const {cluster} = this
    const {state} = cluster
    const {duplications} = state
    const {isMaster, version} = cluster.spec.traits
    /** A call that needs the leader; a follower answers the zero of its response with this error (protocol.md §2). */
    const on = <Q, S extends {err: string}>(call: Call<Q, S>, run: (request: Q) => S) => {
      wire.on(call, (request) => reply(this.leads ? run(request) : {...call.response.zero(), err: FORWARD}))
    }

    on(metaCalls.listApps, (r) => tables.listApps(this, r))
    on(metaCalls.createApp, (r) => tables.createApp(this, r))
    on(metaCalls.dropApp, (r) => tables.dropApp(this, r))
    on(metaCalls.getMaxReplicaCount, (r) => tables.getMaxReplicaCount(this, r))
    on(metaCalls.setMaxReplicaCount, (r) => tables.setMaxReplicaCount(this, r))
    on(metaCalls.updateAppEnv, (r) => updateEnvs(state, r))
    on(metaCalls.addDuplication, (r) => duplications.add(r))
    on(metaCalls.modifyDuplication, (r) => duplications.modify(r))
    on(metaCalls.queryDuplication, ({appName}) => duplications.query(appName))
    on(metaCalls.clusterInfo, () => clusterInfo(this))
    on(metaCalls.recallApp, (r) => tables.recallApp(this, r))
    if (version !== '2.4.0') on(metaCalls.renameApp, (r) => tables.renameApp(this, r))
    if (isMaster) {
      on(metaCalls.getAtomicIdempotent, (r) => tables.getAtomicIdempotent(this, r))
      on(metaCalls.setAtomicIdempotent, (r) => tables.setAtomicIdempotent(this, r))
      on(metaCalls.listDuplication, ({appNamePattern, matchType}) => this.listDuplication(appNamePattern, matchType))
    }

    wire.on(metaCalls.controlMeta, ({level}) => {
      if (!this.leads) return reply({err: FORWARD, oldLevel: 0 as MetaFunctionLevel})
      const oldLevel = this.level
      if (level !== MetaFunctionLevel.fl_invalid) this.level = level
      return reply({err: 'ERR_OK', oldLevel})
    })
    wire.on(metaCalls.listNodes, ({status}) => {
      if (!this.leads) return reply({err: FORWARD, infos: []})
      const infos = cluster.servers.map(({address}) => ({
        node: address,
        status: cluster.guardian.isListedAlive(address) ? NodeStatus.NS_ALIVE : NodeStatus.NS_UNALIVE,
        ...(isMaster ? {hpNode: cluster.hostPortOf(address)} : {}),
      }))
      // Alive ones first (protocol.md §3.2).
      infos.sort((a, b) => a.status - b.status)
      return reply({err: 'ERR_OK', infos: infos.filter((i) => status === NodeStatus.NS_INVALID || i.status === status)})
    })
    wire.on(metaCalls.queryConfig, (request) => reply(this.leads ? tables.queryConfig(this, request) : this.hint()))
    wire.on(serverCalls.remoteCommand, ({args, cmd}) => reply(this.command(cmd, args)))
  }

  /** A follower's answer to a config query names the leader, also one that is dead (measured.md §10). */
  private hint(): ReturnType<typeof tables.queryConfig> {
    const leader = this.cluster.knownLeader.address
    const hint = {
      ...metaCalls.queryConfig.response.zero(),
      err: FORWARD,
      partitions: [
        {
          ballot: 0,
          lastCommittedDecree: 0,
          lastDrops: [],
          maxReplicaCount: 0,
          partitionFlags: 0,
          pid: {appId: 0, partitionIndex: 0},
          primary: leader,
          secondaries: [],
          ...(this.cluster.spec.traits.hostNames ? {hpPrimary: this.cluster.hostPortOf(leader)} : {}),
        },
      ],
    }
    return hint
  }

  private listDuplication(
    pattern: string,
    matchType: number,
  ): ReturnType<typeof metaCalls.listDuplication.response.zero> {
    const {state} = this.cluster
    if (tables.matchesName('', pattern, matchType) === undefined) {
      const hint = `match_type is not supported: val=${matchType}, str=regex`
      return {appStates: new Map(), err: 'ERR_NOT_IMPLEMENTED', hint}
    }

    const found = [...state.tables.values()]
      .filter(({info}) => state.availableTable(info.appId))
      .filter(({info}) => tables.matchesName(info.appName, pattern, matchType))
      .sort((a, b) => (a.info.appName < b.info.appName ? -1 : 1))
    const states = found.map(({info}) => {
      const entries = state.duplications.of(info.appId).map((d) => [d.dupid, d.entryForClients(true)] as const)
      const {appId, appName, partitionCount} = info
      return [appName, {appId, appName, duplications: new Map(entries), partitionCount}] as const
    })
    return {appStates: new Map(states), err: 'ERR_OK', hint: ''}
  }

  private command(cmd: string, args: string[]): string {
    // A follower, and any meta of master, has no counters and no time for them (measured.md §0).
    const seconds = this.leads && !this.cluster.spec.traits.isMaster ? this.world.nowSeconds() : 0
    const time = new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')
    const none = `{"result":"OK","timestamp":${seconds},"timestamp_str":"${time}","counters":[]}`
    const commands = commonCommands(this, () => none)
    commands.set('meta.live_percentage', () => '65')
    return runCommand(commands, {'meta.live_percentage': '[num | DEFAULT]'}, cmd, args)
  }
}
