import {execFile, fork} from 'node:child_process'
import {once} from 'node:events'
import {fileURLToPath} from 'node:url'
import {promisify} from 'node:util'

import type {ScaleAddresses, ScaleShape} from './scale-bed.js'

/** ms and megabytes. */
export interface ScaleFigures {
  cpuOfMigrationPercent: number
  drainMs: number
  fullRound: RoundFigures
  lightRound: RoundFigures
  migrationMs: number
  /** The rounds and the status in the same process included. */
  peakRssMb: number
  peakRssMbOfMigration: number
  statusMs: number
}

interface RoundFigures {
  cpuMs: number
  tookMs: number
}

const LIMIT_MS = 300_000
export const shape: ScaleShape = {partitions: 1000, rows: 20_000, servers: 50, table: 'wide'}

const pathOf = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** A migration up to its cutover, poll rounds and the status of a table of 1,000 partitions on 50 servers. */
export async function scale(): Promise<ScaleFigures> {
  const bed = fork(pathOf('scale-bed.ts'), [JSON.stringify(shape)], {execArgv: ['--import', 'tsx']})
  try {
    const [addresses] = (await once(bed, 'message')) as [ScaleAddresses]
    const args = [pathOf('scale-tool.mjs'), JSON.stringify({addresses, table: shape.table})]
    const {stdout} = await promisify(execFile)(process.execPath, args, {timeout: LIMIT_MS})
    return JSON.parse(stdout.trim().split('\n').at(-1)!) as ScaleFigures
  } finally {
    bed.kill()
  }
}
