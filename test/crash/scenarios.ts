import assert from 'node:assert/strict'

import type {MigrationResult} from '../../src/lib/migration/index.js'
import type {RollbackResult} from '../../src/lib/migration/rollback/index.js'
import {MetaFunctionLevel} from '../../src/lib/rpc/structs/cluster.js'
import {type Driver, type DriveOptions, Simulation, type SimulationOptions} from '../simulation/simulation.js'
import {Tap} from '../simulation/tap.js'

/** A command on a table in some state, which is then broken at every moment. */
export interface Scenario {
  /** Starts the command under test. */
  command(simulation: Simulation, options: DriveOptions): Driver<MigrationResult | RollbackResult>
  /** What is true when the command went through unharmed. */
  ends: {outcome: string; serves: 'source' | 'target'}
  kind: 'migrate' | 'rollback'
  name: string
  options: SimulationOptions
  /** Brings the table to the state in which the command begins. */
  prepare?(simulation: Simulation): Promise<void>
}

const commandOfMigrate: Scenario['command'] = (simulation, options) => simulation.migrate(options)

function migration(name: string, options: SimulationOptions, more: Partial<Scenario> = {}): Scenario {
  return {
    command: commandOfMigrate,
    ends: {outcome: 'migrated', serves: 'target'},
    kind: 'migrate',
    name,
    options,
    ...more,
  }
}

/** What the issue asks for: both versions, both ways of denying, with and without a metaproxy node. */
export const migrations: Scenario[] = (['2.5', 'master'] as const).flatMap((profile) =>
  (['reconfig', 'timeout'] as const).flatMap((denyMode) =>
    [true, false].map((root) =>
      migration(`${profile}, ${denyMode}, ${root ? 'with' : 'without'} -r`, {denyMode, profile, root}),
    ),
  ),
)

/** Ways through the code that a migration which meets no trouble does not take. */
export const detours: Scenario[] = [
  migration(
    'balancer on, empty partitions',
    // More than there are servers, whose ticks are looked for with writes that must fail: the others have no decree until the tool helps.
    {load: false, overrides: {source: {group_check_interval_ms: 40_000}}, partitionCount: 6, rows: 0},
    {
      async prepare({source}) {
        source.leader!.level = MetaFunctionLevel.fl_lively
      },
    },
  ),
  migration(
    'Ctrl-C while it drains',
    {},
    {
      command(simulation, options) {
        const driver = simulation.migrate({
          ...options,
          onEvent(event, life) {
            options.onEvent?.(event, life)
            if (event.type === 'effect' && event.effect.kind === 'pause-duplication' && event.state === 'done') {
              driver.signal.abort(new Error('Ctrl-C'))
            }
          },
        })
        return driver
      },
      ends: {outcome: 'stopped', serves: 'source'},
    },
  ),
]

/** Kills a migration just after an effect, so that a rollback has something to take back. */
async function killedAfter(simulation: Simulation, kind: string): Promise<void> {
  const tap = new Tap(simulation, (_, effect) => (effect.kind === kind ? 'kill-after' : undefined))
  const {life} = simulation.migrate({wrapEffects: (live, owner) => tap.wrap(live, owner)})
  await simulation.until(`the death of the migration after ${kind}`, () => !life.isAlive)
}

async function migrated(simulation: Simulation): Promise<void> {
  const {outcome} = await simulation.run(simulation.migrate().result)
  assert.equal(outcome, 'migrated')
}

function takenBack(name: string, options: SimulationOptions, more: Partial<Scenario>): Scenario {
  return {
    command: (simulation, drive) => simulation.rollback(drive, {briefDeny: true}),
    ends: {outcome: 'rolled-back', serves: 'source'},
    kind: 'rollback',
    name,
    options,
    ...more,
  }
}

export const rollbacks: Scenario[] = [
  takenBack(
    'a stuck write-deny',
    {guard: false},
    {prepare: (simulation) => killedAfter(simulation, 'pause-duplication')},
  ),
  takenBack(
    'a duplication under load, target dropped',
    {},
    {
      command: (simulation, drive) => simulation.rollback(drive, {briefDeny: true, dropTarget: true}),
      async prepare(simulation) {
        const {result, signal} = simulation.migrate({
          onEvent(event) {
            if (event.type === 'phase-started' && event.phase === 'verify') signal.abort(new Error('Ctrl-C'))
          },
        })
        assert.equal((await simulation.run(result)).outcome, 'stopped')
      },
    },
  ),
  takenBack(
    'a return',
    {},
    {
      command: (simulation, drive) => simulation.rollback(drive),
      ends: {outcome: 'returned', serves: 'source'},
      async prepare(simulation) {
        await migrated(simulation)
        await simulation.applicationsStop()
        simulation.copyBack()
      },
    },
  ),
  takenBack(
    'a return, interrupted',
    {},
    {
      command(simulation, options) {
        const driver = simulation.rollback({
          ...options,
          onEvent(event, life) {
            options.onEvent?.(event, life)
            if (event.type === 'effect' && event.effect.kind === 'deny-target' && event.state === 'done') {
              driver.signal.abort(new Error('Ctrl-C'))
            }
          },
        })
        return driver
      },
      ends: {outcome: 'stopped', serves: 'target'},
      async prepare(simulation) {
        await migrated(simulation)
        await simulation.applicationsStop()
        simulation.copyBack()
      },
    },
  ),
]

export const scenarios: Scenario[] = [...migrations, ...detours, ...rollbacks]

/** What a command did and where it waited. */
export interface Recording {
  effects: Tap['seen']
  /** Places in a command (`placeOf`), and how many signs of life came from each. */
  places: Map<string, number>
}

/** A run that nothing happens to: its effects are the moments of the matrix. */
export async function record(scenario: Scenario): Promise<Recording> {
  const simulation = await Simulation.open(scenario.options)
  try {
    await scenario.prepare?.(simulation)
    const tap = new Tap(simulation)
    const places = new Map<string, number>()
    const driver = scenario.command(simulation, {
      onEvent(event) {
        const name = placeOf(event)
        if (name !== undefined) places.set(name, (places.get(name) ?? 0) + 1)
      },
      wrapEffects: (live, life) => tap.wrap(live, life),
    })
    const result = await simulation.run(driver.result)
    assert.equal(result.outcome, scenario.ends.outcome, `${scenario.name}: ${JSON.stringify(result.error)}`)
    return {effects: tap.seen, places}
  } finally {
    await simulation.stop()
  }
}

/** Where in a command an event lies, if it is one of a wait. */
export function placeOf(event: Parameters<NonNullable<DriveOptions['onEvent']>>[0]): string | undefined {
  if (event.type === 'phase-started') return `begin of ${event.phase}`
  if (event.type === 'step-started') return `begin of ${event.step}`
  if (event.type === 'undo-started') return 'begin of undo'
  if (event.type === 'undo-progress') return 'wait for the undo'
  if (event.type === 'progress')
    return 'phase' in event ? `wait of ${event.phase}: ${event.step}` : `wait of ${event.step}`
  return undefined
}
