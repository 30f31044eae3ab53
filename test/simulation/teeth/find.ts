import type {Plan} from '../seeded/plan.js'
import {play} from '../seeded/run.js'
import type {PlantedBug} from './planted.js'
import {PlantedProcess} from './planted-process.js'

/** A run that fails with a planted bug, and goes well without it. */
export interface Finding {
  message: string
  /** As small as it could be made. */
  plan: Plan
  /** Which draw it was made of. */
  seed: number
}

/** Plays seeds with a planted bug until one fails that goes well without it. */
export async function lookFor(bug: PlantedBug, from: number, count: number): Promise<Finding | undefined> {
  const planted = new PlantedProcess(bug)
  try {
    for (let next = from; next < from + count;) {
      const failed = await planted.ask({from: next, kind: 'search', to: from + count})
      if (!failed) return undefined
      const {message, plan} = failed
      const {seed} = plan
      if (await goesWell(plan)) {
        const small = await planted.ask({kind: 'shrink', plan})
        return small && (await goesWell(small.plan)) ? {...small, seed} : {message, plan, seed}
      }

      next = seed + 1
    }

    return undefined
  } finally {
    planted.end()
  }
}

/** @returns what is wrong, or undefined: with the bug the plan fails, without it it does not */
export async function whyItDoesNotBite(bug: PlantedBug, plan: Plan): Promise<string | undefined> {
  const planted = new PlantedProcess(bug)
  try {
    const [failed, isGood] = await Promise.all([planted.ask({kind: 'play', plan}), goesWell(plan)])
    if (!failed) return 'with the bug the run goes well'
    return isGood ? undefined : 'without the bug the run fails too'
  } finally {
    planted.end()
  }
}

async function goesWell(plan: Plan): Promise<boolean> {
  return (await play(plan)).failure === undefined
}

/** Does `work` with each, so many at a time. */
export async function eachOf<T>(all: readonly T[], atATime: number, work: (one: T) => Promise<void>): Promise<void> {
  const left = [...all]
  const worker = async () => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) await work(one)
  }

  await Promise.all(Array.from({length: atATime}, worker))
}
