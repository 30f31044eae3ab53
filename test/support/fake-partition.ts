import {dataCalls} from '../../src/lib/rpc/calls.js'
import type {KeyValue} from '../../src/lib/rpc/structs/rrdb.js'
import {FakeServer} from './fake-server.js'

interface OpenScan {
  next: number
  request: {batchSize: number; noValue: boolean; onlyReturnCount?: boolean}
}

/** What happens instead of the next exchange. */
export type ScanFault = 'busy' | 'cut' | 'forget' | 'incomplete' | 'incomplete-empty' | 'lose' | number

/** Scans of one partition as 2.5 and master serve them (protocol.md §8.4); with `counts` false as 2.4. */
export class FakePartition {
  /** Batches that were sent, with rows or without. */
  batches = 0
  /** Ids that were cleared. */
  readonly cleared: bigint[] = []
  counts = true
  /** Faults by the number of the exchange they hit, from 0. */
  readonly faults = new Map<number, ScanFault>()
  maxRows = 1000
  readonly open = new Map<bigint, OpenScan>()
  readonly server = new FakeServer()
  /** Requests for a scanner. */
  readonly starts: Array<{batchSize: number; inclusive: boolean; key: string}> = []
  private exchanges = 0
  private lastId = -7_640_162_296_009_850_876n

  constructor(readonly rows: KeyValue[]) {
    this.server.on(dataCalls.getScanner, (call) => {
      const {request} = call
      this.starts.push({
        batchSize: request.batchSize,
        inclusive: request.startInclusive,
        key: request.startKey.toString('hex'),
      })
      const next = this.rows.findIndex(({key}) => {
        const order = Buffer.compare(key, request.startKey)
        return order > 0 || (order === 0 && request.startInclusive)
      })
      this.answer({next: next === -1 ? this.rows.length : next, request}, call)
    })
    this.server.on(dataCalls.scan, (call) => {
      const scan = this.open.get(call.request.contextId)
      this.open.delete(call.request.contextId)
      if (scan) this.answer(scan, call, call.request.contextId)
      else call.reply(this.response({error: 1}))
    })
    this.server.on(dataCalls.clearScanner, (call) => {
      this.cleared.push(call.request)
      this.open.delete(call.request)
    })
  }

  private answer(
    scan: OpenScan,
    call: {cut(): void; fail(error: string): void; reply(value: ReturnType<FakePartition['response']>): void},
    contextId?: bigint,
  ): void {
    const fault = this.faults.get(this.exchanges++)
    if (fault === 'busy') {
      if (contextId !== undefined) this.open.set(contextId, scan)
      call.fail('ERR_BUSY')
      return
    }

    if (fault === 'cut') return call.cut()
    if (fault === 'lose') return
    if (fault === 'forget') return call.reply(this.response({error: 1}))
    if (typeof fault === 'number') return call.reply(this.response({error: fault}))
    if (fault === 'incomplete-empty') return call.reply(this.response({error: 7}))
    this.batches++
    const {batchSize, noValue, onlyReturnCount} = scan.request
    const rows = this.rows.slice(scan.next, scan.next + Math.min(batchSize, this.maxRows))
    const counting = onlyReturnCount && this.counts
    const kvs = counting ? [] : rows.map((row) => (noValue ? {...row, value: Buffer.alloc(0)} : row))
    const kvCount = counting ? rows.length : undefined
    if (fault === 'incomplete') return call.reply(this.response({error: 7, kvCount, kvs}))
    const next = scan.next + rows.length
    const done = next >= this.rows.length
    if (!done) this.open.set(++this.lastId, {...scan, next})
    call.reply(this.response({contextId: done ? -1n : this.lastId, kvCount, kvs}))
  }

  response(values: {contextId?: bigint; error?: number; kvCount?: number; kvs?: KeyValue[]}) {
    return {appId: 2, contextId: 0n, error: 0, kvs: [], partitionIndex: 0, server: '', ...values}
  }
}
