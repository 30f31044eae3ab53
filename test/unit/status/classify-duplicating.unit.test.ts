import assert from 'node:assert/strict'

import {classify} from '../../../src/lib/migration/status/classify.js'
import type {StatusFacts, TargetFacts} from '../../../src/lib/migration/status/facts.js'
import type {StateId} from '../../../src/lib/migration/status/states.js'
import {duplication, facts, journal, nowMs, shipping, source, target} from './scenarios.js'

const WHAT = 'Duplication 1772352000 to onebox2 is in'
const held: StatusFacts['lock'] = {held: true, scope: 'everywhere'}
const statuses = ['DS_INIT', 'DS_PREPARE', 'DS_APP', 'DS_LOG', 'DS_PAUSE'] as const
const duplicated = (status: (typeof statuses)[number], lags = [1, 1]) =>
  source({duplications: [duplication({status})], shipping: shipping(lags)})

function says(change: Partial<StatusFacts>, id: StateId, because: string): void {
  assert.deepEqual(classify(facts({journal: journal(), ...change})), {because, id})
}

const idOf = (change: Partial<StatusFacts>) => classify(facts({journal: journal(), ...change})).id
const by = (copy: TargetFacts | undefined, change: Partial<StatusFacts> = {}) =>
  statuses.map((status) => idOf({source: duplicated(status), ...(copy ? {target: copy} : {}), ...change}))

describe('a table that is duplicated', () => {
  it('goes through its states', () => {
    const usual = ['preparing', 'preparing', 'copying', 'caught-up', 'paused']
    assert.deepEqual(by(target()), usual)
    assert.deepEqual(by(undefined), usual)
    says({source: duplicated('DS_INIT'), target: target()}, 'preparing', `${WHAT} DS_INIT.`)
  })

  it('misses its copy only once that was made, and where the target was asked', () => {
    const missing = ['preparing', 'preparing', 'copying', 'target-missing', 'target-missing']
    assert.deepEqual(by(target({}, {table: undefined})), missing)
    const usual = ['preparing', 'preparing', 'copying', 'caught-up', 'paused']
    assert.deepEqual(by(target({}, {reached: false, table: undefined})), usual)
    assert.deepEqual(by(target({}, {cluster: 'onebox3', table: undefined})), usual)
    says(
      {source: duplicated('DS_PAUSE'), target: target({}, {table: undefined})},
      'target-missing',
      `${WHAT} DS_PAUSE, and onebox2 has no table users.`,
    )
  })

  it('is refused by its copy at any time', () => {
    assert.deepEqual(
      by(target({deny: 'timeout*write'})),
      statuses.map(() => 'target-denied'),
    )
  })

  it('is blocked by a table that follows nobody, or somebody else, before the copy is made', () => {
    const blocked = ['copy-blocked', 'copy-blocked', 'copying', 'caught-up', 'paused']
    assert.deepEqual(by(target({followerEnvs: {}})), blocked)
    assert.deepEqual(by(target({followerEnvs: {'duplication.master_cluster': 'onebox7'}})), blocked)
    assert.deepEqual(by(target({}, {table: undefined})).slice(0, 2), ['preparing', 'preparing'])
    says(
      {source: duplicated('DS_PREPARE'), target: target({followerEnvs: {}})},
      'copy-blocked',
      `${WHAT} DS_PREPARE, and onebox2 has a table users (id 7) that is no copy of it.`,
    )
  })

  it('is not called blocked on master by a name that may be its own: it duplicates by another than its cluster’s', () => {
    const master = {...duplicated('DS_PREPARE'), isMaster: true}
    const found = (envs: Record<string, string>) => idOf({source: master, target: target({followerEnvs: envs})})
    assert.equal(found({'duplication.master_cluster': 'its-other-name'}), 'preparing')
    assert.equal(found({}), 'copy-blocked')
  })

  it('is somebody else’s unless the journal or the lock says otherwise', () => {
    says(
      {journal: undefined, source: duplicated('DS_LOG')},
      'foreign-duplication',
      `${WHAT} DS_LOG, and no journal here says that a migration began it.`,
    )
    const other = journal({dupids: [], hints: {settings: []}})
    assert.equal(idOf({journal: other, source: duplicated('DS_LOG')}), 'foreign-duplication')
    says(
      {journal: undefined, lock: {...held, holder: 'ops'}, source: duplicated('DS_APP')},
      'copying',
      `${WHAT} DS_APP; ops holds the lock.`,
    )
    says({lock: held, source: duplicated('DS_PREPARE')}, 'preparing', `${WHAT} DS_PREPARE; somebody holds the lock.`)
  })

  it('is forgotten a day after the last word of its run', () => {
    const lastAtMs = nowMs - 86_400_001
    const at = new Date(lastAtMs).toISOString()
    says(
      {journal: journal({lastAtMs}), source: duplicated('DS_APP')},
      'forgotten-duplication',
      `${WHAT} DS_APP; the last run wrote its last record ${at}.`,
    )
    says(
      {journal: journal({ended: {atMs: lastAtMs, outcome: 'stopped'}, lastAtMs}), source: duplicated('DS_APP')},
      'forgotten-duplication',
      `${WHAT} DS_APP; the last run ended (stopped) ${at}.`,
    )
    assert.equal(idOf({journal: journal({lastAtMs: nowMs - 86_400_000}), source: duplicated('DS_APP')}), 'copying')
  })

  it('is paused by a run that works, or left so', () => {
    says({source: duplicated('DS_PAUSE')}, 'paused', `${WHAT} DS_PAUSE.`)
    assert.equal(idOf({lock: {...held, held: false}, source: duplicated('DS_PAUSE')}), 'paused')
    assert.equal(idOf({lock: held, source: duplicated('DS_PAUSE')}), 'caught-up')
  })
})

