import assert from 'node:assert/strict'

import {classify} from '../../../src/lib/migration/status/classify.js'
import type {StatusFacts} from '../../../src/lib/migration/status/facts.js'
import type {StateId} from '../../../src/lib/migration/status/states.js'
import {denying, duplication, facts, journal, node, nowMs, shipping, source, switched, target} from './scenarios.js'

const CLOSED = 'reconfig*all'
const clean = target({followerEnvs: {}})
const problem = (code: string, message: string) => ({cluster: undefined, problem: {code, message}, side: undefined})
const zooKeeperDown = node(problem('zk.unreachable', 'nobody listens'))
const locked = (holder?: string): StatusFacts['lock'] => ({
  held: true,
  ...(holder ? {holder} : {}),
  scope: 'everywhere',
})
const noLock: StatusFacts['lock'] = {held: false, scope: 'everywhere'}
const left = (change: Partial<StatusFacts['settings'][0]> = {}): StatusFacts['settings'][0] => ({
  before: '4096',
  left: true,
  name: 'duplicate_log_batch_bytes',
  now: '0',
  server: '127.0.0.1:34801',
  side: 'source',
  ...change,
})
const ended = (outcome: string, change = {}) =>
  journal({ended: {atMs: nowMs, outcome}, hints: {settings: []}, ...change})
const duplicated = (status: ReturnType<typeof duplication>['status'], deny?: string) =>
  source({duplications: [duplication({status})], shipping: shipping([1, 1])}, deny)

function says(change: Partial<StatusFacts>, id: StateId, because: string): void {
  assert.deepEqual(classify(facts(change)), {because, id})
}

describe('a source that tells little', () => {
  it('is unreachable without a reason', () => {
    says({source: undefined}, 'unreachable', 'The metas of the source could not be asked.')
    const unread = [
      {code: 'x', message: 'other', what: 'lock'},
      {code: 'x', message: 'no leader', what: 'source'},
    ]
    says({source: undefined, unread}, 'unreachable', 'no leader.')
  })

  it('does not say whether it duplicates', () => {
    const unread = [{code: 'x', message: 'other', what: 'lock'}]
    const words = 'The duplications of users could not be read: no answer.'
    says({source: source({duplications: undefined}), unread}, 'unclear', words)
  })

  it('is denied all the same, or was handed over', () => {
    const denied = source({duplications: undefined}, 'timeout*write')
    says(
      {source: denied},
      'foreign-deny',
      'users on onebox carries replica.deny_client_request=timeout*write, and no journal here says why.',
    )
    says(
      {node: switched, source: source({duplications: undefined}, CLOSED), target: clean},
      'unclear',
      'onebox2 serves; the duplications of users on onebox could not be read.',
    )
  })

  it('has lost the table that the journal handed over', () => {
    const given = ended('migrated', {root: undefined})
    says(
      {journal: given, node: undefined, source: source({table: undefined})},
      'migrated',
      'onebox has no table users any more, and the journal says that the table was handed over.',
    )
  })
})

describe('a node that leads to neither side', () => {
  const denied = source({}, 'timeout*write')

  it('is told where something of a migration is there', () => {
    says(
      {node: node(problem('metaproxy.bad_node', 'it is no JSON')), source: duplicated('DS_LOG')},
      'node-unclear',
      'it is no JSON.',
    )
    says(
      {node: node({cluster: 'onebox9', side: 'other'}), source: denied},
      'node-unclear',
      '/metaproxy/users names onebox9, neither onebox.',
    )
    says(
      {node: node({cluster: 'onebox9', side: 'other'}), source: denied, target: clean},
      'node-unclear',
      '/metaproxy/users names onebox9, neither onebox nor onebox2.',
    )
  })

  it('is not told where nothing is', () => {
    says({node: node({cluster: 'onebox9', side: 'other'})}, 'idle', 'onebox serves users.')
  })

  it('is not one that could not be read', () => {
    const found = classify(facts({journal: journal(), node: zooKeeperDown, source: duplicated('DS_APP')}))
    assert.equal(found.id, 'copying')
  })
})

describe('a table that was handed over', () => {
  it('is open on the source too where only reads are denied', () => {
    for (const deny of ['timeout*read', 'reconfig*read']) {
      says(
        {node: switched, source: source({}, deny), target: clean},
        'both-open',
        `/metaproxy/users names onebox2, and onebox carries ${deny}: it accepts writes too.`,
      )
    }
  })

  it('is finished by a run that works, as long as something is to be done', () => {
    const run = {journal: journal(), lock: locked(), node: switched, target: clean}
    says(
      {...run, source: source({}, 'timeout*write')},
      'finishing',
      'onebox2 serves; to be done: onebox still carries timeout*write.',
    )
    says(
      {...run, source: duplicated('DS_PAUSE', CLOSED)},
      'finishing',
      'onebox2 serves; to be done: duplication 1772352000 in DS_PAUSE.',
    )
    says(
      {...run, source: source({}, CLOSED)},
      'migrated',
      '/metaproxy/users names onebox2; onebox refuses every client.',
    )
  })

  it('has a target of which nobody knows the name', () => {
    says(
      {node: switched, settings: [left()], source: source({}, CLOSED)},
      'leftover-settings',
      'the target serves, and no run is there that would take away: duplicate_log_batch_bytes=0 on 127.0.0.1:34801 (was 4096).',
    )
  })

  it('is led wrong by several metaproxies, and not by those that know', () => {
    const proxies = (['source', 'target', 'other', 'source'] as const).map((side, index) => ({
      address: `p${index}`,
      side,
    }))
    says(
      {node: switched, proxies, source: source({}, CLOSED), target: clean},
      'stale-proxy',
      '/metaproxy/users names onebox2, and p0, p3 still leads to onebox.',
    )
  })

  it('is left unfinished by a run of this machine, the worst first', () => {
    const followerEnvs = {'duplication.master_metas': 'm', 'duplication.master_cluster': 'onebox'}
    const change = {
      node: switched,
      settings: [left(), left({name: 'meta level', server: undefined, side: 'target'}), left({left: false, name: 'x'})],
      source: duplicated('DS_PAUSE', CLOSED),
      target: target({followerEnvs}),
    }
    const things =
      "duplication 1772352000 in DS_PAUSE; duplication.master_cluster, duplication.master_metas on onebox2; duplicate_log_batch_bytes=0 on 127.0.0.1:34801 (was 4096), meta level=0 on the target's metas (was 4096)"
    says(
      {...change, journal: journal(), lock: noLock},
      'switched-unfinished',
      `onebox2 serves; still there: ${things}.`,
    )
    const nobody = `onebox2 serves, and no run is there that would take away: ${things}.`
    says({...change, journal: ended('migrated')}, 'forgotten-duplication', nobody)
    says(change, 'forgotten-duplication', nobody)
  })

  it('is the operator’s to move on where no node says that they were moved', () => {
    const given = (change = {}) => journal({hints: {settings: [], word: true}, root: undefined, ...change})
    const there = {node: undefined, source: source({}, CLOSED), target: clean}
    const because = 'the journal says that the table was handed over; onebox refuses every client.'
    says({...there, journal: given()}, 'handed-over', because)
    says({...there, journal: given({ended: {atMs: nowMs, outcome: 'migrated'}})}, 'migrated', because)
  })
})

