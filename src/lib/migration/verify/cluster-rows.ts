import {setMaxListeners} from 'node:events'
import {sleep} from '../../clock.js'
import {isMigratorError, MigratorError} from '../../errors.js'
import type {PegasusClient} from '../../pegasus/client.js'
import type {Cluster, TableConfiguration} from '../../pegasus/cluster.js'
import type {Pace} from '../../pegasus/pace.js'
import type {RowBatch} from '../../pegasus/row-batch.js'
import {TableReader} from '../../pegasus/rows.js'
import {mayPass} from '../wait.js'
import type {KeyRange, Row, RowSource} from './types.js'

/** A meta leader's death stops all reads of a cluster for up to 47 s (measured.md §10). */
const patienceMs = 90_000
const retryIntervalMs = 1000
/** The servers' own limit (protocol.md §8.4). */
const mostRowsPerBatch = 1000
/** A table's rows may have 1 MiB each, and a server puts a whole batch together: the first one is a try. */
const firstBatchRows = 20
/** Both sides of several partitions are held at once. */
const bytesPerBatch = 2 * 1024 * 1024

export interface ClusterRowsOptions {
  client: PegasusClient
  cluster: Cluster
  configuration: TableConfiguration
  /** Whose rows these are, for messages. */
  name: 'source' | 'target'
  /** Holds reading back; default: as fast as the servers answer. */
  pace?: Pace
  signal: AbortSignal
  table: string
}

/** Since when a partition cannot be read; a success ends it. */
interface Trouble {
  sinceMs?: number
}

/**
 * The rows of a table on a cluster. Follows primaries when they move, and bears a cluster that refuses for 90 s.
 * @throws MigratorError verify.unreadable, verify.table_changed; what `TableReader` throws and cannot be repeated
 */
export class ClusterRows implements RowSource {
  private reader: TableReader
  private refreshing: Promise<void> | undefined

  private readonly signal: AbortSignal

  constructor(private readonly options: ClusterRowsOptions) {
    // A signal of its own, because as many calls hang on it as rows are read at once.
    this.signal = AbortSignal.any([options.signal])
    setMaxListeners(0, this.signal)
    this.reader = this.readerOf(options.configuration)
  }

  async count(partition: number): Promise<number> {
    const {signal} = this
    const {pace} = this.options
    return this.bearing(partition, (primary) =>
      // 2.4 cannot count and sends what it has: keys at least without values.
      this.reader.countPartition(this.pid(partition), primary, {
        batchSize: Math.min(mostRowsPerBatch, pace?.mostRowsAtOnce ?? mostRowsPerBatch),
        noValue: true,
        pace,
        signal,
        timeoutMs: 30_000,
      }),
    )
  }

  async get(partition: number, key: Buffer): Promise<Row | undefined> {
    const {signal} = this
    const {pace} = this.options
    return this.bearing(partition, async (primary) => {
      // A scan that begins there, because GET does not tell when the row expires.
      const place = {batchSize: 1, pace, signal, startKey: key}
      const batches = this.reader.scanBatches(this.pid(partition), primary, place)
      try {
        const {done, value} = await batches.next()
        if (done || !value.key(0).equals(key)) return undefined
        return {expireTsSeconds: value.expireTsSeconds(0), key, value: value.row(0).value}
      } finally {
        await batches.return(undefined)
      }
    })
  }

