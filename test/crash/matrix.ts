import assert from 'node:assert/strict'

import {parseNodeData} from '../../src/lib/metaproxy/node-data.js'
import type {EffectKind} from '../../src/lib/migration/effects.js'
import type {MigrationResult} from '../../src/lib/migration/index.js'
import type {RollbackResult} from '../../src/lib/migration/rollback/index.js'
import {assertClean, assertServes, snapshot} from '../simulation/judge.js'
import {NODE, Simulation} from '../simulation/simulation.js'
import {type EffectFault, Tap} from '../simulation/tap.js'
import {placeOf, type Recording, type Scenario} from './scenarios.js'
import type {Trouble} from './troubles.js'

/** When a command is hit: at one of its effects, or at the n-th sign of life of one of its waits. */
export type Moment =
  {effect: EffectKind; fault: EffectFault; index: number} | {fault: 'kill'; nth: number; place: string}

/** Who makes it good again. */
export type Mend = 'guard' | 'resume' | 'rollback'

type Outcome = MigrationResult['outcome'] | RollbackResult['outcome']

/** A person runs the next command so much later, ms. */
const PERSON_MS = 1500
const COMMAND_LIMIT_MS = 3_600_000

export function nameOf(moment: Moment): string {
  return 'place' in moment
    ? `kill at the ${moment.nth === 1 ? 'first' : 'second'} sign of "${moment.place}"`
    : `${moment.fault} #${moment.index} ${moment.effect}`
}

/** Every moment at which a command can die: before and after each effect, and in each of its waits. */
export function killMoments({effects, places}: Recording): Moment[] {
  return [
    ...effects.flatMap(({kind}, index) =>
      (['kill-before', 'kill-after'] as const).map((fault) => ({effect: kind, fault, index})),
    ),
    ...[...places].map(([place, signs]) => ({fault: 'kill' as const, nth: Math.min(2, signs), place})),
  ]
}

/** Every way in which each effect can fail. */
export function faultMoments({effects}: Recording): Moment[] {
  return effects.flatMap(({kind}, index) =>
    (['error', 'silence', 'lost-answer', 'cut-after'] as const).map((fault) => ({effect: kind, fault, index})),
  )
}

/** One cell of the matrix: a command is hit at a moment, and somebody mends it. */
export async function runCase(scenario: Scenario, moment: Moment, mend: Mend): Promise<void> {
  const simulation = await Simulation.open(scenario.options)
  try {
    await scenario.prepare?.(simulation)
    const ended = await hit(simulation, scenario, moment)
    const trial = new Trial(simulation, scenario)
    if (ended) {
      await trial.judge(ended)
      if (await trial.isOver(ended)) return
    }

    await (!ended && mend === 'guard' ? trial.guarded() : simulation.pass(PERSON_MS))
    await (mend === 'rollback' ? trial.takeBack() : trial.goOn())
  } finally {
    await simulation.stop()
  }
}

/** Where a trouble begins: at the n-th sign of life of a place in a command. */
export type Place = Extract<Moment, {place: string}>

/** Something goes wrong around a command; it must end by itself, say what is so, and be made good by itself run again. */
export async function runTrouble(scenario: Scenario, {nth, place}: Place, trouble: Trouble): Promise<void> {
  const simulation = await Simulation.open(scenario.options)
  try {
    await scenario.prepare?.(simulation)
    let began: Promise<void> | undefined
    let ended: Promise<void> | undefined
    let signs = 0
    const end = () => {
      ended ??= Promise.resolve(trouble.end?.(simulation, driver.life))
      return ended
    }

    const driver = scenario.command(simulation, {
      onEvent(event, life) {
        if (placeOf(event) !== place || ++signs !== nth) return
        began = Promise.resolve(trouble.begin(simulation, life))
        if (trouble.lastsMs !== undefined) simulation.clock.setTimer(trouble.lastsMs, () => void end())
      },
    })
    const result = await simulation.run(driver.result)
    assert.ok(began, 'the moment never came')
    await simulation.run(began)
    await simulation.run(end())
    const trial = new Trial(simulation, scenario)
    await simulation.guardsEnd()
    await trial.judge(result)
    if (await trial.isOver(result)) return
    // Until servers that came back are found healthy again.
    await simulation.pass(60_000)
    await trial.goOn()
  } finally {
    await simulation.stop()
  }
}

/** Runs the command until it dies or ends. @returns its result when it ended by itself */
async function hit(simulation: Simulation, scenario: Scenario, moment: Moment) {
  const tap = new Tap(simulation, (index) => ('index' in moment && moment.index === index ? moment.fault : undefined))
  let signs = 0
  const driver = scenario.command(simulation, {
    onEvent(event, life) {
      if ('place' in moment && placeOf(event) === moment.place && ++signs === moment.nth) life.kill()
    },
    wrapEffects: (live, life) => tap.wrap(live, life),
  })
  let result: MigrationResult | RollbackResult | undefined
  let failure: unknown
  driver.result.then(
    (value) => {
      result = value
    },
    (error: unknown) => {
      failure = error
    },
  )
  await simulation.until('the end of the command', () => result !== undefined || !driver.life.isAlive, COMMAND_LIMIT_MS)
  // The death of a command that ended and its result come in the same turn.
  await simulation.pass(0)
  const isKill = moment.fault.startsWith('kill')
  assert.equal(failure, undefined, 'a command never throws')
  assert.ok(tap.struck || signs > 0, 'the moment never came')
  assert.equal(result === undefined, isKill, `killed, and yet: ${JSON.stringify(result)}`)
  return result
}

