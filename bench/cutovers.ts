import {execFile} from 'node:child_process'
import {fileURLToPath} from 'node:url'
import {promisify} from 'node:util'

import {startZooKeeper} from '../test/sandbox/zookeeper.js'
import {type CutoverFigures, type CutoverSpec, specsOf} from './options.js'

const ONCE = fileURLToPath(new URL('cutover-once.ts', import.meta.url))
const LIMIT_MS = 600_000
const MOST_BYTES = 16 << 20

async function runOnce(spec: CutoverSpec): Promise<CutoverFigures> {
  const args = ['--import=tsx', ONCE, JSON.stringify(spec)]
  const {stdout} = await promisify(execFile)(process.execPath, args, {maxBuffer: MOST_BYTES, timeout: LIMIT_MS})
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as CutoverFigures
}

export interface CutoversOptions {
  atOnce: number
  runs: number
  /** Hears of each that is done, and of each that failed. */
  tell(line: string): void
  /** Names. */
  variants: readonly string[]
}

/** Runs each variant `runs` times, some side by side: they wait most of their time. @returns how many failed, too */
export async function cutovers(options: CutoversOptions): Promise<{failed: number; found: CutoverFigures[]}> {
  const {atOnce, runs, tell, variants} = options
  const zookeeper = await startZooKeeper()
  const found: CutoverFigures[] = []
  let failed = 0
  try {
    const waiting = Array.from({length: runs}, (_, run) => specsOf(run, variants, zookeeper.address)).flat()
    const total = waiting.length
    const worker = async () => {
      for (let spec = waiting.shift(); spec; spec = waiting.shift()) {
        try {
          const figures = await runOnce(spec)
          found.push(figures)
          tell(
            `${found.length} of ${total}: ${spec.name}: window ${seconds(figures.windowMs ?? figures.clientsMs)} s, floor ${seconds(figures.floorMs)} s`,
          )
        } catch (error) {
          failed++
          tell(`${spec.name} (seed ${spec.seed}) FAILED: ${(error as Error).message.slice(0, 500)}`)
        }
      }
    }

    await Promise.all(Array.from({length: atOnce}, worker))
  } finally {
    await zookeeper.stop()
  }

  return {failed, found}
}

const seconds = (ms: number) => (ms / 1000).toFixed(1)
