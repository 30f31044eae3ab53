import {MigratorError} from '../../src/lib/errors.js'
import type {Target} from './target.js'

/* Entrances with a fault of each kind: what the fuzzer must find, for its own tests. */

const seeds = () => [Buffer.from('{"a":1,"b":[2]}')]
const broken = (input: Buffer) => input.includes('}') && !input.includes('"a":1')

function plant(name: string, fault: (input: Buffer) => void): Target {
  return {
    name,
    run(input) {
      if (broken(input)) fault(input)
      throw new MigratorError('planted', 'as it should be')
    },
    seeds,
  }
}

const spend = (ms: number) => {
  for (const startMs = performance.now(); performance.now() - startMs < ms;);
}

export const planted: readonly Target[] = [
  plant('planted-alien', () => {
    throw new TypeError('not one of ours')
  }),
  plant('planted-hang', () => spend(3_600_000)),
  plant('planted-slow', () => spend(1500)),
  plant('planted-memory', () => void Buffer.alloc(128 * 1024 * 1024)),
  plant('planted-flood', () => {
    for (const hoard: unknown[] = []; ;) hoard.push(Array.from({length: 1000}, () => ({})))
  }),
  plant('planted-none', () => {}),
]
