import {eachOf, lookFor, whyItDoesNotBite} from './find.js'
import {knownRuns, saveKnown} from './known.js'
import {planted, type PlantedBug} from './planted.js'

/*
 * `npm run simulate:teeth [-- id…] [--again] [--jobs=J]`: every planted bug must be found. One whose known run still finds it is not looked
 * for, unless `--again` says so.
 */

/** Plays at most this many seeds for each of them. */
const SEEDS = 2000

const words = process.argv.slice(2)
const only = words.filter((word) => !word.startsWith('-'))
const again = words.includes('--again')
const jobs = Number(words.find((word) => word.startsWith('--jobs='))?.slice('--jobs='.length) ?? 1)
const known = await knownRuns()
const missed: string[] = []

async function look(bug: PlantedBug): Promise<void> {
  const before = known.get(bug.id)
  if (before && !again && (await whyItDoesNotBite(bug, before.plan)) === undefined) {
    console.log(`known   ${bug.id}: seed ${before.seed}`)
    return
  }

  const startMs = performance.now()
  const found = await lookFor(bug, 1, SEEDS)
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0)
  if (!found) {
    missed.push(bug.id)
    console.log(`MISSED  ${bug.id}: ${SEEDS} runs, ${seconds} s`)
    return
  }

  const {message, plan, seed} = found
  console.log(`found   ${bug.id}: seed ${seed}, ${seconds} s: ${message.split('\n')[0]!.slice(0, 150)}`)
  known.set(bug.id, {plan, seed})
  await saveKnown(known)
}

const wanted = planted.filter(({id}) => only.length === 0 || only.includes(id))
await eachOf(wanted, jobs, look)
console.log(`${missed.length} of ${wanted.length} missed`)
process.exitCode = missed.length === 0 ? 0 : 1
