import {fileURLToPath} from 'node:url'

import {playInProcesses} from '../seeded/batch.js'
import {drawPlan} from '../seeded/plan.js'
import {play} from '../seeded/run.js'
import type {PlantedBug} from './planted.js'

const PLANT = fileURLToPath(new URL('plant.mjs', import.meta.url))

export interface Finding {
  message: string
  /** Runs until it was found. */
  runs: number
  seed: number
}

/** Plays seeds with a planted bug until one fails that goes well without it. */
export async function lookFor(
  {edits}: PlantedBug,
  from: number,
  count: number,
  jobs: number,
): Promise<Finding | undefined> {
  let next = from
  while (next < from + count) {
    const {failures} = await playInProcesses(next, from + count - next, {
      enough: 1,
      env: {PLANTED_BUG: JSON.stringify({edits})},
      execArgv: ['--import', PLANT, '--import', 'tsx', '--max-semi-space-size=32'],
      jobs,
    })
    const [first] = failures
    if (!first) return undefined
    const {message, seed} = first
    if (!(await play(drawPlan(seed))).failure) return {message, runs: seed - from + 1, seed}
    next = seed + 1
  }

  return undefined
}
