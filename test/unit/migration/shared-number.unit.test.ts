import assert from 'node:assert/strict'

import type {UnstampedEvent} from '../../../src/lib/migration/events.js'
import type {MigrationContext} from '../../../src/lib/migration/context.js'
import {warnOfSharedNumber} from '../../../src/lib/migration/phases/shared-number.js'
import {AppStatus} from '../../../src/lib/rpc/structs/table.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
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

describe('the number of the copy, table by table', () => {
  const {AS_AVAILABLE, AS_DROPPED} = AppStatus

  /** What is told of a source with these tables, and a copy of that number. */
  async function told(
    tables: [appId: number, appName: string, status?: AppStatus][],
    {copy = 7, dryRun = false, known}: {copy?: null | number; dryRun?: boolean; known?: number} = {},
  ) {
    const events: UnstampedEvent[] = []
    let asked = 0
    const state: {targetAppId?: number} = known === undefined ? {} : {targetAppId: known}
    const context = {
      clock: new VirtualClock(),
      dryRun,
      emit: (event: UnstampedEvent) => events.push(event),
      request: {table: 'users', targetCluster: 'b'},
      signal: new AbortController().signal,
      source: {
        async tables() {
          asked++
          return tables.map(([appId, appName, status = AS_AVAILABLE]) => ({appId, appName, status}))
        },
      },
      state,
      target: {table: async () => (copy === null ? undefined : {appId: copy})},
    }
    await warnOfSharedNumber(context as unknown as MigrationContext)
    return {asked, events, state}
  }

  it('is told with both names, and what to do', async () => {
    const {events, state} = await told([
      [2, 'users'],
      [7, 'orders'],
    ])
    assert.deepEqual(events, [
      {
        code: 'cutover.shared_number',
        message:
          'users has number 7 on b, and so has orders on the source: C++ clients may write to orders just after the switch; if there are any, stop them for the switch (docs/cutover.md, --hold)',
        type: 'warning',
      },
    ])
    assert.equal(state.targetAppId, 7)
  })

  it('is nothing where the other table was dropped, or is the moved one, or has another number', async () => {
    assert.deepEqual((await told([[7, 'orders', AS_DROPPED]])).events, [])
    assert.deepEqual((await told([[7, 'users']])).events, [])
    assert.deepEqual((await told([[8, 'orders']])).events, [])
    assert.deepEqual((await told([[7, 'orders']], {copy: null})).events, [])
  })

  it('is the one that is known already', async () => {
    assert.equal((await told([[8, 'orders']], {known: 8})).events.length, 1)
  })

  it('is not asked for by a rehearsal', async () => {
    assert.deepEqual(await told([[7, 'orders']], {dryRun: true}), {asked: 0, events: [], state: {}})
  })
})
