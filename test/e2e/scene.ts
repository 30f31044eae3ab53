import assert from 'node:assert/strict'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import {sleep} from '../../src/lib/clock.js'
import type {MigrationEvent, MigrationRequest, MigrationResult, Outcome} from '../../src/lib/migration/index.js'
import type {SimulatedCluster} from '../sandbox/index.js'
import type {LoadClient, LoadOptions} from '../sandbox/load-client.js'
import {quickTimers} from '../sandbox/quick-timers.js'
import type {ZooKeeper} from '../sandbox/zookeeper.js'
import {type BedOptions, loadClient, move, type MoveOptions, nameSource, type SandboxBed, sandboxBed} from './bed.js'
import {assertInvariants} from './invariants.js'

export interface SceneOptions extends Omit<BedOptions, 'root' | 'zookeeper'> {
  /** What the application does; `false`: nothing. */
  load?: false | Partial<LoadOptions>
  partitionCount?: number
  /** The timers as measured; default: shorter ones. */
  realTimers?: boolean
  replicaCount?: number
  /** Written before anything begins. */
  rows?: number
}

/** Something that happens to a run once, when an event comes. */
interface Trouble {
  /** May be asynchronous; a failure fails the scene. */
  act(event: MigrationEvent): Promise<unknown> | unknown
  happened: boolean
  when(event: MigrationEvent): boolean
}

const TABLE = 'users'
const TIME_LIMIT_MS = 120_000
let scenes = 0

/** A table under load on two clusters of its own, about to be migrated. */
export class Scene {
  /** Every migration of this scene, oldest first. */
  readonly events: MigrationEvent[] = []
  /** Which servers were asked what: name of the RPC or `GET /path` → addresses. */
  readonly asked = new Map<string, Set<string>>()
  readonly table = TABLE
  private readonly pending: Promise<unknown>[] = []
  private loadStopped = false
  private troubles: Trouble[] = []

  private constructor(
    readonly bed: SandboxBed,
    readonly load: LoadClient | undefined,
    readonly journalDirectory: string,
  ) {
    for (const cluster of [this.source, this.target]) {
      const {faults} = cluster
      const take = faults.take.bind(faults)
      faults.take = (call, address) => {
        const addresses = this.asked.get(call) ?? new Set()
        this.asked.set(call, addresses.add(address))
        return take(call, address)
      }

      // What crashed real servers now and then does so always here.
      cluster.hazards.crashOnEarlyDrop = true
      cluster.hazards.crashWhenStoppedUnderLoad = true
    }
  }

  static async open(zookeeper: ZooKeeper, options: SceneOptions): Promise<Scene> {
    const {load, overrides, partitionCount = 4, realTimers = false, replicaCount = 3, rows = 200, ...rest} = options
    const timers = realTimers ? {} : quickTimers
    const bed = await sandboxBed({
      // Slow enough that a busy machine is no slow cluster.
      scale: 6,
      ...rest,
      overrides: {source: {...timers, ...overrides?.source}, target: {...timers, ...overrides?.target}},
      root: `/scene-${++scenes}/metaproxy`,
      zookeeper,
    })
    await bed.sandbox.source.createTable(TABLE, {partitionCount, replicaCount})
    bed.sandbox.source.loadRows(
      TABLE,
      Array.from({length: rows}, (_, index) => ({hashKey: `old${index}`, value: `value ${index}`})),
    )
    await nameSource(bed, TABLE)
    const client = load === false ? undefined : loadClient(bed, TABLE, {keys: 200, writesPerSecond: 40, ...load})
    const scene = new Scene(bed, client, await mkdtemp(join(tmpdir(), 'table-migrator-scene-')))
    await client?.start()
    return scene
  }

  get source(): SimulatedCluster {
    return this.bed.sandbox.source
  }

  get target(): SimulatedCluster {
    return this.bed.sandbox.target
  }

  get nodePath(): string {
    return `${this.bed.root}/${TABLE}`
  }

  /** Does something, once, when the first event comes that `when` is true of, before whatever the event announces. */
  at(when: (event: MigrationEvent) => boolean, act: Trouble['act']): void {
    this.troubles.push({act, happened: false, when})
  }

  /**
   * Migrates; everything that was arranged by `at` must have happened, and whatever came of it the invariants must hold.
   * @param expected how it must end: the outcome, and the error's code
   */
  async migrate(
    expected: [Outcome, string?],
    request: Partial<MigrationRequest> = {},
    options: Omit<MoveOptions, 'onEvent' | 'request'> = {},
  ): Promise<MigrationResult> {
    const result = await this.run(request, options)
    this.assertEnd(result, expected)
    return result
  }

  /** Migrates, and leaves the judgement to the caller. */
  async run(
    request: Partial<MigrationRequest> = {},
    options: Omit<MoveOptions, 'onEvent' | 'request'> = {},
  ): Promise<MigrationResult> {
    const {result} = await move(this.bed, TABLE, {
      journalDirectory: this.journalDirectory,
      ...options,
      onEvent: (event) => this.hear(event),
      request: {denyMode: 'reconfig', verifySampleRows: 100, ...request},
    })
    await Promise.all(this.pending)
    assert.ok(
      this.troubles.every(({happened}) => happened),
      `what the scene is about never happened; ${told(result)}`,
    )
    this.troubles = []
    return result
  }

  assertEnd(result: MigrationResult, [outcome, code]: [Outcome, string?]): void {
    assert.equal(result.outcome, outcome, told(result))
    assert.equal(result.error?.code, code, told(result))
  }

  /** Asserts what must always be true, after a run that ended with `result`. Ends the load. */
  async close(result: MigrationResult): Promise<void> {
    await assertInvariants(this, result)
  }

  /** The application ends; what it was told still counts. */
  async stopLoad(): Promise<void> {
    this.loadStopped = true
    await this.load?.stop()
  }

  async stop(): Promise<void> {
    await this.load?.stop()
    await this.bed.stop()
    await rm(this.journalDirectory, {force: true, recursive: true})
  }

  /** Waits on the scene's own clock. @throws after two minutes */
  async until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
    const {clock} = this.bed
    const startMs = clock.nowMs()
    while (!(await done())) {
      assert.ok(clock.nowMs() - startMs < TIME_LIMIT_MS, `not there after ${TIME_LIMIT_MS / 1000} s: ${what}`)
      await sleep(clock, 100)
    }
  }

  /** Waits until the application's writes succeed again on every partition. */
  async untilWritable(): Promise<void> {
    const {load} = this
    if (!load || this.loadStopped) return
    const from = load.ledger.history.length
    const {partitionCount} = this.source.table(TABLE).info
    await this.until(
      'acknowledged writes on every partition',
      () => new Set(load.ledger.history.slice(from).map(({partitionIndex}) => partitionIndex)).size === partitionCount,
    )
  }

  private hear(event: MigrationEvent): void {
    this.events.push(event)
    for (const trouble of this.troubles) {
      if (trouble.happened || !trouble.when(event)) continue
      trouble.happened = true
      const doing = Promise.resolve(trouble.act(event))
      // Awaited when the run is over; until then nobody listens.
      doing.catch(() => {})
      this.pending.push(doing)
    }
  }
}

/** A result in a few words, for messages of failed assertions. */
export function told({error, outcome, phases, warnings}: MigrationResult): string {
  const steps = phases.map(({phase, state}) => `${phase} ${state}`).join(', ')
  return `${outcome}: ${error?.code ?? 'no error'} ${error?.message ?? ''} [${steps}] ${warnings.join(' | ')}`
}
