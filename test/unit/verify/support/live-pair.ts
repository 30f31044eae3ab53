import type {PartitionProgress, Row} from '../../../../src/lib/migration/verify/index.js'
import type {VirtualClock} from '../../../sandbox/virtual-clock.js'
import {MemoryRows, type MemoryRowsOptions} from './memory-rows.js'

interface Mutation {
  atMs: number
  decree: number
  key: Buffer
  /** Not shipped, as a mutation that was overtaken by an older one of the same key. */
  lost: boolean
  row: Row | undefined
}

interface LogOptions extends Omit<MemoryRowsOptions, 'clock'> {
  clock: VirtualClock
  /** How long a mutation needs at least. */
  lagMs: number
  partitionCount: number
  /** 2.4/2.5: the newest mutation ships only with the next one; empty writes come every 10 s. */
  lastRests: boolean
}

/** A live source and a target that follows its log, partition by partition, in order and late. */
export class LivePair {
  /** Nothing ships while set. */
  stalled = false
  readonly source: MemoryRows
  readonly target: MemoryRows
  private readonly committed: number[]
  private readonly logs: Mutation[][]
  private readonly shipped: number[]

  constructor(private readonly options: LogOptions) {
    const {clock, partitionCount} = options
    this.source = new MemoryRows(options)
    this.target = new MemoryRows(options)
    this.logs = Array.from({length: partitionCount}, () => [])
    this.committed = Array.from({length: partitionCount}, () => 0)
    this.shipped = Array.from({length: partitionCount}, () => 0)
    this.repeat(10_000, () => {
      for (let partition = 0; partition < partitionCount; partition++) this.committed[partition]!++
    })
    this.repeat(20, () => this.ship(clock.nowMs()))
  }

  /** Calls `work` for ever, each `ms`. */
  repeat(ms: number, work: () => void): void {
    this.options.clock.setTimer(ms, () => {
      work()
      this.repeat(ms, work)
    })
  }

  progress = async (): Promise<PartitionProgress[]> =>
    this.committed.map((committedDecree, partition) => ({committedDecree, shippedDecree: this.shipped[partition]!}))

  /** Puts a row on both sides, as a checkpoint does. */
  settle(partition: number, row: Row): void {
    this.source.put(partition, row)
    this.target.put(partition, row)
  }

  /** A client's write at the source; no row: a remove. */
  write(partition: number, key: Buffer, row: Row | undefined, lost = false): void {
    apply(this.source, partition, key, row)
    const decree = ++this.committed[partition]!
    this.logs[partition]!.push({atMs: this.options.clock.nowMs(), decree, key, lost, row})
  }

  private ship(nowMs: number): void {
    if (this.stalled) return
    const {lagMs, lastRests} = this.options
    for (const [partition, log] of this.logs.entries()) {
      const newest = this.committed[partition]! - (lastRests ? 1 : 0)
      let upTo = newest
      while (log.length > 0) {
        const {atMs, decree, key, lost, row} = log[0]!
        if (decree > newest || atMs + lagMs > nowMs) {
          upTo = decree - 1
          break
        }

        if (!lost) apply(this.target, partition, key, row)
        log.shift()
      }

      this.shipped[partition] = Math.max(this.shipped[partition]!, upTo)
    }
  }
}

function apply(side: MemoryRows, partition: number, key: Buffer, row: Row | undefined): void {
  if (row) side.put(partition, row)
  else side.remove(partition, key)
}
