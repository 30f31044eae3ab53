import assert from 'node:assert/strict'

import {describeEnvDifference, envDifferences, mendingCommand} from '../../../src/lib/migration/env-diff.js'
import {Simulation} from '../../simulation/simulation.js'

const diff = (source: Record<string, string>, target: Record<string, string>) =>
  envDifferences(new Map(Object.entries(source)), new Map(Object.entries(target)))

describe('the settings of both sides', () => {
  it('are compared by key and value, in order', () => {
    const found = diff(
      {default_ttl: '86400', 'replica.write_throttling': '1000*delay*100', same: '1'},
      {default_ttl: '60', same: '1', user_specified_compaction: '{}'},
    )
    assert.deepEqual(found, [
      {key: 'default_ttl', source: '86400', target: '60'},
      {key: 'replica.write_throttling', source: '1000*delay*100'},
      {key: 'user_specified_compaction', target: '{}'},
    ])
    assert.deepEqual(
      found.map((one) => describeEnvDifference(one)),
      [
        'default_ttl: 86400 on the source, 60 on the target',
        'replica.write_throttling: 1000*delay*100 on the source, not set on the target',
        'user_specified_compaction: not set on the source, {} on the target',
      ],
    )
    assert.deepEqual(
      found.map((one) => mendingCommand(one)),
      [
        'set_app_envs default_ttl 86400',
        'set_app_envs replica.write_throttling 1000*delay*100',
        'del_app_envs user_specified_compaction',
      ],
    )
  })

  it('are let differ where a migration makes them differ', () => {
    const source = {'manual_compact.once.trigger_time': '1', 'replica.deny_client_request': 'timeout*write'}
    assert.deepEqual(diff(source, {'duplication.master_cluster': 'a', 'duplication.master_metas': 'b:1'}), [])
  })

  it('are cut where they are long', () => {
    const [one] = diff({policy: 'x'.repeat(500)}, {})
    assert.match(describeEnvDifference(one!), /^policy: x{80}… \(500 characters\) on the source, not set/)
  })

  describe('in a migration', function () {
    this.timeout(60_000)
    let simulation: Simulation
    afterEach(() => simulation?.stop())

    async function run(drift: () => void) {
      simulation = await Simulation.open({})
      const driver = simulation.migrate({
        onEvent(event) {
          if (event.type === 'phase-started' && event.phase === 'verify') drift()
        },
      })
      return {driver, result: await simulation.run(driver.result)}
    }

    const envsOf = (side: 'source' | 'target') => simulation[side].table('users').info.envs

    it('are said to be equal when they are', async () => {
      const {result} = await run(() => {})
      assert.equal(result.outcome, 'migrated')
      assert.deepEqual(result.envDifferences, [])
      assert.equal(result.plan?.envDifferences, undefined, 'there was no target yet')
    })

    it('are told when they drifted after the target was made, and nothing is stopped', async () => {
      const {result} = await run(() => {
        envsOf('source').set('default_ttl', '3600')
        envsOf('target').set('replica.read_throttling', '10*reject*1')
      })
      assert.equal(result.outcome, 'migrated', result.error?.message)
      assert.deepEqual(result.envDifferences, [
        {key: 'default_ttl', source: '3600'},
        {key: 'replica.read_throttling', target: '10*reject*1'},
      ])
      const warnings = result.warnings.filter((warning) => warning.startsWith('settings of users are not the same'))
      assert.equal(warnings.length, 1)
    })
  })
})