  async *scan(partition: number, {from, rowsWanted, to}: KeyRange = {}): AsyncGenerator<RowBatch> {
    const {signal} = this
    const {pace} = this.options
    const wanted = Math.min(rowsWanted ?? mostRowsPerBatch, mostRowsPerBatch, pace?.mostRowsAtOnce ?? mostRowsPerBatch)
    const batchSize = Math.min(wanted, firstBatchRows)
    const place = {batchSize, pace, prefetch: false, signal, startInclusive: true, startKey: from}
    if (from?.length === 0) place.startKey = undefined
    const trouble: Trouble = {}
    let trying = true
    for (let ended = false; !ended;) {
      try {
        ended = true
        for await (const batch of this.reader.scanBatches(this.pid(partition), this.primary(partition), place)) {
          trouble.sinceMs = undefined
          const count = to ? rowsBelow(batch, to) : batch.length
          yield count === batch.length ? batch : batch.head(count)
          if (count < batch.length) return
          place.startKey = batch.key(count - 1)
          place.startInclusive = false
          const fitting = fittingRows(batch, wanted)
          // A scanner keeps its size, so another one goes on; upwards only once, because it sees a later state.
          if (trying ? fitting === place.batchSize : fitting * 2 > place.batchSize) continue
          trying = false
          place.batchSize = fitting
          // Whoever wants a few rows only would mostly throw the next ones away.
          place.prefetch = rowsWanted === undefined
          ended = false
          break
        }
      } catch (error) {
        await this.bear(partition, error, trouble)
        ended = false
      }
    }
  }

  /** Waits before the next attempt. @throws `error` when repeating does not help, verify.unreadable after 90 s */
  private async bear(partition: number, error: unknown, trouble: Trouble): Promise<void> {
    const {client, name, table} = this.options
    const {clock} = client.env
    this.signal.throwIfAborted()
    if (!isMigratorError(error) || !error.retrySafe) throw error
    trouble.sinceMs ??= clock.nowMs()
    if (clock.nowMs() - trouble.sinceMs >= patienceMs) {
      const message = `partition ${partition} of ${table} could not be read on the ${name} for 90 s: ${error.message}`
      throw new MigratorError('verify.unreadable', message, {
        cause: error,
        facts: {partition, side: name},
        retrySafe: true,
      })
    }

    await sleep(clock, retryIntervalMs, this.signal)
    this.refreshing ??= this.refresh().finally(() => {
      this.refreshing = undefined
    })
    await this.refreshing
  }

  private async bearing<T>(partition: number, read: (primary: string) => Promise<T>): Promise<T> {
    const trouble: Trouble = {}
    for (;;) {
      try {
        return await read(this.primary(partition))
      } catch (error) {
        await this.bear(partition, error, trouble)
      }
    }
  }

  private pid(partitionIndex: number): {appId: number; partitionIndex: number} {
    return {appId: this.reader.configuration.appId, partitionIndex}
  }

  private primary(partition: number): string {
    const address = this.reader.configuration.partitions[partition]?.primary
    if (address) return address
    const message = `partition ${partition} of ${this.options.table} has no primary on the ${this.options.name}`
    throw new MigratorError('verify.no_primary', message, {facts: {partition}, retrySafe: true})
  }

  private readerOf(configuration: TableConfiguration): TableReader {
    const {env, pool} = this.options.client
    return new TableReader(pool, configuration, env)
  }

  private async refresh(): Promise<void> {
    const {cluster, name, table} = this.options
    const {appId, partitionCount} = this.reader.configuration
    let configuration: TableConfiguration
    try {
      configuration = await cluster.configuration(table, {signal: this.signal})
    } catch (error) {
      // Without a meta leader the old configuration is as good as any; whoever reads is patient, and says what fails.
      if (!mayPass(error)) throw error
      return
    }

    if (configuration.appId !== appId || configuration.partitionCount !== partitionCount) {
      const message = `${table} on the ${name} is not the table any more that was being compared`
      const facts = {appIdBefore: appId, appIdNow: configuration.appId, side: name}
      throw new MigratorError('verify.table_changed', message, {
        facts,
        next: 'Run it again: it compares what is there now.',
      })
    }

    this.reader = this.readerOf(configuration)
  }
}

/** How many rows have keys below this one. */
function rowsBelow(batch: RowBatch, to: Buffer): number {
  let count = batch.length
  while (count > 0 && Buffer.compare(batch.key(count - 1), to) >= 0) count--
  return count
}

/** How many rows like these make a batch. */
function fittingRows(batch: RowBatch, most: number): number {
  return Math.max(1, Math.min(most, Math.floor((batch.length * bytesPerBatch) / batch.byteLength)))
}
