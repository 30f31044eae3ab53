import {dataCalls, metaCalls} from '../../../src/lib/rpc/calls.js'
import type {DuplicateEntry} from '../../../src/lib/rpc/structs/duplication.js'
import {StorageStatus} from '../../../src/lib/rpc/structs/rrdb.js'
import type {QueryCfgResponse} from '../../../src/lib/rpc/structs/table.js'
import {counterName} from './counters.js'
import {gpidText} from './gate.js'
import {hashOfWrite} from './key.js'
import type {Mutation} from './partition.js'
import type {Replica} from './replica.js'

/** DUPLICATE requests of one load, by the hash under which they go; each queue goes in order, the queues side by side. */
export type Batches = Map<bigint, DuplicateEntry[][]>

/**
 * Cuts loaded mutations into DUPLICATE requests as the servers do: a batch ends at `batchBytes` and is keyed by the
 * hash of its LAST mutation, and batches of different hashes are sent at once in order of the hash. So two writes of
 * one key in two batches may arrive the wrong way round (measured.md E2); with 0 bytes each mutation goes by itself
 * under its own key's hash, in order. A DUPLICATE at the end of the load drops what was collected before it
 * (protocol.md §8.6).
 */
export function makeBatches(mutations: readonly Mutation[], clusterId: number, batchBytes: number): Batches {
  const batches: Batches = new Map()
  let entries: DuplicateEntry[] = []
  let bytes = 0
  for (const [index, {args, taskCode, timestampUs}] of mutations.entries()) {
    if (args === undefined || taskCode === dataCalls.duplicate.name) continue
    entries.push({clusterId, rawMessage: args, taskCode, timestampUs})
    bytes += args.length
    if (index === mutations.length - 1 || bytes >= batchBytes) {
      const hash = hashOfWrite(taskCode, args)
      const queue = batches.get(hash) ?? []
      queue.push(entries)
      batches.set(hash, queue)
      entries = []
      bytes = 0
    }
  }

  return new Map([...batches].sort(([a], [b]) => (a < b ? -1 : 1)))
}

export interface ShippingFigures {
  bytes: number
  failed: number
  shipped: number
}

/** Sends the DUPLICATE requests of one duplication of one partition to the target cluster, over the wire. */
export class Shipping {
  readonly figures: ShippingFigures = {bytes: 0, failed: 0, shipped: 0}
  private route: Promise<QueryCfgResponse> | undefined
  private underWay = 0

  constructor(
    private readonly replica: Replica,
    private readonly remoteCluster: string,
    private readonly remoteTable: string,
  ) {}

  /** Whether requests are under way, and not just waiting to be tried once more. */
  get isSending(): boolean {
    return this.underWay > 0
  }

  /** Sends all batches; calls back when the last one is acknowledged. Retries for ever, until `active` says no. */
  ship(batches: Batches, active: () => boolean, done: () => void): void {
    const left = new Map(batches)
    for (const hash of batches.keys()) void this.send(hash, left, active, done)
  }

  private async send(hash: bigint, left: Batches, active: () => boolean, done: () => void): Promise<void> {
    const {server} = this.replica
    const queue = left.get(hash)!
    const entries = queue[0]!
    const failure = await this.request(hash, entries)
    if (!active()) return
    if (failure !== undefined) {
      this.figures.failed++
      server.counters.add(counterName('dup_failed_shipping_ops', gpidText(this.replica)))
      server.after(server.timers.shipRetryMs, () => {
        if (active()) void this.send(hash, left, active, done)
      })
      return
    }

    this.figures.shipped++
    this.figures.bytes += entries.reduce((sum, entry) => sum + (entry.rawMessage?.length ?? 0), 0)
    server.counters.add(counterName('dup_shipped_ops', gpidText(this.replica)))
    queue.shift()
    if (queue.length > 0) {
      void this.send(hash, left, active, done)
      return
    }

    left.delete(hash)
    if (left.size === 0) done()
  }

  /** @returns why it failed, or undefined */
  private async request(hash: bigint, entries: DuplicateEntry[]): Promise<string | undefined> {
    const {server} = this.replica
    // A primary that lost its meta ships nothing (measured.md §10b).
    if (!this.replica.isPrimary) return 'ERR_INVALID_STATE'
    try {
      this.route ??= this.findTarget()
      const {appId, partitionCount, partitions} = await this.route
      const partitionIndex = Number(hash % BigInt(partitionCount))
      const primary = partitions.find((p) => p.pid.partitionIndex === partitionIndex)?.primary
      if (!primary) throw new Error('ERR_INACTIVE_STATE')
      this.underWay++
      const response = await server.peers
        .call(
          primary,
          dataCalls.duplicate,
          {entries},
          {partitionHash: hash, pid: {appId, partitionIndex}, timeoutMs: server.timers.shipTimeoutMs},
        )
        .finally(() => {
          this.underWay--
        })
      if (response.error === StorageStatus.invalidArgument) {
        // protocol.md §3.12: "fail fast", the whole source server goes down.
        server.abort(response.errorHint ?? 'illegal duplicate')
      }

      return response.error === StorageStatus.ok || response.error === undefined ? undefined : `error ${response.error}`
    } catch (error) {
      // Any failure: ask the target's metas again before the next try.
      this.route = undefined
      return (error as Error).message
    }
  }

  private async findTarget(): Promise<QueryCfgResponse> {
    const {server} = this.replica
    const metas = (server.config.get('pegasus.clusters', this.remoteCluster) ?? '').split(',').filter((m) => m !== '')
    let last = new Error('ERR_OBJECT_NOT_FOUND')
    for (const meta of metas) {
      try {
        const request = {appName: this.remoteTable, partitionIndices: []}
        const config = await server.peers.call(meta, metaCalls.queryConfig, request, {timeoutMs: 5000})
        if (config.err === 'ERR_OK') return config
        last = new Error(config.err)
      } catch (error) {
        last = error as Error
      }
    }

    throw last
  }
}
