import assert from 'node:assert/strict'

import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import type {MigrationResult} from '../../src/lib/migration/index.js'
import type {RollbackResult} from '../../src/lib/migration/rollback/index.js'
import type {StatusReport} from '../../src/lib/migration/status/index.js'
import {FAST_SERVERS} from '../sandbox/playground.js'
import type {LoadClient} from '../sandbox/load-client.js'
import {type Bed, loadClient, realBed, sandboxBed, verifyOn, withNodes} from './bed.js'
import {
  assertFinished,
  assertNoDuplication,
  batchBytes,
  createOwnTable,
  namedCluster,
  removeOwnTable,
  until,
} from './own-table.js'
import {Operator, type Program} from './program.js'

/*
 * What operators do that needs no fault of a server: the built program, as processes of its own, with real signals and in
 * real time. Simulated clusters, all journeys at once; or real ones (docs/real-clusters.md), one journey after the other.
 */

const DENY_ENV = 'replica.deny_client_request'

/** A table under load, and an operator who moves it. */
class Journey {
  private constructor(
    readonly bed: Bed,
    readonly table: string,
    readonly before: Map<string, string | undefined>,
    readonly load: LoadClient,
    private readonly operator: Operator,
  ) {}

  static async begin(bed: Bed, table: string): Promise<Journey> {
    await createOwnTable(bed, table)
    const load = loadClient(bed, table, {keys: 500, writers: 8, writesPerSecond: 100})
    await load.start()
    await until(bed, '1000 writes', () => load.ledger.history.length > 1000)
    return new Journey(bed, table, await batchBytes(bed), load, await Operator.of(bed))
  }

  migrate(...more: string[]): Program {
    const {bed, table} = this
    // The stock configuration of 2.5 makes empty writes each 100 s, and a drain may take two of them.
    const bound = bed.sandbox ? [] : ['--max-write-deny', '300s']
    const target = ['-c', bed.targetCluster, '-m', bed.target.metas.join(',')]
    return this.run('table:migrate', ...target, '-t', table, '--yes', ...bound, ...more)
  }

  run(...args: string[]): Program {
    return this.operator.run(...args)
  }

  /** Flags of a table whose clients go by metaproxy. */
  get node(): string[] {
    const {proxy, root, zookeeper} = this.bed
    return ['-n', zookeeper, '-r', root, '--proxy', proxy]
  }

  async status(): Promise<StatusReport['tables'][number]> {
    const {root, zookeeper} = this.bed
    const program = this.run('table:migrate-status', '-t', this.table, '-n', zookeeper, '-r', root, '--json')
    await program.ended
    const report = JSON.parse(program.stdout) as StatusReport
    assert.equal(report.tables.length, 1, program.output)
    return report.tables[0]!
  }

  async deny(): Promise<string | undefined> {
    return (await this.bed.source.table(this.table))?.envs.get(DENY_ENV)
  }

  /** Everything that a command which changes nothing must leave as it is. */
  async snapshot(): Promise<unknown> {
    const {bed, table} = this
    const node = await withNodes(bed, (nodes) => nodes.get(`${bed.root}/${table}`))
    return {
      batchBytes: await batchBytes(bed),
      duplications: (await bed.source.duplications(table)).map(({dupid, status}) => ({dupid, status})),
      envs: (await bed.source.table(table))!.envs,
      node: {text: node.bytes.toString(), version: node.version},
      target: (await bed.target.table(table))?.appId,
    }
  }

  /** The application's writes are done again, on every partition. */
  async untilWritable(): Promise<void> {
    const from = this.load.ledger.history.length
    const isDone = () =>
      new Set(this.load.ledger.history.slice(from).map(({partitionIndex}) => partitionIndex)).size === 8
    await until(this.bed, 'acknowledged writes on every partition', isDone)
  }

  async assertNothingLost(on: 'source' | 'target'): Promise<void> {
    await this.untilWritable()
    await this.load.stop()
    const {checked, lost, stale} = await verifyOn(this.bed, this.bed[on], this.table, this.load)
    assert.ok(checked > 300, `only ${checked} keys were written`)
    assert.deepEqual({lost, stale}, {lost: [], stale: []})
  }

  async end(): Promise<void> {
    await this.load.stop()
    await this.operator.leave()
    // What went wrong before is what matters.
    if (!this.bed.sandbox)
      await removeOwnTable(this.bed, this.table).catch((error: unknown) => console.error('left behind:', error))
  }
}

