import {isMigratorError} from '../../src/lib/errors.js'
import type {Target} from './target.js'

/** How an input ended. */
export interface Outcome {
  /** Why it is a finding; undefined when all went as it should. */
  finding?: string
  /** Bytes of heap and buffers that it took. */
  memoryBytes: number
  ms: number
  /** Same for inputs that end alike. */
  signature: string
}

/** What one input may cost, however hostile; those of the fuzzer have at most 64 KiB. */
export const LIMITS = {memoryBytes: 96 * 1024 * 1024, ms: 1000}

/** Takes one input and judges how it ended. `memory` tells bytes in use now. */
export async function take(target: Target, input: Buffer, memory: () => number): Promise<Outcome> {
  const first = await once(target, input, memory)
  if (first.ms <= LIMITS.ms) return first
  // On a busy machine anything may take long once.
  const again = [await once(target, input, memory), await once(target, input, memory)]
  return again.find(({ms}) => ms <= LIMITS.ms) ?? first
}

async function once(target: Target, input: Buffer, memory: () => number): Promise<Outcome> {
  const startMs = performance.now()
  const before = memory()
  let signature: string
  let finding: string | undefined
  try {
    signature = await target.run(input)
  } catch (error) {
    signature = signatureOf(error)
    if (!isMigratorError(error))
      finding = `an error that is none of ours: ${error instanceof Error ? error.stack : String(error)}`
  }

  // Negative after a collection: what it took is not known then, and was not much.
  const memoryBytes = Math.max(0, memory() - before)
  const ms = performance.now() - startMs
  if (memoryBytes > LIMITS.memoryBytes) finding ??= `${memoryBytes} bytes of memory`
  if (ms > LIMITS.ms) finding ??= `${Math.round(ms)} ms`
  return {finding, memoryBytes, ms, signature}
}

/** The code, and the places where it was thrown: a message may hold the input's own words. */
function signatureOf(error: unknown): string {
  const code = isMigratorError(error) ? error.code : 'alien'
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  return `${code} ${[...stack.matchAll(/[\w-]+\.ts:\d+/g)].slice(0, 3).join(' ')}`
}
