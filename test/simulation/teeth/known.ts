import {readFile, writeFile} from 'node:fs/promises'

import type {Plan} from '../seeded/plan.js'

/** By which run a planted bug is found. The plan lasts longer than the seed: what a seed draws changes with the draw. */
export interface Known {
  plan: Plan
  /** The first that found it, when it was looked for from seed 1 on. */
  seed: number
}

const FILE = new URL('known-seeds.json', import.meta.url)

export async function knownRuns(): Promise<Map<string, Known>> {
  return new Map(Object.entries(JSON.parse(await readFile(FILE, 'utf8')) as Record<string, Known>))
}

export async function saveKnown(known: ReadonlyMap<string, Known>): Promise<void> {
  // One line each: a plan is not read for pleasure.
  const lines = [...known]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, one]) => `  ${JSON.stringify(id)}: ${JSON.stringify(one)}`)
  await writeFile(FILE, `{\n${lines.join(',\n')}\n}\n`)
}
