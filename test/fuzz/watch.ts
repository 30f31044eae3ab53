import {once} from 'node:events'
import {Worker} from 'node:worker_threads'

import type {Round} from './loop.js'
import type {Order} from './worker.js'

const DESK_BYTES = 128 * 1024
const LOOK_MS = 100
/** An input that takes so long is a hang. */
const HANG_MS = 5000
/** Of the whole thread: the limit of one input and what keeps the fuzzer running. */
const HEAP_MB = 384

/** Runs one round in a thread and ends it when an input hangs or eats the memory. */
export async function watchedRound(
  target: string,
  options: Omit<Order, 'desk' | 'target'>,
  {hangMs = HANG_MS, heapMb = HEAP_MB}: {hangMs?: number; heapMb?: number} = {},
): Promise<Round> {
  const desk = new SharedArrayBuffer(8 + DESK_BYTES)
  const head = new Int32Array(desk, 0, 2)
  const worker = new Worker(new URL('thread.mjs', import.meta.url), {
    resourceLimits: {maxOldGenerationSizeMb: heapMb},
    workerData: {...options, desk, target} satisfies Order,
  })
  const current = () => Buffer.from(new Uint8Array(desk, 8, head[1]!))
  const failed = (why: string): Round => ({
    findings: [{input: current(), why}],
    inputs: head[0]!,
    kept: [],
    mostMemoryBytes: 0,
    slowestMs: 0,
  })
  let [count, sinceMs] = [0, performance.now()]
  let hung: ((round: Round) => void) | undefined
  const look = setInterval(() => {
    const now = Atomics.load(head, 0)
    if (now !== count || now === 0) [count, sinceMs] = [now, performance.now()]
    else if (performance.now() - sinceMs > hangMs) hung?.(failed(`no end after ${hangMs} ms`))
  }, LOOK_MS)
  try {
    return await Promise.race([
      once(worker, 'message').then(([round]) => round as Round),
      new Promise<Round>((resolve) => {
        hung = resolve
      }),
      once(worker, 'exit').then(([code]) => failed(`the thread ended with ${code}`)),
    ]).catch((error: unknown) => failed(String(error)))
  } finally {
    clearInterval(look)
    await worker.terminate()
  }
}
