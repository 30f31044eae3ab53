import {lookFor} from './find.js'
import {planted} from './planted.js'

/** Plays at most this many seeds for each planted bug. */
const SEEDS = 2000

const only = process.argv.slice(2).filter((word) => !word.startsWith('-'))
const jobsOption = process.argv.find((word) => word.startsWith('--jobs='))
const jobs = Number(jobsOption?.slice('--jobs='.length) ?? 1)
let missed = 0
for (const bug of planted.filter(({id}) => only.length === 0 || only.includes(id))) {
  const startMs = performance.now()
  const {count, failures} = await lookFor(bug, 1, SEEDS, jobs)
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0)
  const [first] = failures
  if (!first) missed++
  console.log(
    first
      ? `found   ${bug.id}: seed ${first.seed} of ${count} runs, ${seconds} s: ${first.message.slice(0, 160)}`
      : `MISSED  ${bug.id}: ${count} runs, ${seconds} s`,
  )
}

console.log(`${missed} missed`)
process.exitCode = missed === 0 ? 0 : 1
