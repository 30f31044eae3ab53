import {setMaxListeners} from 'node:events'

import {type Clock, sleep} from '../../src/lib/clock.js'
import {isMigratorError} from '../../src/lib/errors.js'
import {PegasusClient} from '../../src/lib/pegasus/client.js'
import type {Environment} from '../../src/lib/pegasus/env.js'
import {encodeKey, keyHash, partitionOf} from '../../src/lib/pegasus/key-hash.js'
import {dataCalls} from '../../src/lib/rpc/calls.js'
import {rpcErrorName} from '../../src/lib/rpc/rpc-errors.js'
import {StorageStatus} from '../../src/lib/rpc/structs/rrdb.js'
import {LoadLedger, type WrongKey} from './load-ledger.js'
import {type Outage, OutageWatch} from './load-outages.js'
import {LoadRoute, type LoadTarget, REFRESH_EVERY_MS} from './load-route.js'

export interface LoadOptions {
  /** Share of deletes among the writes, default 0.1. */
  deleteShare?: number
  env: Environment
  /** Begin of every hash key, default `load`: two clients of a table must differ in it. */
  keyPrefix?: string
  /** Size of the pool of keys that are written over and over, default 1000. */
  keys?: number
  /** Of one write, default 1000. */
  operationTimeoutMs?: number
  /** Between two questions for the configuration while writes are refused; default 1000, as the Go client. */
  refreshEveryMs?: number
  table: string
  target: LoadTarget
  /** Default 64. */
  valueBytes?: number
  /** Default 4. */
  writers?: number
  /** Of all writers together, default 100. */
  writesPerSecond?: number
}

export interface LoadReport {
  acknowledged: number
  /** How often the table's configuration was asked for, the first time included. */
  configQueries: number
  /** Refused and unanswered. */
  failed: number
  /** Error names of failed writes, and how often. */
  failures: Map<string, number>
  longestGapMs: number
  /** Times in which writes failed, in order. */
  outages: Outage[]
  /** Longest time without an acknowledged write of each partition. */
  partitionGapsMs: Map<number, number>
  unanswered: number
  /** The longest outage: from the first write that failed to the time at which every partition had one done again. */
  windowMs: number
}

export interface LoadVerification {
  checked: number
  /** Acknowledged rows that are not there. */
  lost: WrongKey[]
  /** Rows with an older value, or that were deleted and are there. */
  stale: WrongKey[]
}

/** Reads a row from the side that serves; undefined: no such row. */
export type LoadReader = (key: {hashKey: Buffer; sortKey: Buffer}) => Promise<Buffer | undefined>

/** Answers that come before anything is executed (protocol.md §6.2, §8.3). */
const REFUSALS = new Set([
  'ERR_BUSY',
  'ERR_CAPACITY_EXCEEDED',
  'ERR_INVALID_STATE',
  'ERR_NOT_ENOUGH_MEMBER',
  'ERR_OBJECT_NOT_FOUND',
  'ERR_OPERATION_DISABLED',
  'ERR_SPLITTING',
])
/** Answers on which the Go client does not ask for a new configuration. */
const NO_REFRESH = new Set([
  'ERR_BUSY',
  'ERR_CAPACITY_EXCEEDED',
  'ERR_NOT_ENOUGH_MEMBER',
  'ERR_SPLITTING',
  'ERR_TIMEOUT',
])
const VERIFY_READERS = 16
const SORT_KEY = Buffer.from('row')

/**
 * An application that writes all the time and remembers what it was told, with the habits of the Go client
 * (measured.md §9): no retries; a refused write asks for the configuration again, at most once a second; a
 * time-out asks nothing.
 */
export class LoadClient {
  readonly ledger = new LoadLedger()
  private readonly client: PegasusClient
  private readonly clock: Clock
  private failed = 0
  private readonly failures = new Map<string, number>()
  private readonly keys: {hash: bigint; hashKey: Buffer; name: string}[]
  private readonly options: Required<LoadOptions>
  private readonly route: LoadRoute
  private sequence = 0
  private stopping: AbortController | undefined
  private unanswered = 0
  private watch: OutageWatch
  private writers: Promise<void>[] = []
  /** Of all writers together; may be changed, which counts from each writer's next write but one. */
  writesPerSecond: number

  constructor(options: LoadOptions) {
    this.options = {
      deleteShare: 0.1,
      keyPrefix: 'load',
      keys: 1000,
      operationTimeoutMs: 1000,
      refreshEveryMs: REFRESH_EVERY_MS,
      valueBytes: 64,
      writers: 4,
      writesPerSecond: 100,
      ...options,
    }
    this.writesPerSecond = this.options.writesPerSecond
    this.clock = options.env.clock
    this.client = new PegasusClient(options.env)
    this.route = new LoadRoute(this.client, options.table, options.target, this.options.refreshEveryMs)
    this.watch = new OutageWatch(this.clock.nowMs())
    this.keys = Array.from({length: this.options.keys}, (_, index) => {
      const name = `${this.options.keyPrefix}${index}`
      const hashKey = Buffer.from(name)
      return {hash: keyHash(hashKey, SORT_KEY), hashKey, name}
    })
  }