describe('a table that catches up', () => {
  const figures = (change: Partial<StatusFacts>, id: StateId, words: string) =>
    says(change, id, `${WHAT} DS_LOG; ${words}.`)

  it('has caught up at the threshold', () => {
    const words = '2 of 2 partitions ship, 10,000 mutations pending (threshold 10,000)'
    figures({source: duplicated('DS_LOG', [10_001, 1])}, 'caught-up', words)
    const more = '2 of 2 partitions ship, 10,001 mutations pending (threshold 10,000)'
    figures({source: duplicated('DS_LOG', [10_002, 1])}, 'catching-up', more)
    const own = journal({thresholdMutations: 3})
    const few = '2 of 2 partitions ship, 4 mutations pending (threshold 3)'
    figures({journal: own, source: duplicated('DS_LOG', [3, 3])}, 'catching-up', few)
  })

  it('is told in words of one and of none', () => {
    figures(
      {source: duplicated('DS_LOG', [2, 1])},
      'caught-up',
      '2 of 2 partitions ship, 1 mutation pending (threshold 10,000)',
    )
    const single = source({
      duplications: [duplication()],
      shipping: shipping([1]),
      table: {appId: 2, partitionCount: 1},
    })
    figures({source: single}, 'caught-up', '1 of 1 partition ships, 0 mutations pending (threshold 10,000)')
  })

  it('has not where a primary does not ship, or none tells', () => {
    const lags = shipping([1, 1])
    lags.partitions[1]!.duplicating = false
    const idle = source({duplications: [duplication()], shipping: lags})
    figures({source: idle}, 'catching-up', '1 of 2 partitions ship, 0 mutations pending (threshold 10,000)')
    const silent = source({duplications: [duplication()]})
    figures({source: silent}, 'catching-up', '0 of 2 partitions ship, lag unknown (threshold 10,000)')
    const other = source({duplications: [duplication()], shipping: shipping([1, 1], {dupid: 3})})
    figures({source: other}, 'catching-up', '0 of 2 partitions ship, lag unknown (threshold 10,000)')
  })
})
