import {readFile, writeFile} from 'node:fs/promises'

import type {Plan} from './plan.js'

/** A run that found a bug, as a whole plan: what a seed draws changes with the kinds of faults there are. */
export interface OnceFailing {
  plan: Plan
  was: string
}

const FILE = new URL('once-failing.json', import.meta.url)

export async function onceFailing(): Promise<OnceFailing[]> {
  return JSON.parse(await readFile(FILE, 'utf8')) as OnceFailing[]
}

export async function keep(found: OnceFailing): Promise<void> {
  const all = [...(await onceFailing()), found]
  // One line each: a plan is not read for pleasure.
  const lines = all.map((one) => `  ${JSON.stringify(one)}`)
  await writeFile(FILE, `[\n${lines.join(',\n')}\n]\n`)
}