const journeys: Record<string, (journey: Journey) => Promise<void>> = {
  async 'a dry run; Ctrl-C while it copies, and while writes are denied; rolled back, nothing is left of it'(journey) {
    const {bed, before, table} = journey
    const untouched = await journey.snapshot()
    await journey.migrate(...journey.node, '--dry-run').endsWith(0)
    assert.deepEqual(await journey.snapshot(), untouched)

    const copying = journey.migrate(...journey.node)
    await copying.until(async () => (await bed.source.duplications(table)).length > 0)
    copying.kill('SIGINT')
    await copying.endsWith(130)
    assert.equal(await journey.deny(), undefined)

    const denying = journey.migrate(...journey.node)
    await denying.until(async () => (await journey.deny()) !== undefined)
    denying.kill('SIGINT')
    await denying.endsWith(130)
    assert.equal(await journey.deny(), undefined)
    await journey.untilWritable()
    assert.equal((await journey.status()).level, 'in-progress')

    const flags = ['--brief-deny', '--drop-target', '--yes', '--confirm', table, '--json']
    const back = journey.run('table:migrate-rollback', '-t', table, ...flags)
    const result = JSON.parse(await back.endsWith(0)) as RollbackResult
    assert.equal(result.outcome, 'rolled-back')
    assert.equal(await journey.deny(), undefined)
    assert.equal(await bed.target.table(table), undefined)
    await assertNoDuplication(bed, table, before)
    assert.equal(await namedCluster(bed, table), (await bed.source.info()).clusterName)
    await journey.assertNothingLost('source')
  },

  async 'held, released, killed while writes are denied: its guard allows them again, the same command ends it'(
    journey,
  ) {
    const {bed, before, table} = journey
    const held = journey.migrate(...journey.node, '--hold')
    await held.until(/held, writes are allowed/)
    assert.equal(await journey.deny(), undefined)
    await journey.run('table:migrate-release', '-t', table).endsWith(0)
    await held.until(async () => (await journey.deny()) !== undefined)
    await held.until(/phase=drain/)
    held.kill('SIGKILL')
    await held.endsWith('SIGKILL')
    await until(bed, 'the guard has lifted the deny', async () => (await journey.deny()) === undefined)
    await journey.untilWritable()

    const again = journey.migrate(...journey.node, '--json')
    const result = JSON.parse(await again.endsWith(0)) as MigrationResult
    assert.equal(result.outcome, 'migrated')
    await journey.assertNothingLost('target')
    await assertFinished(bed, table, before)
    assert.equal((await journey.status()).state, 'migrated')
  },

  async 'without a node: lifted at the end of the drain, then kept, and the applications moved by hand'(journey) {
    const {bed, before, table} = journey
    const lifted = journey.migrate('--after-drain', 'lift', '--deny-mode', 'reconfig')
    await lifted.endsWith(4)
    assert.equal(await journey.deny(), undefined)
    await journey.untilWritable()

    const kept = journey.migrate('--after-drain', 'keep', '--deny-mode', 'reconfig', '--json')
    const result = JSON.parse(await kept.endsWith(0)) as MigrationResult
    assert.equal(result.outcome, 'handed-over')
    const data = formatNodeData(bed.targetCluster, bed.target.metas)
    await withNodes(bed, (nodes) => nodes.set(`${bed.root}/${table}`, data))
    await journey.assertNothingLost('target')
    await assertFinished(bed, table, before)
  },
}

describe('journeys of an operator', function () {
  const real = realBed()
  this.timeout(real ? 3_600_000 : 300_000)
  const running = new Map<string, Promise<{error?: unknown}>>()

  async function travel(title: string): Promise<{error?: unknown}> {
    const index = Object.keys(journeys).indexOf(title)
    const overrides = {source: FAST_SERVERS, target: FAST_SERVERS}
    const bed = realBed() ?? (await sandboxBed({overrides, scale: 1, seed: 100 + index}))
    try {
      const journey = await Journey.begin(bed, `e2e_${Date.now().toString(36)}_${index}`)
      try {
        await journeys[title]!(journey)
      } finally {
        await journey.end()
      }

      return {}
    } catch (error) {
      return {error}
    } finally {
      await bed.stop()
    }
  }

  before(() => {
    if (!real) for (const title of Object.keys(journeys)) running.set(title, travel(title))
  })

  for (const title of Object.keys(journeys)) {
    it(title, async () => {
      const {error} = await (running.get(title) ?? travel(title))
      if (error !== undefined) throw error
    })
  }
})
