import assert from 'node:assert/strict'
import {mkdtempSync, readFileSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import type {AcquireOptions, LockNote, SharedLock, SharedLocks} from '../../src/lib/metaproxy/shared-lock.js'
import {defaultLimits, migrate, type MigrationRequest} from '../../src/lib/migration/index.js'
import {
  type LockFacts,
  readStatus,
  type StatusQuery,
  type StatusReport,
  type StatusWorld,
} from '../../src/lib/migration/status/index.js'
import type {Clock} from '../../src/lib/clock.js'
import {type Sandbox, seededRandom} from '../sandbox/index.js'
import {MemoryNodes} from '../sandbox/memory-nodes.js'
import {type SimulatedMetaproxy, startMetaproxy} from '../sandbox/metaproxy.js'
import {onBed} from '../sandbox/test-bed.js'
import {TestClient} from '../sandbox/test-client.js'
import {type Schema, violations} from './json-schema.js'
import {MemoryFiles} from './memory-files.js'

const ROOT = '/metaproxy'
const schema = JSON.parse(
  readFileSync(new URL('../../schemas/table-migrate-status.schema.json', import.meta.url), 'utf8'),
) as Schema

/** The shared lock of one table, kept here instead of in ZooKeeper. */
export class MemoryLocks implements SharedLocks {
  private note: LockNote | undefined

  async acquire({note}: AcquireOptions): Promise<SharedLock> {
    if (this.note) throw new Error('the lock is held already')
    this.note = note
    return {
      async check() {
        // Nobody takes it away here.
      },
      async regain() {
        // As above.
      },
      release: async () => {
        this.note = undefined
      },
      versionCheck: () => undefined,
    }
  }

  async holder(): Promise<LockNote | undefined> {
    return this.note
  }
}

/** A sandbox with table `t` and its metaproxy node, a metaproxy, and the files of one operator's machine. */
export class StatusBed {
  /** Lock files are on the disk, journals in memory. */
  readonly directory = mkdtempSync(join(tmpdir(), 'status-'))
  readonly files = new MemoryFiles()
  readonly client: TestClient
  readonly locks = new MemoryLocks()

  private constructor(
    readonly clock: Clock,
    readonly sandbox: Sandbox,
    readonly proxy: SimulatedMetaproxy,
    readonly nodes: MemoryNodes,
  ) {
    this.client = new TestClient(sandbox, clock)
  }

  static async open(clock: Clock, sandbox: Sandbox): Promise<StatusBed> {
    await sandbox.source.createTable('t', {partitionCount: 4, replicaCount: 3})
    sandbox.source.loadRows(
      't',
      Array.from({length: 400}, (_, i) => ({hashKey: `row${i}`, value: `value ${i}`})),
    )
    const nodes = new MemoryNodes(ROOT)
    const {network} = sandbox.source.world
    const zookeeper = () => nodes.watched()
    const proxy = await startMetaproxy({clock, network, random: seededRandom(3), root: ROOT, zookeeper})
    const bed = new StatusBed(clock, sandbox, proxy, nodes)
    bed.name('source')
    return bed
  }

  get source() {
    return this.sandbox.source
  }

  get target() {
    return this.sandbox.target
  }

  async close(): Promise<void> {
    rmSync(this.directory, {force: true, recursive: true})
    this.client.close()
    await this.proxy.stop()
  }

  /** Makes the node name one side. */
  name(side: 'source' | 'target'): void {
    const cluster = this.sandbox[side]
    this.nodes.put(`${ROOT}/t`, formatNodeData(cluster.name, cluster.metas))
  }

  world(changes: Partial<StatusWorld> = {}): StatusWorld {
    return {
      clock: this.clock,
      files: this.files,
      journalDirectory: this.directory,
      openLocks: () => this.locks,
      openStore: () => this.nodes,
      random: seededRandom(5),
      // Not from the disk: virtual time would pass meanwhile.
      readLock: async () => this.lockFacts(),
      transport: this.sandbox.transport,
      ...changes,
    }
  }

  /** Reads, and holds what came of it against the schema. */
  async read(query: Partial<StatusQuery> = {}, world: Partial<StatusWorld> = {}): Promise<StatusReport> {
    const report = await readStatus({proxies: [], sourceMetas: this.source.metas, ...query}, this.world(world))
    const text = JSON.stringify(report)
    assert.deepEqual(violations(schema, JSON.parse(text)), [], text)
    return report
  }

  /** The status of `t`. */
  async table(query: Partial<StatusQuery> = {}, world: Partial<StatusWorld> = {}) {
    const {tables} = await this.read({table: 't', ...query}, world)
    assert.equal(tables.length, 1)
    return tables[0]!
  }

  /** As seen from a machine without journal: it must be told where the node is. */
  elsewhere() {
    const other = {files: new MemoryFiles(), journalDirectory: join(this.directory, 'elsewhere')}
    return this.table({zooKeeperHosts: 'zk:2181', zooKeeperRoot: ROOT}, other)
  }

  private async lockFacts(): Promise<LockFacts> {
    const note = await this.locks.holder()
    return {
      held: note !== undefined,
      ...(note ? {holder: note.command, sinceMs: note.sinceMs} : {}),
      scope: 'everywhere',
    }
  }

  migrate(changes: Partial<MigrationRequest> = {}) {
    const request: MigrationRequest = {
      accepted: [],
      afterDrain: 'lift',
      cutoverAttempts: 1,
      denyMode: 'timeout',
      limits: defaultLimits,
      maxWriteDenyMs: 120_000,
      metaproxy: {hosts: 'zk:2181', root: ROOT},
      proxies: [this.proxy.address],
      sourceMetas: this.source.metas,
      table: 't',
      targetCluster: this.target.name,
      targetMetas: this.target.metas,
      thresholdMutations: 10_000,
      verify: 'sample',
      verifySampleRows: 100,
      ...changes,
    }
    const hooks = {
      askMoved: async () => 'abort' as const,
      confirm: async () => true,
      emit() {
        // What is told here is not what status reads.
      },
    }
    return migrate(request, this.world(), hooks, {dryRun: false, signal: new AbortController().signal})
  }
}

/** Runs `body` on a fresh bed, on virtual time. */
export function onStatusBed(options: Parameters<typeof onBed>[0], body: (bed: StatusBed) => Promise<void>) {
  return onBed(options, async ({clock, sandbox}) => {
    const status = await StatusBed.open(clock, sandbox)
    try {
      await body(status)
    } finally {
      await status.close()
    }
  })
}
