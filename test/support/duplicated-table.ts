import {type Clock, sleep} from '../../src/lib/clock.js'
import {readShipping} from '../../src/lib/migration/proof/shipping.js'
import {ClusterRows, type ReadProgress, type VerifyOptions} from '../../src/lib/migration/verify/index.js'
import {PegasusClient} from '../../src/lib/pegasus/client.js'
import type {Cluster} from '../../src/lib/pegasus/cluster.js'
import {TableReader} from '../../src/lib/pegasus/rows.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {type LoadedRow, type Profile, type Sandbox, seededRandom, startSandbox} from '../sandbox/index.js'

export interface DuplicatedTableOptions {
  batchBytes?: number
  clock: Clock
  listen?: 'memory' | 'tcp'
  partitionCount: number
  profile: Profile
  rows: Iterable<LoadedRow>
}

const table = 'users'

/** A table that a real duplication, with checkpoint, has brought to DS_LOG and that ships. */
export class DuplicatedTable {
  private constructor(
    readonly clock: Clock,
    readonly sandbox: Sandbox,
    readonly client: PegasusClient,
    readonly source: Cluster,
    readonly target: Cluster,
    private readonly dupid: number,
    private readonly profile: Profile,
  ) {}

  static async start(options: DuplicatedTableOptions): Promise<DuplicatedTable> {
    const {batchBytes = 0, clock, listen = 'memory', partitionCount, profile} = options
    const overrides = {source: {duplicate_log_batch_bytes: batchBytes}}
    const sandbox = await startSandbox({clock, listen, overrides, profile})
    await sandbox.source.createTable(table, {partitionCount, replicaCount: 3})
    sandbox.source.loadRows(table, options.rows)
    const client = new PegasusClient({clock, random: seededRandom(2), transport: sandbox.transport})
    const [source, target] = [client.cluster(sandbox.source.metas), client.cluster(sandbox.target.metas)]
    const {dupid} = await source.addDuplication({checkpoint: true, remoteCluster: sandbox.target.name, table})
    const duplicated = new DuplicatedTable(clock, sandbox, client, source, target, dupid, profile)
    await duplicated.untilShipping()
    return duplicated
  }

  /** A reader and writer of its own, on the primaries as they are now. */
  async reader(side: 'source' | 'target'): Promise<TableReader> {
    return new TableReader(this.client.pool, await this[side].configuration(table), this.client.env)
  }

  async stop(): Promise<void> {
    await this.client.close()
    await this.sandbox.stop()
  }

  /** Everything that `verifyTable` needs, by the means of a migration. */
  async verifyOptions(signal = new AbortController().signal): Promise<VerifyOptions> {
    const sides = {client: this.client, signal, table}
    const [source, target] = [await this.source.configuration(table), await this.target.configuration(table)]
    return {
      clock: this.clock,
      emit() {},
      mode: 'full',
      parallel: 4,
      partitionCount: source.partitionCount,
      progress: this.progress,
      random: seededRandom(3),
      rereadLimitMs: 45_000,
      sampleRows: 500,
      signal,
      source: new ClusterRows({...sides, cluster: this.source, configuration: source, name: 'source'}),
      target: new ClusterRows({...sides, cluster: this.target, configuration: target, name: 'target'}),
    }
  }

  progress: ReadProgress = async (signal) => {
    const generation = this.profile === 'master' ? 'master' : '2.5'
    const query = {cluster: this.source, decrees: true, dupid: this.dupid, generation, signal, table} as const
    const view = await readShipping(query)
    return Array.from({length: view.partitionCount}, (_, index) => view.partitions.get(index))
  }

  private async untilShipping(): Promise<void> {
    const signal = new AbortController().signal
    const endMs = this.clock.nowMs() + 300_000
    for (;;) {
      const [entry] = await this.source.duplications(table)
      if (entry?.status === DuplicationStatus.DS_LOG) {
        const progress = await this.progress(signal)
        if (progress.every((p) => p && p.committedDecree - p.shippedDecree <= 1)) return
      }

      if (this.clock.nowMs() > endMs) throw new Error('the duplication does not ship')
      await sleep(this.clock, 1000)
    }
  }
}

/** Whole key → value of every row on both sides that is not the same, as the sandbox itself holds them. */
export function trueDifferences(sandbox: Sandbox): string[] {
  const [source, target] = [sandbox.source.rows(table), sandbox.target.rows(table)]
  return [...new Set([...source.keys(), ...target.keys()])].filter((key) => {
    const [a, b] = [source.get(key), target.get(key)]
    return !a || !b || a.expireTs !== b.expireTs || !a.value.equals(b.value)
  })
}
