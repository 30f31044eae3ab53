import assert from 'node:assert/strict'

import {formatNodeData} from '../../../src/lib/metaproxy/node-data.js'
import {stepTitles} from '../../../src/lib/migration/rollback/index.js'
import {jsonText} from '../../../src/lib/ui/text.js'
import {NODE, Simulation} from '../../simulation/simulation.js'
import {readSchema, type Schema, violations} from '../../support/json-schema.js'

describe('results as JSON', function () {
  this.timeout(60_000)
  let simulation: Simulation
  const migration = readSchema('table-migrate')
  const rollback = readSchema('table-migrate-rollback')

  afterEach(() => simulation?.stop())

  /** As it is printed. */
  function allows(schema: Schema, result: {outcome: string}, outcome: string): void {
    assert.equal(result.outcome, outcome, JSON.stringify(result))
    assert.deepEqual(violations(schema, JSON.parse(jsonText(result))), [])
  }

  it('of a migration, stopped, rolled back, and done', async () => {
    simulation = await Simulation.open({})
    const {result, signal} = simulation.migrate({
      onEvent(event) {
        if (event.type === 'phase-started' && event.phase === 'drain') signal.abort(new Error('Ctrl-C'))
      },
    })
    allows(migration, await simulation.run(result), 'stopped')
    allows(rollback, await simulation.run(simulation.rollback({}, {}, true).result), 'dry-run')
    allows(rollback, await simulation.run(simulation.rollback().result), 'duplication-kept')
    allows(
      rollback,
      await simulation.run(simulation.rollback({}, {briefDeny: true, dropTarget: true}).result),
      'rolled-back',
    )
    allows(migration, await simulation.run(simulation.migrate().result), 'migrated')
    allows(rollback, await simulation.run(simulation.rollback().result), 'refused')
  })

  it('of a migration that is refused, and one whose node somebody else switched', async () => {
    simulation = await Simulation.open({denyMode: 'timeout'})
    allows(migration, await simulation.run(simulation.migrate({}, {maxWriteDenyMs: 1000}).result), 'refused')
    const driver = simulation.migrate({
      onEvent(event) {
        if (event.type === 'effect' && event.effect.kind === 'deny' && event.state === 'done')
          simulation.zookeeper.put(NODE, formatNodeData(simulation.target.name, simulation.target.metas))
      },
    })
    allows(migration, await simulation.run(driver.result), 'switched-unfinished')
  })

  it('know every step of a rollback', () => {
    const {StepId} = rollback.$defs as Record<string, {enum: string[]}>
    assert.deepEqual([...StepId!.enum].sort(), Object.keys(stepTitles).sort())
  })
})
