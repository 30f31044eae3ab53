import {type Clock, sleep} from '../../clock.js'
import type {RowSource} from './types.js'
import {eachInParallel, untilAborted} from './waiting.js'

const recounts = 4

export interface CountOptions {
  clock: Clock
  onCounted(partition: number, source: number, target: number): void
  parallel: number
  partitions: readonly number[]
  rereadLimitMs: number
  signal: AbortSignal
  source: RowSource
  stopping(): boolean
  target: RowSource
}

/**
 * Counts every partition on both sides, and those that differ again, spread over the time that the newest mutation may
 * need: on a live table counts differ because of writes under way.
 * @returns the partitions whose counts never agreed
 */
export async function countPartitions(o: CountOptions): Promise<number[]> {
  let partitions = o.partitions
  for (let round = 0; round <= recounts && partitions.length > 0; round++) {
    if (round > 0) await sleep(o.clock, Math.max(1000, o.rereadLimitMs / recounts), o.signal)
    const differing: number[] = []
    await eachInParallel(partitions, o.parallel, async (partition) => {
      if (o.stopping()) return
      const counting = Promise.all([o.source.count(partition), o.target.count(partition)])
      const [source, target] = await untilAborted(counting, o.signal)
      if (source !== target) differing.push(partition)
      o.onCounted(partition, source, target)
    })
    partitions = differing.sort((a, b) => a - b)
  }

  return [...partitions]
}
