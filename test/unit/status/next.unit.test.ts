import assert from 'node:assert/strict'

import {nextOf} from '../../../src/lib/migration/status/next.js'
import {type StateId, stateIds, states} from '../../../src/lib/migration/status/states.js'
import type {StatusFacts} from '../../../src/lib/migration/status/facts.js'
import {type StatusView, viewOf} from '../../../src/lib/migration/status/view.js'
import {facts, node, nowMs, scenarios, source, switched, target} from './scenarios.js'

const METAS = ['127.0.0.1:34601', '127.0.0.1:34602']
const SOURCE = '-t users --source-meta 127.0.0.1:34601,127.0.0.1:34602'
const TARGET = '-c onebox2 -m 127.0.0.1:35601'
const NODE = '-r /metaproxy -n 127.0.0.1:2181'

function next(id: StateId, change: Partial<StatusFacts> = {}, view: Partial<StatusView> = {}) {
  const found = facts({target: target(), ...change})
  const {command, sentence} = nextOf(id, found, {...viewOf(found), ...view}, METAS)
  return {command: command?.join(' '), sentence}
}

const commandOf = (...given: Parameters<typeof next>) => next(...given).command
const sentenceOf = (...given: Parameters<typeof next>) => next(...given).sentence
const migrate = `pegasus table:migrate ${SOURCE} ${TARGET} ${NODE}`
const rollback = `pegasus table:migrate-rollback ${SOURCE} ${TARGET} ${NODE}`
const look = `pegasus table:migrate-status ${SOURCE} ${TARGET} ${NODE}`

describe('the next command', () => {
  const wanted: Record<StateId, string | undefined> = {
    'both-open': migrate,
    'catching-up': migrate,
    'caught-up': migrate,
    'copy-blocked': undefined,
    copying: migrate,
    cutover: `${look} --watch`,
    'denied-unclear': look,
    finishing: `${look} --watch`,
    'foreign-deny': `${rollback} --adopt`,
    'foreign-duplication': undefined,
    'forgotten-duplication': rollback,
    'half-switched': migrate,
    'handed-over': undefined,
    idle: undefined,
    'leftover-envs': undefined,
    'leftover-settings': rollback,
    migrated: undefined,
    'no-table': undefined,
    'node-unclear': undefined,
    'orphan-target': `${rollback} --drop-target`,
    paused: migrate,
    preparing: migrate,
    'stale-proxy': look,
    'switched-unfinished': migrate,
    'target-denied': undefined,
    'target-missing': `${rollback} --copy-is-gone`,
    unclear: look,
    unreachable: look,
    'write-denied': rollback,
  }

  for (const id of stateIds) it(`of ${id}`, () => assert.equal(commandOf(id), wanted[id]))

  it('looks on while a run works', () => {
    for (const id of ['catching-up', 'caught-up', 'copying', 'preparing'] as const)
      assert.equal(commandOf(id, {}, {working: true}), `${look} --watch`)
    assert.equal(commandOf('paused', {}, {working: true}), migrate)
  })

  it('goes only forward after the switch', () => {
    assert.equal(commandOf('forgotten-duplication', {node: switched}), migrate)
    assert.equal(commandOf('leftover-settings', {node: switched}), migrate)
    assert.equal(commandOf('leftover-envs', {node: switched}), migrate)
  })

  it('is none that could not know that it is after the switch', () => {
    assert.equal(commandOf('leftover-envs', {}, {committed: 'journal'}), undefined)
    assert.equal(commandOf('both-open', {}, {committed: 'journal', journalFinished: true}), undefined)
    assert.equal(commandOf('both-open', {}, {committed: 'journal', journalFinished: false}), migrate)
    assert.equal(commandOf('both-open', {}, {committed: 'node', journalFinished: true}), migrate)
  })

  it('goes on with a return that was broken off', () => {
    assert.equal(commandOf('target-denied', {}, {returning: true}), rollback)
    assert.equal(commandOf('write-denied', {}, {returning: true}), rollback)
  })

  it('names metaproxies, except to a rollback', () => {
    const proxies = [{address: 'p1'}, {address: 'p2'}]
    assert.equal(commandOf('half-switched', {proxies}), `${migrate} --proxy p1 --proxy p2`)
    assert.equal(commandOf('cutover', {proxies}), `${look} --proxy p1 --proxy p2 --watch`)
    assert.equal(commandOf('write-denied', {proxies}), rollback)
  })

  it('says where everything is, as far as that is known', () => {
    assert.equal(
      commandOf('write-denied', {node: undefined, target: undefined}),
      `pegasus table:migrate-rollback ${SOURCE}`,
    )
    assert.equal(commandOf('copying', {target: undefined}), undefined)
    assert.equal(
      commandOf('copying', {node: node({path: '/users'}), target: target({}, {metas: ['m1', 'm2']})}),
      `pegasus table:migrate ${SOURCE} -c onebox2 -m m1,m2 -r / -n 127.0.0.1:2181`,
    )
    assert.equal(
      commandOf('copying', {node: node({path: '/a/b/users'})}),
      `pegasus table:migrate ${SOURCE} ${TARGET} -r /a/b -n 127.0.0.1:2181`,
    )
  })

  it('releases a run that is held', () => {
    const hold = (release: string[]) => ({hold: {release, sinceMs: nowMs}})
    const release = 'pegasus table:migrate-release -t users'
    assert.deepEqual(next('caught-up', hold([release])), {
      command: release,
      sentence: 'It waits until it is told to cut over.',
    })
    assert.deepEqual(next('catching-up', hold([release, 'rm f', 'r']), {working: true}), {
      command: release,
      sentence: 'It waits until it is told to cut over, or: rm f, or: r.',
    })
    assert.equal(commandOf('caught-up', hold([])), migrate)
    assert.equal(commandOf('paused', hold([release])), migrate)
  })
})

