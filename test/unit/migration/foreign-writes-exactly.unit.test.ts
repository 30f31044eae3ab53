import assert from 'node:assert/strict'

import {refuseForeignWrites} from '../../../src/lib/migration/foreign-writes.js'
import {ScriptedMigration} from '../../support/scripted-migration.js'

const [FIRST, SECOND] = ['10.0.1.1:34801', '10.0.1.2:34801']
const NEXT = 'Find those clients and stop them. Then compare the table in full before you go on: --verify full.'

describe('foreign writes, exactly', () => {
  let migration: ScriptedMigration

  beforeEach(() => {
    migration = new ScriptedMigration()
  })

  const look = () => migration.run(refuseForeignWrites(migration.context))
  const count = (name: string, value: number) => migration.target.counters.set(`replica*app.pegasus*${name}`, value)
  const refused = (found: string) =>
    assert.rejects(look(), {
      code: 'target.foreign_writes',
      message: `clients write to users on b already (${found}): what they write is lost or mixed with what is shipped`,
      next: NEXT,
    })

  for (const kind of ['put', 'multi_put', 'remove', 'multi_remove', 'incr', 'check_and_set', 'check_and_mutate']) {
    it(`are ${kind}`, async () => {
      count(`${kind}_qps@5.0`, 3)
      await refused(`${kind}_qps of partition 0 = 3`)
    })
  }

  it('are told by three counters', async () => {
    for (const kind of ['put', 'multi_put', 'remove', 'incr']) count(`${kind}_qps@5.1`, 2)
    await refused(['put', 'multi_put', 'remove'].map((kind) => `${kind}_qps of partition 1 = 2`).join(', '))
  })

  it('are no counters of another form', async () => {
    for (const name of ['put_qps@5.0.p99', 'put-qps@5.0', 'put_qps@55.0', 'put_qps@5.x', 'recent_put_qps@5.0'])
      count(name, 9)
    migration.target.counters.set('put_qps@5.0', 9)
    await look()
  })

  it('are asked for once of each server', async () => {
    migration.target.primaries = [FIRST, FIRST, SECOND]
    migration.target.ballots = [3, 3, 3]
    await look()
    assert.deepEqual(migration.asked.filter((question) => question.includes('counters')).sort(), [
      `target counters ${FIRST}`,
      `target counters ${SECOND}`,
    ])
    assert.equal(migration.clock.nowMs(), 0)
  })

  it('are those of tables and partitions of any number', async () => {
    migration.target.appId = 25
    migration.target.primaries = Array.from({length: 12}, () => FIRST)
    migration.target.ballots = migration.target.primaries.map(() => 3)
    count('put_qps@25.12', 9)
    await look()
    count('put_qps@25.11', 3)
    await refused('put_qps of partition 11 = 3')
  })

  it('are looked for again while they may be our own probes, every 2 s', async () => {
    await migration.clock.advance(60_000)
    count('check_and_set_qps@5.0', 0.1)
    count('put_qps@5.0', 0)
    migration.clock.setTimer(25_999, () => migration.target.counters.clear())
    await look()
    assert.equal(migration.clock.nowMs(), 86_000)
  })

  it('are not our own probes any more after 25 s', async () => {
    count('check_and_set_qps@5.0', 0.1)
    migration.clock.setTimer(26_001, () => migration.target.counters.clear())
    await refused('check_and_set_qps of partition 0 = 0.1')
    assert.equal(migration.clock.nowMs(), 26_000)
  })

  it('are refused at once where probes are not all', async () => {
    count('check_and_set_qps@5.0', 0.1)
    count('put_qps@5.1', 4)
    await refused('check_and_set_qps of partition 0 = 0.1, put_qps of partition 1 = 4')
    assert.equal(migration.clock.nowMs(), 0)
  })

  it('are not waited for by a run that is stopped', async () => {
    count('check_and_set_qps@5.0', 0.1)
    const reason = new Error('stopped')
    migration.clock.setTimer(100, () => migration.abort.abort(reason))
    await assert.rejects(look(), reason)
  })

  describe('on master', () => {
    const entity = (partition: number, value: number, name = 'put_requests') => ({
      attributes: new Map([['partition_id', String(partition)]]),
      id: `replica@5.${partition}`,
      type: 'replica',
      values: new Map([[name, value]]),
    })

    beforeEach(() => {
      migration.target.generation = 'master'
    })

    it('are what has grown within a second', async () => {
      migration.target.metrics = [entity(0, 100), entity(1, 500, 'incr_requests')]
      migration.clock.setTimer(999, () => {
        migration.target.metrics = [entity(0, 103), entity(1, 500, 'incr_requests')]
      })
      await refused('put_requests of replica@5.0 = 3')
      assert.equal(migration.clock.nowMs(), 1000)
    })

    it('are no figures that were there before, fell, or came with a new primary', async () => {
      migration.target.metrics = [entity(0, 100)]
      migration.clock.setTimer(999, () => {
        migration.target.metrics = [entity(0, 50), entity(1, 900)]
      })
      await look()
    })

    it('are asked for by name', async () => {
      await look()
      const names = ['put', 'multi_put', 'remove', 'multi_remove', 'incr', 'check_and_set', 'check_and_mutate']
      const wanted = names.map((name) => `${name}_requests`).join()
      assert.deepEqual(
        migration.asked.filter((question) => question.includes('metrics')).sort(),
        [FIRST, FIRST, SECOND, SECOND].map((server) => `target metrics ${server} 5 ${wanted}`),
      )
    })
  })
})