/** What must be true after each command, until everything is as it should be. */
class Trial {
  constructor(
    private readonly simulation: Simulation,
    private readonly scenario: Scenario,
  ) {}

  /** I2 for a command that ended by itself. */
  async judge(result: MigrationResult | RollbackResult): Promise<void> {
    const {outcome} = result
    const text = JSON.stringify({...result, checks: undefined, phases: undefined})
    if (outcome === 'write-denied') {
      assert.ok(result.next, `it does not say what mends it: ${text}`)
      return
    }

    const side = sideOf(this.simulation, result, this.scenario)
    await within(text, () => assertServes(this.simulation, side))
    if (outcome === 'migrated' || outcome === 'rolled-back' || outcome === 'returned') {
      await within(text, () => assertClean(this.simulation))
    }
  }

  /** Whether the command did all that it was to do: then once more does nothing. */
  async isOver({outcome}: MigrationResult | RollbackResult): Promise<boolean> {
    const {scenario, simulation} = this
    if (outcome !== scenario.ends.outcome || outcome === 'stopped') return false
    const next = () => scenario.command(simulation, {}).result
    await this.repeatIsNothing(next, ['migrated', 'refused', 'returned', 'rolled-back'])
    return true
  }

  /** The driver is dead, and nobody but its guard (if there is one already) does anything. */
  async guarded(): Promise<void> {
    const {simulation} = this
    await simulation.guardsEnd()
    for (const {error} of simulation.guards) assert.equal(error, undefined, 'the guard failed')
    const end = simulation.guards.at(-1)?.end
    if (end === 'lifted') await within('guard lifted', () => assertServes(simulation, 'source'))
  }

  /** The same migration once more: everything is made good, and once more: nothing happens. */
  async goOn(): Promise<void> {
    const {scenario, simulation} = this
    // An operator who takes a migration back does not want it to go on.
    if (scenario.kind === 'rollback') return this.again()
    const result = await simulation.run(simulation.migrate().result)
    assert.equal(result.outcome, 'migrated', `the same command again: ${textOf(result)}`)
    await this.judge(result)
    await this.repeatIsNothing(() => simulation.migrate().result, ['migrated', 'refused'])
  }

  /** The rollback that was hit, once more. */
  private async again(): Promise<void> {
    const {scenario, simulation} = this
    const next = () => scenario.command(simulation, {}).result
    const result = await simulation.run(next())
    assert.ok(
      ['returned', 'rolled-back', scenario.ends.outcome].includes(result.outcome),
      `the same command again: ${textOf(result)}`,
    )
    await this.judge(result)
    if (scenario.ends.serves === 'source') await this.repeatIsNothing(next, ['returned', 'rolled-back'])
  }

  /** A rollback, from wherever the migration was. */
  async takeBack(): Promise<void> {
    const {scenario, simulation} = this
    if (scenario.kind === 'rollback') return this.again()
    const next = () => simulation.rollback({}, {briefDeny: true}).result
    const result = await simulation.run(next())
    await this.judge(result)
    if (result.outcome === 'rolled-back' || result.outcome === 'returned') {
      return this.repeatIsNothing(next, ['rolled-back'])
    }

    // Handed over: clients have written there, and nothing may be lost.
    assert.equal(result.error?.code, 'rollback.would_lose', textOf(result))
    const forward = await simulation.run(simulation.migrate().result)
    assert.equal(forward.outcome, 'migrated', textOf(forward))
    await this.judge(forward)
  }

  /** The mending command once more changes nothing. */
  private async repeatIsNothing(
    run: () => Promise<MigrationResult | RollbackResult>,
    allowed: Outcome[],
  ): Promise<void> {
    const before = snapshot(this.simulation)
    const result = await this.simulation.run(run())
    assert.ok(allowed.includes(result.outcome), `the second time: ${textOf(result)}`)
    assert.deepEqual(snapshot(this.simulation), before, 'the second time changed something')
  }
}

/** Which side must serve after a command that ended so. */
function sideOf(simulation: Simulation, {error, outcome}: MigrationResult | RollbackResult, {kind}: Scenario) {
  if (outcome === 'migrated' || outcome === 'switched-unfinished' || outcome === 'handed-over') return 'target'
  if (error?.code === 'rollback.would_lose') return 'target'
  // A return that stops leaves the table on the side that the node names.
  const {clusterName} = parseNodeData(simulation.zookeeper.getData(NODE).bytes)
  return kind === 'rollback' && outcome === 'stopped' && clusterName === simulation.target.name ? 'target' : 'source'
}

function textOf(result: MigrationResult | RollbackResult): string {
  return JSON.stringify({error: result.error, next: result.next, outcome: result.outcome, warnings: result.warnings})
}

async function within(text: string, check: () => Promise<void> | void): Promise<void> {
  try {
    await check()
  } catch (error) {
    if (error instanceof Error) error.message += `\nafter: ${text}`
    throw error
  }
}
