import {type Clock, sleep} from '../clock.js'
import {isMigratorError, MigratorError} from '../errors.js'
import type {MetaproxyStore} from '../metaproxy/store.js'
import type {Cluster} from '../pegasus/cluster.js'
import {metaErrorName} from '../pegasus/meta-client.js'
import {MetaFunctionLevel} from '../rpc/structs/cluster.js'
import {DuplicationStatus} from '../rpc/structs/duplication.js'
import type {Effect, EffectOutcome, Effects} from './effects.js'
import type {MigrationLock} from './lock.js'

/** The env that denies client requests (protocol.md §6.1). */
export const DENY_ENV = 'replica.deny_client_request'

/** How long an effect looks for a meta leader: a failover takes 38–47 s (measured.md §10). */
const LEADER_PATIENCE_MS = 60_000
const BUSY_RETRY_MS = 1000
const BUSY_LIMIT_MS = 30_000

export interface LiveEffectsOptions {
  clock: Clock
  /** Its version is checked in the same transaction as the node's. */
  lock?: MigrationLock
  source: Cluster
  store: MetaproxyStore | undefined
  table: string
  /** Undefined where a rollback does not know it: then nothing there is touched. */
  target: Cluster | undefined
}

type Of<K extends Effect['kind']> = Extract<Effect, {kind: K}>

/** Carries effects out on the clusters and ZooKeeper. Every one may be performed again without harm. */
export class LiveEffects implements Effects {
  constructor(private readonly options: LiveEffectsOptions) {}

  private get target(): Cluster {
    const {target} = this.options
    if (!target)
      throw new MigratorError('effect.no_target', 'the target cluster is not known: nothing there was touched')
    return target
  }

  async perform(effect: Effect, signal: AbortSignal): Promise<EffectOutcome> {
    const limits = {patienceMs: LEADER_PATIENCE_MS, signal}
    const {source, table} = this.options
    switch (effect.kind) {
      case 'add-duplication': {
        return {dupid: await this.addDuplication(effect, signal)}
      }

      case 'close-source':
      case 'deny':
      case 'open-source-reads': {
        await source.setEnvs(table, {[DENY_ENV]: effect.value}, limits)
        return {}
      }

      case 'close-target':
      case 'deny-target': {
        await this.target.setEnvs(table, {[DENY_ENV]: effect.value}, limits)
        return {}
      }

      case 'lift-target': {
        await (effect.before === null
          ? this.target.deleteEnvs(table, [DENY_ENV], limits)
          : this.target.setEnvs(table, {[DENY_ENV]: effect.before}, limits))
        return {}
      }

      case 'drop-target-table': {
        await this.dropTargetTable(effect, signal)
        return {}
      }

      case 'delete-target-envs': {
        await this.target.deleteEnvs(table, effect.keys, limits)
        return {}
      }

      case 'lift-deny': {
        // What was there before us comes back; nearly always that is nothing.
        await (effect.before === null
          ? source.deleteEnvs(table, [DENY_ENV], limits)
          : source.setEnvs(table, {[DENY_ENV]: effect.before}, limits))
        return {}
      }

      case 'pause-duplication': {
        return this.setStatus(effect.dupid, DuplicationStatus.DS_PAUSE, signal)
      }

      case 'remove-duplication': {
        return this.setStatus(effect.dupid, DuplicationStatus.DS_REMOVED, signal)
      }

      case 'resume-duplication': {
        return this.setStatus(effect.dupid, DuplicationStatus.DS_LOG, signal)
      }

      case 'set-meta-level': {
        const cluster = effect.side === 'source' ? source : this.target
        await cluster.setMetaLevel(MetaFunctionLevel[`fl_${effect.level}` as keyof typeof MetaFunctionLevel], limits)
        return {}
      }

      case 'set-server-config': {
        await this.setServerConfig(effect, signal)
        return {}
      }

      case 'switch-node':
      case 'switch-node-back':
      case 'take-commit-away': {
        return this.writeNode(effect, signal)
      }

      case 'trigger-checkpoint': {
        await source.server(effect.server).command('replica.trigger-checkpoint', [String(effect.appId)], {signal})
        return {}
      }
    }
  }

