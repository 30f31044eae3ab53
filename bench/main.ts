// npm run bench -- [--runs N] [--at-once N] [--json FILE] [--only cutover,scale,verify,start-up]
import {execFile} from 'node:child_process'
import {writeFile} from 'node:fs/promises'
import {availableParallelism, loadavg} from 'node:os'
import {fileURLToPath} from 'node:url'
import {parseArgs, promisify} from 'node:util'

import {cutovers} from './cutovers.js'
import {cutoverLines, requestLines, scaleLines, startUpLines} from './report.js'
import {scale} from './scale.js'
import {startUp} from './start-up.js'

const parts = ['cutover', 'scale', 'verify', 'start-up'] as const
type Part = (typeof parts)[number]

const VERIFY_ROWS = fileURLToPath(new URL('verify-rows.ts', import.meta.url))

const {values} = parseArgs({
  options: {
    'at-once': {default: '6', type: 'string'},
    json: {type: 'string'},
    only: {default: parts.join(','), type: 'string'},
    runs: {default: '1', type: 'string'},
  },
})
const wanted = new Set(values.only.split(','))
const unknown = [...wanted].filter((name) => !parts.includes(name as Part))
if (unknown.length > 0) throw new Error(`--only takes ${parts.join(', ')}, not ${unknown.join(', ')}`)

/** The last line is the median of all rounds. */
async function verifyRows(): Promise<string> {
  const {stdout} = await promisify(execFile)(process.execPath, ['--import=tsx', VERIFY_ROWS], {maxBuffer: 1 << 20})
  return stdout.trim().split('\n').at(-1)!
}

const results: Record<string, unknown> = {}
const lines = [
  `Node ${process.version}, ${availableParallelism()} cores, load ${loadavg()[0]!.toFixed(1)} at the beginning`,
]
if (wanted.has('cutover')) {
  const found = await cutovers(Number(values.runs), Number(values['at-once']), (line) => console.error(line))
  results.cutover = found
  lines.push('', ...cutoverLines(found), '', ...requestLines(found))
}

if (wanted.has('scale')) {
  const figures = await scale()
  results.scale = figures
  lines.push('', ...scaleLines(figures))
}

if (wanted.has('verify')) {
  const median = await verifyRows()
  results.verify = median
  lines.push('', `Rows compared (bench/verify-rows.ts), ${median}`)
}

if (wanted.has('start-up')) {
  const figures = await startUp()
  results.startUp = figures
  lines.push('', ...startUpLines(figures))
}

console.log(lines.join('\n'))
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(results, null, 2)}\n`)
process.exit(0)
