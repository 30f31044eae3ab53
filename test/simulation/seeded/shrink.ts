import type {Plan} from './plan.js'
import {play, type Report} from './run.js'

/** Plays so often at most, unless told otherwise. */
const MOST_TRIALS = 120

/** Smaller plans that may fail in the same way, the boldest first. */
function* smaller(plan: Plan): Generator<Plan> {
  const {faults, world} = plan
  if (faults.length > 2) {
    const half = Math.ceil(faults.length / 2)
    yield {...plan, faults: faults.slice(0, half)}
    yield {...plan, faults: faults.slice(half)}
  }

  for (const index of faults.keys()) yield {...plan, faults: faults.filter((_, other) => other !== index)}
  const plainer: Partial<Plan['world']>[] = [
    {partitions: 1},
    {servers: 2},
    {latencyMs: 0},
    {lively: false},
    {rows: 0},
    {keys: 4},
    {valueBytes: 12},
    {writesPerSecond: 1},
    {verify: 'none'},
    {profile: '2.5'},
    {denyMode: 'reconfig'},
  ]
  for (const change of plainer) {
    const [key, value] = Object.entries(change)[0]!
    if (world[key as keyof typeof world] !== value) yield {...plan, world: {...world, ...change}}
  }

  if (world.skew) {
    const straight = {...world}
    delete straight.skew
    yield {...plan, world: straight}
  }

  for (const [index, fault] of faults.entries()) {
    if (fault.lastsMs === undefined || fault.lastsMs <= 1000) continue
    yield {...plan, faults: faults.with(index, {...fault, lastsMs: Math.floor(fault.lastsMs / 2)})}
  }
}

/** Makes a failing plan smaller while it still fails with the same invariant. */
export async function shrink(
  plan: Plan,
  failed: Report,
  mostTrials = MOST_TRIALS,
): Promise<{plan: Plan; report: Report; trials: number}> {
  let best = {plan, report: failed}
  let trials = 0
  for (let again = true; again && trials < mostTrials;) {
    again = false
    for (const candidate of smaller(best.plan)) {
      if (++trials > mostTrials) break
      const report = await play(candidate)
      if (report.failure?.invariant !== failed.failure!.invariant) continue
      best = {plan: candidate, report}
      again = true
      break
    }
  }

  return {...best, trials}
}
