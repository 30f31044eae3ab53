import {Journal, type NewRecord} from '../../src/lib/migration/journal.js'
import type {ObserveOptions} from '../../src/lib/migration/rollback/observe.js'
import type {RollbackRequest} from '../../src/lib/migration/rollback/request.js'
import type {CallLimits} from '../../src/lib/pegasus/env.js'
import {AppStatus} from '../../src/lib/rpc/structs/table.js'
import {MemoryFiles} from './memory-files.js'
import {request} from './rollback-view.js'
import {FIRST, ScriptedMigration, SECOND} from './scripted-migration.js'

export const META = '10.0.0.9:34601'
export const TARGET_META = '10.0.1.9:34601'

/** A look at where `users` stands, on scripted answers: nothing of a migration is there. */
export class ScriptedObservation {
  readonly script = new ScriptedMigration()
  readonly files = new MemoryFiles()
  /** Metas of the clusters that were looked at. */
  readonly clusters: string[][] = []
  /** With which limits the metas of the source were asked. */
  readonly limits = new Map<string, CallLimits>()
  /** `section key` of the configuration of the source's metas. */
  readonly dump = new Map<string, string>()
  readonly stores: {hosts: string; root: string}[] = []
  generation: '2.5' | 'master' = '2.5'
  private runs = 0

  constructor() {
    const {config} = this.script.source
    config.set('config_sync_interval_ms', '20000')
    config.set('group_check_interval_ms', '5000')
    this.tables('source', {})
    this.tables('target', {})
  }

  /** The tables that a side lists; `users` is among them where its envs are given. */
  tables(side: 'source' | 'target', envs: Record<string, string> | undefined): void {
    const {appId} = this.script[side]
    const table = {appId, appName: 'users', envs: new Map(Object.entries(envs ?? {})), partitionCount: 2}
    this.script[side].tables = envs ? [{...table, status: AppStatus.AS_AVAILABLE}] : []
  }

  /** What a run of a migration to this target wrote; by now it has ended, or died. */
  async journal(records: object[], targetCluster = 'b', begin: object = {}, table = 'users'): Promise<void> {
    const {clock} = this.script
    const journal = await Journal.open('/journals', table, targetCluster, clock, `r${this.runs++}`, this.files)
    const first = {denyMode: 'reconfig', kind: 'begin', sourceCluster: 'a', table, targetCluster, version: 1, ...begin}
    for (const record of [first, ...records]) await journal.write(record as NewRecord)
    await journal.close()
  }

  options(asked: Partial<RollbackRequest> = {}): ObserveOptions {
    const {abort, context, events} = this.script
    const sides = new Map([
      [META, this.metasOf(context.source)],
      [TARGET_META, context.target],
    ])
    return {
      client: {
        cluster: (metas: string[]) => {
          this.clusters.push(metas)
          return sides.get(metas[0]!)
        },
        env: {clock: context.clock},
      } as never,
      emit(event) {
        events.push(event)
      },
      files: this.files,
      journalDirectory: '/journals',
      openStore: (location) => {
        this.stores.push(location)
        return context.store!
      },
      request: request({sourceMetas: [META], table: 'users', ...asked}),
      signal: abort.signal,
    }
  }

  /** What only a look asks, besides. */
  private metasOf(source: ScriptedMigration['context']['source']): ScriptedMigration['context']['source'] {
    const ask = async (question: string, limits: CallLimits) => {
      limits.signal?.throwIfAborted()
      this.limits.set(question, limits)
      this.script.asked.push(`source ${question}`)
      await this.script.onAsk(`source ${question}`)
    }

    return {
      ...source,
      async info(limits: CallLimits) {
        await ask('info', limits)
        return {clusterName: 'a', metaServers: [META, '10.0.0.8:34601'], zookeeperHosts: 'source-zk:2181'}
      },
      async leader(limits: CallLimits) {
        await ask('leader', limits)
        return META
      },
      listDuplications: async (_table: string, limits: CallLimits) => {
        await ask('listDuplications', limits)
        return this.generation === 'master' ? new Map() : undefined
      },
      server: (address: string) =>
        [FIRST, SECOND].includes(address)
          ? source.server(address)
          : {
              configDump: async (limits: CallLimits) => {
                await ask('dump', limits)
                return {get: (section: string, key: string) => this.dump.get(`${section} ${key}`)}
              },
            },
    } as never
  }
}
