import {MigratorError} from '../../src/lib/errors.js'
import type {Effect, EffectOutcome} from '../../src/lib/migration/effects.js'
import type {RollbackContext, RunStep} from '../../src/lib/migration/rollback/context.js'
import type {RollbackRequest} from '../../src/lib/migration/rollback/request.js'
import type {RollbackView} from '../../src/lib/migration/rollback/view.js'
import {encodeKey} from '../../src/lib/pegasus/key-hash.js'
import type {KeyValue} from '../../src/lib/rpc/structs/rrdb.js'
import {RowBatch} from '../../src/lib/pegasus/row-batch.js'
import {sleep} from '../../src/lib/clock.js'
import {copy, request, view} from './rollback-view.js'
import {DENY, ScriptedMigration, type ScriptedSide} from './scripted-migration.js'

export const REFUSING = 'reconfig*write'
export const CLOSED = 'reconfig*all'

/** Rows of one partition: values by their hash key. */
export type Rows = Record<string, string>

/** A table `users` of `a` that was moved to `b`: `b` serves, `a` refuses everyone, and nothing ships. */
export class ScriptedReturn {
  readonly script = new ScriptedMigration()
  readonly rows: Record<'source' | 'target', Rows[]> = {
    source: [{one: '1'}, {two: '2', zwei: '2'}],
    target: [{one: '1'}, {two: '2', zwei: '2'}],
  }

  readonly context: RollbackContext
  /** The metas that the source names; none: it does not say. */
  metaServers = ['10.0.0.9:34601', '10.0.0.8:34601']
  /** How long each batch of a scan takes; a row alone is there at once. */
  scanMs = 0
  /** Called before each scan of a partition. */
  onScan: (side: 'source' | 'target') => void = () => {}

  constructor(seen: Partial<RollbackView> = {}, asked: Partial<RollbackRequest> = {}) {
    const {script} = this
    const {clock, context, source} = script
    script.writeNode('b')
    source.status = undefined
    source.envs.set(DENY, CLOSED)
    source.answers = ['closed', 'closed']
    script.afterEffect = (effect) => this.apply(effect)
    this.context = {
      ...context,
      client: {
        ...context.client,
        env: {clock, random: () => 0},
        pool: {call: this.call, async send() {}},
      } as never,
      plan: {found: [], kind: 'return', steps: [], warnings: []},
      report: script.report,
      rollback: request({limitMs: 60_000, table: 'users', ...asked}),
      async sendGuardAway() {},
      source: {
        ...context.source,
        info: async () => {
          await context.source.info()
          return {clusterName: 'a', metaServers: this.metaServers}
        },
      } as never,
      startMs: clock.nowMs(),
      state: {deniesSource: false, returned: false, settingsPutBack: [], targetDenied: false},
      target: context.target,
      view: view({
        deny: CLOSED,
        node: {record: script.node, side: 'target'},
        partitionCount: 2,
        target: {cluster: 'b', metas: ['10.0.1.9:34601'], table: {...copy, followerEnvs: {}}},
        ...seen,
      }),
    } as RollbackContext
  }

  /** So many partitions, each with these rows, on one server of each side. */
  have(partitionCount: number, rows: Record<'source' | 'target', Rows>): void {
    for (const side of ['source', 'target'] as const) {
      const scripted = this.script[side]
      scripted.primaries = Array.from({length: partitionCount}, () => scripted.primaries[0]!)
      this.rows[side] = Array.from({length: partitionCount}, () => rows[side])
    }
  }

  /** Writes are refused on both sides, as between the two comparisons and the switch. */
  denyBoth(): void {
    this.become('source', REFUSING)
    this.become('target', REFUSING)
    this.context.state.targetDenied = true
    this.context.state.deniedAtMs = this.script.clock.nowMs()
  }

  become(side: 'source' | 'target', deny: string | undefined): void {
    const scripted: ScriptedSide = this.script[side]
    if (deny === undefined) scripted.envs.delete(DENY)
    else scripted.envs.set(DENY, deny)
    const answers = deny === undefined ? 'open' : deny === CLOSED ? 'closed' : 'refusing'
    scripted.answers = scripted.answers.map(() => answers)
  }

  run(step: RunStep): Promise<string> {
    return this.script.run(step(this.context), 72 * 3_600_000)
  }

  async error(step: RunStep): Promise<MigratorError> {
    try {
      await this.run(step)
    } catch (error) {
      if (error instanceof MigratorError) return error
      throw error
    }

    throw new Error('it went well')
  }

  /** `deny` of each side now. */
  get denies(): (string | undefined)[] {
    const {source, target} = this.script
    return [source.envs.get(DENY), target.envs.get(DENY)]
  }

  private readonly stored = new WeakMap<Rows, KeyValue[]>()

  private apply(effect: Effect): EffectOutcome {
    const {script} = this
    if (effect.kind === 'open-source-reads') this.become('source', effect.value)
    if (effect.kind === 'deny-target' || effect.kind === 'close-target') this.become('target', effect.value)
    if (effect.kind === 'lift-target') this.become('target', effect.before ?? undefined)
    if (effect.kind === 'switch-node-back') script.writeNode('a', effect.beforeVersion + 1)
    return {}
  }

  private readonly call = async (address: string, call: {name: string}, asked: never, options: never) => {
    const {script} = this
    if (!call.name.includes('GET_SCANNER'))
      return script.context.client.pool.call(address, call as never, asked, options)
    const side = script.source.primaries.includes(address) ? 'source' : 'target'
    this.onScan(side)
    const {pid, signal} = options as {pid: {partitionIndex: number}; signal: AbortSignal}
    const {batchSize, startInclusive, startKey} = asked as {
      batchSize: number
      startInclusive: boolean
      startKey: Buffer
    }
    if (batchSize > 1) await sleep(script.clock, this.scanMs, signal)
    const rows = this.sorted(this.rows[side][pid.partitionIndex]!)
    const from = rows.findIndex(({key}) => Buffer.compare(key, startKey) >= (startInclusive ? 0 : 1))
    // One row is wanted alone, else all that are left.
    const wanted = from === -1 ? [] : rows.slice(from, batchSize === 1 ? from + 1 : undefined)
    return {contextId: -1n, error: 0, rows: RowBatch.of(wanted)}
  }

  private sorted(rows: Rows): KeyValue[] {
    let known = this.stored.get(rows)
    if (!known) {
      known = Object.entries(rows)
        .map(([key, value]) => ({
          expireTsSeconds: 0,
          key: encodeKey(Buffer.from(key), Buffer.alloc(0)),
          value: Buffer.from(value),
        }))
        .sort((one, other) => Buffer.compare(one.key, other.key))
      this.stored.set(rows, known)
    }

    return known
  }
}
