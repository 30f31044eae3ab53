import {getHeapStatistics} from 'node:v8'

import {seededRandom} from '../sandbox/random.js'
import {mutateBytes} from './mutations.js'
import {take} from './outcome.js'
import {oneOf, type Target} from './target.js'

/** What one round over a target came to. */
export interface Round {
  findings: {input: Buffer; why: string}[]
  inputs: number
  /** Inputs that ended in a way not seen before. */
  kept: {input: Buffer; signature: string}[]
  mostMemoryBytes: number
  slowestMs: number
}

export interface RoundOptions {
  /** Tells the watcher what is about to be taken: it never comes back from a hang. */
  announce(input: Buffer): void
  corpus: readonly Buffer[]
  milliseconds: number
  seed: number
}

const MOST_FINDINGS = 5

/** Bytes of heap and of buffers. */
function memoryInUse(): number {
  const {external_memory: external, used_heap_size: heap} = getHeapStatistics()
  return external + heap
}

/** Feeds a target for a while: first everything that is known, then what can be made of it. */
export async function fuzzTarget(target: Target, options: RoundOptions): Promise<Round> {
  const random = seededRandom(options.seed)
  const mutate = target.mutate ?? mutateBytes
  const pool = [...target.seeds(), ...options.corpus]
  const seen = new Set<string>()
  const round: Round = {findings: [], inputs: 0, kept: [], mostMemoryBytes: 0, slowestMs: 0}
  const startMs = performance.now()
  const feed = async (input: Buffer, isKnown: boolean) => {
    options.announce(input)
    const {finding, memoryBytes, ms, signature} = await take(target, input, memoryInUse)
    round.inputs++
    round.mostMemoryBytes = Math.max(round.mostMemoryBytes, memoryBytes)
    round.slowestMs = Math.max(round.slowestMs, ms)
    if (finding !== undefined) round.findings.push({input, why: finding})
    if (seen.has(signature)) return
    seen.add(signature)
    if (isKnown) return
    pool.push(input)
    round.kept.push({input, signature})
  }

  for (const input of pool) await feed(input, true)
  while (performance.now() - startMs < options.milliseconds && round.findings.length < MOST_FINDINGS)
    await feed(mutate(oneOf(random, pool), random), false)
  return round
}