  /** @throws MigratorError when the first configuration cannot be had */
  async start(): Promise<void> {
    await this.route.open()
    this.watch = new OutageWatch(this.clock.nowMs())
    const stopping = new AbortController()
    // Every writer listens to it.
    setMaxListeners(0, stopping.signal)
    this.stopping = stopping
    this.writers = Array.from({length: this.options.writers}, (_, index) => this.write(index, stopping.signal))
  }

  /** Ends the writers and waits for the answers of what they sent. What was told stays for `report` and `verify`. */
  async stop(): Promise<void> {
    this.stopping?.abort(new Error('the load was stopped'))
    await Promise.all(this.writers)
    this.writers = []
    await this.route.close()
    await this.client.close()
  }

  report(): LoadReport {
    const nowMs = this.clock.nowMs()
    const partitionGapsMs = this.watch.gaps(nowMs)
    return {
      acknowledged: this.ledger.history.length,
      configQueries: this.route.queries,
      failed: this.failed,
      failures: new Map(this.failures),
      longestGapMs: Math.max(0, ...partitionGapsMs.values()),
      outages: this.watch.outages.map((outage) => ({...outage})),
      partitionGapsMs,
      unanswered: this.unanswered,
      windowMs: Math.max(0, ...this.watch.outages.map(({endMs = nowMs, startMs}) => endMs - startMs)),
    }
  }

  /** Compares every key that was ever written with what `read` finds. */
  async verify(read: LoadReader): Promise<LoadVerification> {
    const waiting = this.ledger.touched
    const result: LoadVerification = {checked: waiting.length, lost: [], stale: []}
    const readText = async (name: string) => {
      const value = await read({hashKey: Buffer.from(name), sortKey: SORT_KEY})
      return value?.toString()
    }

    const reader = async () => {
      for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
        const wrong = await this.ledger.check(key, readText)
        if (wrong) (wrong.found === undefined ? result.lost : result.stale).push(wrong)
      }
    }

    await Promise.all(Array.from({length: VERIFY_READERS}, reader))
    return result
  }

  private async write(writer: number, signal: AbortSignal): Promise<void> {
    const {writers} = this.options
    const periodMs = () => (1000 * writers) / this.writesPerSecond
    let dueMs = this.clock.nowMs() + (periodMs() * writer) / writers
    while (!signal.aborted) {
      try {
        await sleep(this.clock, dueMs - this.clock.nowMs(), signal)
      } catch {
        return
      }

      await this.writeOnce()
      // What was missed while a write waited is not made up for: no bursts.
      dueMs = Math.max(dueMs + periodMs(), this.clock.nowMs())
    }
  }

  private async writeOnce(): Promise<void> {
    const {deleteShare, env, operationTimeoutMs} = this.options
    const key = this.idleKey()
    if (!key) return
    const {appId, partitionCount, primaries} = this.route.configuration
    const partitionIndex = partitionOf(key.hash, partitionCount)
    const value = env.random() < deleteShare ? undefined : this.nextValue()
    const attempt = this.ledger.begin(key.name, value)
    const sentMs = this.clock.nowMs()
    const rowKey = encodeKey(key.hashKey, SORT_KEY)
    const options = {partitionHash: key.hash, pid: {appId, partitionIndex}, timeoutMs: operationTimeoutMs}
    const primary = primaries[partitionIndex]!
    try {
      const {error} =
        value === undefined
          ? await this.client.pool.call(primary, dataCalls.remove, rowKey, options)
          : await this.client.pool.call(
              primary,
              dataCalls.put,
              {expireTsSeconds: 0, key: rowKey, value: Buffer.from(value)},
              options,
            )
      if (error === StorageStatus.ok) {
        attempt.acknowledged(this.clock.nowMs(), partitionIndex)
        this.watch.succeeded(partitionIndex, this.clock.nowMs())
        return
      }

      attempt.unanswered()
      this.countFailure(`storage ${error}`, partitionIndex, this.clock.nowMs())
    } catch (error) {
      this.fail(error, attempt, partitionIndex, sentMs)
    }
  }

  private fail(error: unknown, attempt: ReturnType<LoadLedger['begin']>, partitionIndex: number, sentMs: number): void {
    if (!isMigratorError(error)) throw error
    const name = rpcErrorName(error) ?? error.code
    const refused = REFUSALS.has(name) || (name.startsWith('rpc.') && error.retrySafe)
    if (refused) attempt.refused()
    else attempt.unanswered()
    if (!refused) this.unanswered++
    this.countFailure(name, partitionIndex, refused ? this.clock.nowMs() : sentMs)
    if (name !== 'rpc.timeout' && !NO_REFRESH.has(name)) this.route.refresh()
  }

  private countFailure(name: string, partitionIndex: number, sinceMs: number): void {
    this.failed++
    this.failures.set(name, (this.failures.get(name) ?? 0) + 1)
    this.watch.failed(partitionIndex, sinceMs)
  }

  /** A key that no other writer is at. */
  private idleKey() {
    const first = Math.floor(this.options.env.random() * this.keys.length)
    for (let i = 0; i < this.keys.length; i++) {
      const key = this.keys[(first + i) % this.keys.length]!
      if (!this.ledger.isBusy(key.name)) return key
    }

    return undefined
  }

  /** Never the same one twice. */
  private nextValue(): string {
    return `${this.sequence++} `.padEnd(this.options.valueBytes, 'x')
  }
}