  /** Never added twice: after a lost answer the list of duplications tells (protocol.md §3.9). */
  private async addDuplication(effect: Of<'add-duplication'>, signal: AbortSignal): Promise<number> {
    const {source, table} = this.options
    const limits = {patienceMs: LEADER_PATIENCE_MS, signal}
    let lost: unknown
    try {
      const {dupid} = await source.addDuplication(
        {checkpoint: true, remoteCluster: effect.remoteCluster, table},
        limits,
      )
      if (dupid > 0) return dupid
    } catch (error) {
      if (!isMigratorError(error) || error.code === 'meta.error') throw error
      signal.throwIfAborted()
      lost = error
    }

    const entries = await source.duplications(table, limits)
    const entry = entries.find(({remote}) => remote === effect.remoteCluster)
    if (entry && lost) return entry.dupid
    if (lost) throw lost
    throw new MigratorError(
      'duplicate.exists',
      `the source's meta answered ERR_OK with dupid 0: a duplication of ${table} to ${effect.remoteCluster} exists already${entry ? ` (dupid ${entry.dupid}, ${DuplicationStatus[entry.status]})` : ''}`,
      {
        next: 'Find out whose it is: pegasus table:migrate with --accept foreign-duplication adopts it after a full verify.',
      },
    )
  }

  /** Sets a duplication's status; ERR_BUSY means that another change is being written (protocol.md §3.11). */
  private async setStatus(dupid: number, status: DuplicationStatus, signal: AbortSignal): Promise<EffectOutcome> {
    const {clock, source, table} = this.options
    const startMs = clock.nowMs()
    for (;;) {
      try {
        await source.modifyDuplication(table, dupid, {status}, {patienceMs: LEADER_PATIENCE_MS, signal})
        return {}
      } catch (error) {
        const name = metaErrorName(error)
        // Removed already: by a first try whose answer was lost.
        if (name === 'ERR_OBJECT_NOT_FOUND' && status === DuplicationStatus.DS_REMOVED) return {}
        if (name !== 'ERR_BUSY' || clock.nowMs() - startMs > BUSY_LIMIT_MS) throw error
        await sleep(clock, BUSY_RETRY_MS, signal)
      }
    }
  }

  private async setServerConfig(effect: Of<'set-server-config'>, signal: AbortSignal): Promise<void> {
    const cluster = effect.side === 'source' ? this.options.source : this.target
    const server = cluster.server(effect.server)
    await server.updateConfig(effect.name, effect.value, {signal})
    const seen = await server.config(effect.name, {signal})
    if (seen !== effect.value) {
      throw new MigratorError(
        'server.config_not_kept',
        `${effect.server} answered ERR_OK to ${effect.name}=${effect.value} but shows ${String(seen)}`,
        {
          facts: {name: effect.name, server: effect.server},
          next: `Look at the log of ${effect.server}, or restart it. The same command goes on from here.`,
        },
      )
    }
  }

  /** Never another table of the same name; one that is gone was dropped by a first try whose answer was lost. */
  private async dropTargetTable(effect: Of<'drop-target-table'>, signal: AbortSignal): Promise<void> {
    const {target} = this
    const {table} = this.options
    const limits = {patienceMs: LEADER_PATIENCE_MS, signal}
    const found = await target.table(table, limits)
    if (!found) return
    if (found.appId !== effect.appId) {
      throw new MigratorError(
        'drop.other_table',
        `the target's ${table} has table id ${found.appId}, not ${effect.appId}: somebody made a new one`,
        {
          facts: {expected: effect.appId, found: found.appId},
          next: 'Find out who did; nothing was dropped.',
        },
      )
    }

    await target.dropTable(table, {reserveSeconds: effect.reserveSeconds}, limits)
  }

  /** One transaction: the lock is checked, the node's version is checked, the bytes are set (I6). */
  private async writeNode(
    effect: Of<'switch-node' | 'switch-node-back' | 'take-commit-away'>,
    signal: AbortSignal,
  ): Promise<EffectOutcome> {
    const {lock, store, table} = this.options
    if (!store) throw new TypeError('no metaproxy store')
    const check = lock?.versionCheck()
    const bytes = Buffer.from(effect.bytes, 'utf8')
    const {version} = await store.compareAndSet(table, bytes, effect.beforeVersion, signal, check ? [check] : [])
    return {nodeVersion: version}
  }
}