describe('a table that is denied', () => {
  const because = 'users on onebox carries replica.deny_client_request=timeout*write'
  const denied = source({}, 'timeout*write')

  it('may be served by either side where the node cannot be read', () => {
    says({node: zooKeeperDown, source: denied}, 'denied-unclear', `${because}; nobody listens.`)
  })

  it('is cut over by whoever holds the lock', () => {
    says({lock: locked('ops'), source: denied}, 'cutover', `${because}; ops holds the lock.`)
    says({lock: locked(), source: denied}, 'cutover', `${because}; somebody holds the lock.`)
    says({journal: denying(1499), source: denied}, 'cutover', `${because}, for 1 s now.`)
  })

  it('is told what its guard does, unless it only watches or is dead', () => {
    const guard = (state: 'acting' | 'watching', alive?: boolean) => ({
      ...(alive === undefined ? {} : {alive}),
      pid: 7,
      sinceMs: nowMs,
      state,
      text: 'lifting',
    })
    const change = {journal: denying(2000), source: denied}
    says({...change, guard: guard('acting')}, 'cutover', `${because}, for 2 s now; the guard: lifting.`)
    says({...change, guard: guard('watching')}, 'cutover', `${because}, for 2 s now.`)
    says({...change, guard: guard('acting', false)}, 'cutover', `${because}, for 2 s now.`)
  })

  it('is not timed by a deny that another value has replaced', () => {
    says(
      {journal: denying(2000), lock: noLock, source: source({}, 'reconfig*write')},
      'foreign-deny',
      'users on onebox carries replica.deny_client_request=reconfig*write, and no journal here says why.',
    )
  })

  it('may just be finished where nobody tells of a node', () => {
    const closed = 'users on onebox carries replica.deny_client_request=reconfig*all, and no journal here says why.'
    const hint = ' A finished migration leaves just that: with --root its node is read.'
    says({node: undefined, source: source({}, CLOSED)}, 'foreign-deny', `${closed}${hint}`)
    says({source: source({}, CLOSED)}, 'foreign-deny', closed)
    says({node: undefined, source: denied}, 'foreign-deny', `${because}, and no journal here says why.`)
  })

  it('is stuck once its run has ended', () => {
    const over = denying(2000, {ended: {atMs: nowMs, outcome: 'write-denied'}})
    says({journal: over, source: denied}, 'write-denied', `${because}, for 2 s now; its run ended (write-denied).`)
    says(
      {journal: denying(2000), lock: noLock, source: denied},
      'write-denied',
      `${because}, for 2 s now; its run has not ended and is past its bound.`,
    )
  })
})

describe('a table that nothing duplicates', () => {
  const about = (change = {}) =>
    journal({hints: {settings: []}, phase: {atMs: nowMs, id: 'duplicate', state: 'started'}, ...change})

  it('is prepared only by a run that works and has come so far', () => {
    says({journal: about(), lock: locked()}, 'preparing', 'A run is about to duplicate users.')
    says({journal: about(), lock: noLock}, 'idle', 'onebox serves users.')
    says({lock: locked()}, 'idle', 'onebox serves users.')
    const stopped = about({ended: {atMs: nowMs, outcome: 'stopped'}})
    says({journal: stopped, lock: locked()}, 'idle', 'onebox serves users.')
    const earlier = about({phase: {atMs: nowMs, id: 'preflight', state: 'started'}})
    says({journal: earlier, lock: locked()}, 'idle', 'onebox serves users.')
    says({journal: about({phase: undefined}), lock: locked()}, 'idle', 'onebox serves users.')
  })

  it('has a copy of itself, or a table of another master', () => {
    says(
      {target: target()},
      'orphan-target',
      'onebox2 has a copy of users made from onebox, and nothing is shipped to it.',
    )
    says({target: target({followerEnvs: {'duplication.master_cluster': 'onebox7'}})}, 'idle', 'onebox serves users.')
  })

  it('was migrated here before', () => {
    says({journal: ended('rolled-back')}, 'idle', 'onebox serves users; its last migration ended: rolled-back.')
    says({journal: ended('stopped')}, 'idle', 'onebox serves users.')
  })
})
