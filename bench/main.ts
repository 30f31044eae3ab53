// npm run bench -- [--runs N] [--at-once N] [--json FILE] [--only cutover,scale,verify,start-up] [--variants "2.5, reconfig; master, timeout"]
// Ends with 1 when a cutover of ours failed or lost anything. It judges no times.
import {execFile} from 'node:child_process'
import {writeFile} from 'node:fs/promises'
import {availableParallelism, loadavg} from 'node:os'
import {fileURLToPath} from 'node:url'
import {parseArgs, promisify} from 'node:util'

import {cutovers} from './cutovers.js'
import {variantNames} from './options.js'
import {cutoverLines, requestLines, scaleLines, startUpLines} from './report.js'
import {scale} from './scale.js'
import {measureStartup, productionTree} from './startup.js'

const parts = ['cutover', 'scale', 'verify', 'start-up'] as const
type Part = (typeof parts)[number]

const VERIFY_ROWS = fileURLToPath(new URL('verify-rows.ts', import.meta.url))

const {values} = parseArgs({
  options: {
    'at-once': {default: '6', type: 'string'},
    json: {type: 'string'},
    only: {default: parts.join(','), type: 'string'},
    runs: {default: '1', type: 'string'},
    variants: {default: variantNames.join('; '), type: 'string'},
  },
})
const wanted = new Set(values.only.split(','))
const unknown = [...wanted].filter((name) => !parts.includes(name as Part))
if (unknown.length > 0) throw new Error(`--only takes ${parts.join(', ')}, not ${unknown.join(', ')}`)

// Names have commas in them.
const variants = values.variants.split(';').map((name) => name.trim())
const strange = variants.filter((name) => !variantNames.includes(name))
if (strange.length > 0) throw new Error(`--variants takes ${variantNames.join('; ')}, not ${strange.join('; ')}`)

/** The last line is the median of all rounds. */
async function verifyRows(): Promise<string> {
  const {stdout} = await promisify(execFile)(process.execPath, ['--import=tsx', VERIFY_ROWS], {maxBuffer: 1 << 20})
  return stdout.trim().split('\n').at(-1)!
}

const results: Record<string, unknown> = {}
let isGood = true
const lines = [
  `Node ${process.version}, ${availableParallelism()} cores, load ${loadavg()[0]!.toFixed(1)} at the beginning`,
]
if (wanted.has('cutover')) {
  const {failed, found} = await cutovers({
    atOnce: Number(values['at-once']),
    runs: Number(values.runs),
    tell: (line) => console.error(line),
    variants,
  })
  results.cutover = found
  // The old tool loses writes: that is one of its figures.
  const losses = found.filter(({lostWrites, spec}) => spec.tool === 'ours' && lostWrites > 0)
  isGood = failed === 0 && losses.length === 0
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
  const figures = await measureStartup()
  const dependencies = await productionTree()
  results.startUp = {...figures, dependencies}
  lines.push('', ...startUpLines(figures, dependencies))
}

console.log(lines.join('\n'))
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(results, null, 2)}\n`)
process.exit(isGood ? 0 : 1)
