import {readFile, writeFile} from 'node:fs/promises'

import {lookFor} from './find.js'
import {planted} from './planted.js'

/* `npm run simulate:teeth [-- id…] [--jobs=J]`: every planted bug must be found. */

/** Plays at most this many seeds for each of them. */
const SEEDS = 2000
/** Which seed found which bug, for the sample in `npm test`. */
const KNOWN = new URL('known-seeds.json', import.meta.url)

const words = process.argv.slice(2)
const only = words.filter((word) => !word.startsWith('-'))
const jobs = Number(words.find((word) => word.startsWith('--jobs='))?.slice('--jobs='.length) ?? 1)
const known = JSON.parse(await readFile(KNOWN, 'utf8')) as Record<string, number>
let missed = 0
for (const bug of planted.filter(({id}) => only.length === 0 || only.includes(id))) {
  const startMs = performance.now()
  const found = await lookFor(bug, 1, SEEDS, jobs)
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0)
  if (!found) missed++
  else if (known[bug.id] !== found.seed) {
    known[bug.id] = found.seed
    const sorted = Object.fromEntries(Object.entries(known).sort(([a], [b]) => (a < b ? -1 : 1)))
    await writeFile(KNOWN, `${JSON.stringify(sorted, null, 2)}\n`)
  }

  console.log(
    found
      ? `found   ${bug.id}: seed ${found.seed}, ${seconds} s: ${found.message.split('\n')[0]!.slice(0, 150)}`
      : `MISSED  ${bug.id}: ${SEEDS} runs, ${seconds} s`,
  )
}

console.log(`${missed} missed`)
process.exitCode = missed === 0 ? 0 : 1
