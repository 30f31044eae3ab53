import {rollbackDefaults, type RollbackRequest} from '../../src/lib/migration/rollback/request.js'
import type {RollbackContext, RollbackState} from '../../src/lib/migration/rollback/context.js'
import type {RollbackPlan} from '../../src/lib/migration/rollback/plan.js'
import type {RollbackView} from '../../src/lib/migration/rollback/view.js'
import type {DuplicationState} from '../../src/lib/pegasus/replica-server.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {AppStatus} from '../../src/lib/rpc/structs/table.js'
import {entry, request, target, view} from './rollback-view.js'
import {ScriptedMigration} from './scripted-migration.js'

export interface RollbackScript {
  asked?: Partial<RollbackRequest>
  kind?: RollbackPlan['kind']
  seen?: Partial<RollbackView>
}

/**
 * The context of a rollback of `users` from cluster `a`, which duplication 7 ships to `b`, on the answers of a scripted migration. For
 * what one step decides.
 */
export class ScriptedRollback {
  readonly script = new ScriptedMigration()
  /** Partitions that report the duplication and do not ship. */
  readonly idle = new Set<number>()
  /** Partitions that do not report it. */
  readonly silent = new Set<number>()
  /** What changed anything, and when; a guard that is sent away is among it. */
  readonly acts: [kind: string, atMs: number][] = []
  /** Called before a guard is sent away. */
  onGuard: () => void = () => {}
  readonly state: RollbackState = {deniesSource: false, returned: false, settingsPutBack: [], targetDenied: false}
  readonly context: RollbackContext

  constructor({asked = {}, kind = 'back', seen = {}}: RollbackScript = {}) {
    const {clock, context, report, source} = this.script
    const {cluster, metas} = target
    const found = view({entry: {...entry}, partitionCount: 2, target: {cluster, metas}, ...seen})
    source.status = found.entry?.status
    this.copyHas()
    this.context = {
      ...context,
      client: {
        ...context.client,
        cluster: () => context.target,
        env: {clock},
      } as never,
      effects: {
        perform: async (effect, signal) => {
          signal?.throwIfAborted()
          this.note(effect.kind)
          return context.effects.perform(effect, signal)
        },
      },
      hints: {settings: []},
      journal: undefined,
      plan: {found: [], kind, steps: [], warnings: []},
      report,
      rollback: request({...rollbackDefaults, table: 'users', ...asked}),
      sendGuardAway: async () => {
        this.note('send-guard-away')
        this.onGuard()
      },
      source: this.overlaid(context.source),
      startMs: clock.nowMs(),
      state: this.state,
      store: context.store,
      target: context.target,
      view: found,
    }
  }

  get kinds(): string[] {
    return this.acts.map(([kind]) => kind)
  }

  get texts(): (string | undefined)[] {
    return this.script.reports.map(({text}) => text)
  }

  /** When something was done last, by the script's clock. */
  atMs(kind: string): number | undefined {
    return this.acts.findLast(([done]) => done === kind)?.[1]
  }

  /** The target's metas list its table with these envs. */
  copyHas(...envs: [key: string, value: string][]): void {
    const table = {appId: 5, appName: 'users', envs: new Map(envs), partitionCount: 2}
    this.script.target.tables = [{...table, status: AppStatus.AS_AVAILABLE}]
  }

  /** Each partition has so many mutations that are not on the other side. */
  gaps(...gaps: number[]): void {
    for (const [index, gap] of gaps.entries()) this.script.source.partitions[index]!.gap = gap
  }

  /** A partition's primary accepts so many mutations, and they are shipped. */
  grow(partitionIndex: number, by = 1): void {
    const partition = this.script.source.partitions[partitionIndex]!
    partition.committed += by
    partition.prepared += by
  }

  /** Lets something happen so long after an effect. */
  after(kind: string, delayMs: number, happen: () => void): void {
    const before = this.script.afterEffect
    this.script.afterEffect = (effect) => {
      before(effect)
      if (effect.kind === kind) this.in(delayMs, happen)
    }
  }

  in(delayMs: number, happen: () => void): void {
    this.script.clock.setTimer(delayMs, happen)
  }

  /** Servers know a removed duplication so long, or for ever. */
  forgettingTakes(ms: number): void {
    const {source} = this.script
    const before = this.script.afterEffect
    this.script.afterEffect = (effect) => {
      before(effect)
      if (effect.kind !== 'remove-duplication') return
      source.status = DuplicationStatus.DS_REMOVED
      this.in(ms, () => {
        source.status = undefined
      })
    }
  }

  private note(kind: string): void {
    this.acts.push([kind, this.script.clock.nowMs()])
  }

  /** The source, with what single partitions tell. */
  private overlaid(source: RollbackContext['source']): RollbackContext['source'] {
    return {
      ...source,
      server: (address: string) => {
        const server = source.server(address)
        return {
          ...server,
          duplicationStates: async (...asked: Parameters<typeof server.duplicationStates>) => {
            const {states} = await server.duplicationStates(...asked)
            return {
              states: states
                .filter(({partitionIndex}) => !this.silent.has(partitionIndex))
                .map((state): DuplicationState => {
                  const isIdle = this.idle.has(state.partitionIndex)
                  return {...state, duplicating: state.duplicating && !isIdle}
                }),
            }
          },
        }
      },
    } as never
  }
}
