import assert from 'node:assert/strict'

import {Simulation, TABLE} from '../../simulation/simulation.js'

describe("a table number of the target's copy that the source uses too", () => {
  let simulation: Simulation

  afterEach(() => simulation?.stop())

  async function warnings(others: string[]): Promise<string[]> {
    simulation = await Simulation.open({profile: 'master'})
    const shape = {partitionCount: 2, replicaCount: 3}
    for (const name of others) await simulation.source.createTable(name, shape)
    // The copy's number is then not the one that the table itself has on the source, but the next.
    if (others.length > 0) await simulation.target.createTable('other', shape)
    const ids = new Set(others.map((name) => simulation.source.table(name).info.appId))
    const driver = simulation.migrate()
    const result = await simulation.run(driver.result)
    assert.equal(result.outcome, 'migrated')
    assert.equal(ids.has(simulation.target.table(TABLE).info.appId), others.length > 0)
    return result.warnings.filter((text) => /number \d+ on onebox2, and so has/.test(text))
  }

  it('is told before the deny', async () => {
    const [warning, ...more] = await warnings(['orders', 'carts', 'sessions'])
    assert.match(warning ?? '', /users has number \d+ on onebox2, and so has orders on the source/)
    assert.deepEqual(more, [])
  })

  it('is nothing to tell where only the moved table has it', async () => {
    assert.deepEqual(await warnings([]), [])
  })
})
