import {parentPort, workerData} from 'node:worker_threads'

import {fuzzTarget} from './loop.js'
import {planted} from './planted.js'
import {targets} from './targets/index.js'

/* Runs in a thread of its own, so that a hang can be seen and ended from outside. */

export interface Order {
  corpus: Uint8Array[]
  /** Count of inputs, length of the one under way, its bytes. */
  desk: SharedArrayBuffer
  milliseconds: number
  seed: number
  target: string
}

const {corpus, desk, milliseconds, seed, target: name} = workerData as Order
const target = [...targets, ...planted].find((candidate) => candidate.name === name)
if (!target) throw new Error(`no target ${name}`)
const head = new Int32Array(desk, 0, 2)
const bytes = new Uint8Array(desk, 8)
const round = await fuzzTarget(target, {
  announce(input) {
    bytes.set(input.subarray(0, bytes.length))
    Atomics.store(head, 1, Math.min(input.length, bytes.length))
    Atomics.add(head, 0, 1)
  },
  corpus: corpus.map((input) => Buffer.from(input)),
  milliseconds,
  seed,
})
parentPort!.postMessage(round)
