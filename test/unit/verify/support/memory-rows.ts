import type {Clock} from '../../../../src/lib/clock.js'
import {sleep} from '../../../../src/lib/clock.js'
import type {KeyRange, Row, RowSource} from '../../../../src/lib/migration/verify/index.js'
import {encodeKey} from '../../../../src/lib/pegasus/key-hash.js'
import {RowBatch} from '../../../../src/lib/pegasus/row-batch.js'

export interface MemoryRowsOptions {
  /** Rows per batch. */
  batchRows?: number
  clock: Clock
  /** How long each reply takes. */
  replyMs?: number
  /** After so many batches a scan goes on from a new snapshot, as when a server has forgotten it. */
  snapshotBatches?: number
}

/** One side of a table in memory: scans are snapshots, expired rows are left out by the clock. */
export class MemoryRows implements RowSource {
  batches = 0
  countOffset = 0
  gets = 0
  openScans = 0
  /** Called before each reply; may throw or never resolve. */
  interfere: (call: 'count' | 'get' | 'scan', partition: number) => Promise<void> = async () => {}
  private readonly partitions = new Map<number, Map<string, Row>>()

  constructor(private readonly options: MemoryRowsOptions) {}

  async count(partition: number): Promise<number> {
    await this.reply('count', partition)
    return this.sorted(partition, {}).length + this.countOffset
  }

  async get(partition: number, key: Buffer): Promise<Row | undefined> {
    this.gets++
    await this.reply('get', partition)
    const row = this.peek(partition, key)
    return row && this.isLive(row) ? row : undefined
  }

  peek(partition: number, key: Buffer): Row | undefined {
    return this.partitions.get(partition)?.get(key.toString('latin1'))
  }

  put(partition: number, row: Row): void {
    let rows = this.partitions.get(partition)
    if (!rows) this.partitions.set(partition, (rows = new Map()))
    rows.set(row.key.toString('latin1'), row)
  }

  remove(partition: number, key: Buffer): void {
    this.partitions.get(partition)?.delete(key.toString('latin1'))
  }

  async *scan(partition: number, range: KeyRange = {}): AsyncGenerator<RowBatch> {
    const {batchRows = 7, snapshotBatches = Infinity} = this.options
    this.openScans++
    try {
      let rows = this.sorted(partition, range)
      for (let at = 0, batch = 0; at < rows.length; at += batchRows, batch++) {
        await this.reply('scan', partition)
        if (batch > 0 && batch % snapshotBatches === 0) {
          const last = rows[at - 1]!.key
          rows = this.sorted(partition, {...range, from: Buffer.concat([last, Buffer.of(0)])})
          at = 0
        }

        this.batches++
        // Decoders give keys and values as pieces of the whole message.
        const batchOfRows = rows.slice(at, at + batchRows)
        if (batchOfRows.length > 0) yield RowBatch.of(batchOfRows)
      }

      // A server's last batch may be empty.
      yield RowBatch.of([])
    } finally {
      this.openScans--
    }
  }

  private isLive({expireTsSeconds}: Row): boolean {
    return expireTsSeconds === 0 || expireTsSeconds > nowSeconds(this.options.clock)
  }

  private async reply(call: 'count' | 'get' | 'scan', partition: number): Promise<void> {
    if (this.options.replyMs) await sleep(this.options.clock, this.options.replyMs)
    await this.interfere(call, partition)
  }

  private sorted(partition: number, {from, to}: KeyRange): Row[] {
    return [...(this.partitions.get(partition)?.values() ?? [])]
      .filter((row) => this.isLive(row))
      .filter(({key}) => (!from || Buffer.compare(key, from) >= 0) && (!to || Buffer.compare(key, to) < 0))
      .sort((a, b) => Buffer.compare(a.key, b.key))
  }
}

/** Seconds since 2016-01-01 UTC. */
export function nowSeconds(clock: Clock): number {
  return Math.floor(clock.wallMs() / 1000) - 1_451_606_400
}

export function row(hashKey: string, sortKey: string, value: string, expireTsSeconds = 0): Row {
  return {expireTsSeconds, key: encodeKey(Buffer.from(hashKey), Buffer.from(sortKey)), value: Buffer.from(value)}
}