describe('the next sentence', () => {
  const own = new Set<StateId>([
    'both-open',
    'handed-over',
    'leftover-envs',
    'node-unclear',
    'stale-proxy',
    'target-denied',
    'target-missing',
  ])

  it('is what mends the state', () => {
    for (const id of [...stateIds.filter((state) => !own.has(state)), 'both-open' as const])
      assert.equal(sentenceOf(id), states[id].mend)
  })

  it('deletes envs in the shell', () => {
    const followerEnvs = {'duplication.master_metas': 'm', 'duplication.master_cluster': 'onebox'}
    assert.equal(
      sentenceOf('leftover-envs', {target: target({followerEnvs})}),
      'In the Pegasus shell on onebox2: use users; del_app_envs duplication.master_cluster duplication.master_metas',
    )
    assert.equal(
      sentenceOf('target-denied'),
      'In the Pegasus shell on onebox2: use users; del_app_envs replica.deny_client_request',
    )
    assert.equal(
      sentenceOf('target-denied', {}, {returning: true}),
      'A return was broken off: table:migrate-rollback goes on with it, or opens the target again.',
    )
  })

  it('leaves it to a person which side is used, where no node tells', () => {
    const view = {committed: 'journal', journalFinished: true} as const
    const words = (to: string) =>
      `If the applications are on ${to}: In the Pegasus shell on onebox: use users; set_app_envs replica.deny_client_request reconfig*all. If they are back on onebox: pegasus table:migrate-rollback`
    assert.ok(sentenceOf('both-open', {}, view).startsWith(words('onebox2')))
    assert.ok(sentenceOf('both-open', {target: undefined}, view).startsWith(words('the target')))
  })

  it('names what is stale, and only that', () => {
    const proxies = (['source', 'target', 'source'] as const).map((side, index) => ({address: `p${index}`, side}))
    assert.equal(sentenceOf('stale-proxy', {proxies}), 'Restart p0, p2, then look again.')
  })

  it('names where the applications belong', () => {
    const metas = ['m1', 'm2']
    assert.equal(
      sentenceOf('handed-over', {target: target({}, {metas})}),
      'Point the applications of users at onebox2 (m1,m2).',
    )
    assert.equal(sentenceOf('handed-over', {target: undefined}), 'Point the applications of users at the target.')
  })

  it('names what the node may name', () => {
    assert.equal(sentenceOf('node-unclear'), 'Find out who wrote /metaproxy/users; it must name onebox or onebox2.')
    assert.equal(
      sentenceOf('node-unclear', {node: undefined, source: source(), target: undefined}),
      'Find out who wrote the node; it must name onebox.',
    )
  })

  it('recalls a copy where that can be done', () => {
    const dropped = {appId: 7, untilMs: 1_800_000_000_000}
    const end = 'up what is left to ship: table:migrate-rollback --copy-is-gone removes the duplication.'
    assert.equal(
      sentenceOf('target-missing', {target: target({}, {dropped, table: undefined})}),
      `Recall it (it can be until 2027-01-15T08:00:00.000Z): in the Pegasus shell on onebox2: recall 7 users: shipping goes on then. Or give ${end}`,
    )
    assert.equal(sentenceOf('target-missing', {target: target({}, {table: undefined})}), `Give ${end}`)
    assert.equal(sentenceOf('target-missing', {target: undefined}), `Give ${end}`)
  })

  it('is there for every scenario in which somebody must act', () => {
    for (const {facts: found, state} of scenarios) {
      const {sentence} = nextOf(state, found, viewOf(found), METAS)
      assert.equal(sentence === '', ['idle', 'migrated'].includes(state), state)
    }
  })

  describe('where a migration without a node was finished here', () => {
    const moved: Partial<StatusView> = {committed: 'journal', journalFinished: true}

    for (const [id, sentence] of [
      [
        'half-switched',
        'If the applications are on onebox2: In the Pegasus shell on onebox: use users; set_app_envs replica.deny_client_request reconfig*all.',
      ],
      [
        'leftover-settings',
        'Set them back by hand, or restart the servers: their configuration files say what they were.',
      ],
    ] as const)
      it(`is done by hand: ${id}`, () => {
        // A new migration would find a table on the target, and a rollback would be a return.
        assert.deepEqual(next(id, {}, moved), {command: undefined, sentence})
      })

    it('is done by hand: forgotten-duplication', () => {
      const entry = {createdAtMs: 0, dupid: 7, remote: 'onebox2', status: 'DS_LOG'} as const
      assert.deepEqual(next('forgotten-duplication', {}, {...moved, entry}), {
        command: undefined,
        sentence: 'In the Pegasus shell on onebox: remove_dup users 7.',
      })
    })

    it('names the table to whoever has brought it back', () => {
      assert.match(sentenceOf('both-open', {}, moved), /pegasus table:migrate-rollback -t users --adopt\.$/)
    })
  })

  it('puts settings back by what is forward, or back', () => {
    assert.equal(sentenceOf('leftover-settings', {node: switched}), 'The same table:migrate puts them back.')
    assert.equal(sentenceOf('leftover-settings'), states['leftover-settings'].mend)
  })

  it('is to look on while a command may be just about it', () => {
    const watched = {
      command: `${look} --watch`,
      sentence: 'A command works on the table: look again when it has ended.',
    }
    for (const id of ['leftover-settings', 'orphan-target'] as const)
      assert.deepEqual(next(id, {}, {working: true}), watched)
    // A return; before the switch it is somebody else's deny, and keeps the copy from being shipped to.
    assert.deepEqual(next('target-denied', {}, {committed: 'node', working: true}), watched)
    assert.match(sentenceOf('target-denied', {}, {working: true}), /del_app_envs/)
  })
})
