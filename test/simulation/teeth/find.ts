import {fileURLToPath} from 'node:url'

import {type BatchReport, playInProcesses} from '../seeded/batch.js'
import type {PlantedBug} from './planted.js'

const PLANT = fileURLToPath(new URL('plant.mjs', import.meta.url))

/** Plays seeds with a planted bug until one fails. */
export function lookFor({edits}: PlantedBug, from: number, count: number, jobs: number): Promise<BatchReport> {
  return playInProcesses(from, count, {
    enough: 1,
    env: {PLANTED_BUG: JSON.stringify({edits})},
    execArgv: ['--import', PLANT, '--import', 'tsx', '--max-semi-space-size=32'],
    jobs,
  })
}
