import assert from 'node:assert/strict'

import {predictWindow} from '../../../src/lib/migration/preflight/prediction.js'
import {healthyFacts, make24, makeMaster, setEverywhere} from './healthy-facts.js'

describe('the predicted write-deny window', () => {
  it('is the sum of spread, longest drain, switch and undo by the slowest server', () => {
    const facts = healthyFacts()
    facts.source.servers[1]!.config.set('config_sync_interval_ms', '45000')
    const {drainMs, parts, spreadMs, sumMs, switchMs, undoMs} = predictWindow(facts)
    assert.deepEqual(
      {drainMs, spreadMs, sumMs, undoMs},
      {drainMs: {max: 22_000, min: 10_000}, spreadMs: 46_000, sumMs: 124_000, undoMs: 46_000},
    )
    assert.equal(sumMs, spreadMs + drainMs.max + switchMs + undoMs)
    assert.match(parts[0]!, /config_sync_interval_ms 45000 on 10\.0\.0\.2:34801/)
  })

  it('is about 36 s when the sync interval is lowered on 2.5', () => {
    const {parts, sumMs} = predictWindow(healthyFacts(), 1000)
    assert.equal(sumMs, 36_000)
    assert.match(parts[0]!, /config_sync_interval_ms 1000, lowered before the deny/)
  })

  it('does not count on a lowered interval where it has no effect', () => {
    const old = healthyFacts()
    make24(old)
    assert.equal(predictWindow(old, 1000).sumMs, 94_000)
    const master = healthyFacts()
    makeMaster(master)
    assert.equal(predictWindow(master, 1000).spreadMs, 31_000)
  })

  it('has no drain to wait for on master', () => {
    const facts = healthyFacts()
    makeMaster(facts)
    setEverywhere(facts, 'group_check_interval_ms', '100000')
    const {drainMs, sumMs} = predictWindow(facts)
    assert.deepEqual(drainMs, {max: 2000, min: 0})
    assert.equal(sumMs, 74_000)
  })
})
