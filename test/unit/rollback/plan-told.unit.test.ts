import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {planRollback} from '../../../src/lib/migration/rollback/plan.js'
import type {RollbackRequest} from '../../../src/lib/migration/rollback/request.js'
import type {RollbackView} from '../../../src/lib/migration/rollback/view.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {copy, entry, node, request, setting, target, view} from '../../support/rollback-view.js'

const plan = (seen: Partial<RollbackView> = {}, asked: Partial<RollbackRequest> = {}) =>
  planRollback(view(seen), request(asked))

const gone = {cluster: 'b', metas: ['b:1']}
const served = {deny: 'reconfig*all', node: node('target'), target}
const stranger = {...target, table: {...copy, followerEnvs: {}}}
/** The journal says that the table was moved; since then somebody opened the source. */
const opened: Partial<RollbackView> = {
  journal: {finished: '2026-01-01T00:00:00Z', handedOver: false},
  node: {side: 'unknown'},
  target: stranger,
}
const bothOpen = 'b serves t, and the source accepts writes too: what was written where cannot be told apart'
const closeIt =
  'Close the source first: in the Pegasus shell there, use t; set_app_envs replica.deny_client_request reconfig*all.'

function refusal(seen: Partial<RollbackView>, asked: Partial<RollbackRequest> = {}): string[] {
  try {
    plan(seen, asked)
  } catch (error) {
    if (error instanceof MigratorError) return [error.code, error.message, error.next!]
    throw error
  }

  return []
}

describe('what the plan of a rollback found', () => {
  it('is told whole', () => {
    assert.deepEqual(plan().found, [
      'Writes are allowed on a (no deny env).',
      'The metaproxy node names the source.',
      'There is no duplication of it to the target.',
    ])
    const journal = {deny: 'timeout*write', dupid: 7, handedOver: false}
    const rich = {deny: 'timeout*write', entry, journal, otherRemotes: ['c', 'd'], settings: [setting, setting], target}
    const denied = 'a carries replica.deny_client_request=timeout*write.'
    const duplicated = `Duplication 7 to b is in ${DuplicationStatus[entry.status]}.`
    assert.deepEqual(plan(rich).found, [
      denied,
      'The metaproxy node names the source.',
      duplicated,
      'b has a table of that name (table id 9).',
      '2 settings of servers are to be put back.',
      'It is duplicated to c, d too; that stays.',
      "The target's copy of t is kept; --drop-target drops it.",
    ])
    assert.deepEqual(
      plan({...rich, node: {side: 'absent'}, otherRemotes: [], settings: [setting], target: gone}).found,
      [
        denied,
        'There is no metaproxy node of the table.',
        duplicated,
        'b has no table of that name any more.',
        '1 setting of a server is to be put back.',
      ],
    )
    assert.deepEqual(plan({node: {side: 'unknown'}, target: gone}).found, [
      'Writes are allowed on a (no deny env).',
      'There is no duplication of it to the target.',
    ])
  })

  it('is told of a return as well', () => {
    assert.deepEqual(plan(served).found, [
      'a carries replica.deny_client_request=reconfig*all.',
      'The metaproxy node names the target: it serves.',
      'There is no duplication of it to the target.',
      'b has a table of that name (table id 9).',
    ])
  })
})

describe('what the plan of a rollback warns of', () => {
  const adopt = {adopt: true}

  it('is nothing where all is known', () => {
    assert.deepEqual(plan({deny: 'timeout*write', entry, target}, adopt).warnings, [])
    assert.deepEqual(plan({node: {side: 'unknown'}}).warnings, [])
    assert.deepEqual(plan({target: gone}, {copyIsGone: true}).warnings, [])
    assert.deepEqual(plan(served).warnings, [])
  })

  it('is a node that nobody looks at, while writes are to be allowed', () => {
    assert.deepEqual(plan({deny: 'timeout*write', node: {side: 'unknown'}}, adopt).warnings, [
      'No --root was given: nobody looks whether metaproxy sends clients to the source.',
    ])
  })

  it('is a target that cannot be read, whose copy stays as it is', () => {
    const {steps, warnings} = plan({entry, target: {...gone, trouble: 'no answer'}}, adopt)
    assert.deepEqual(warnings, ['The target could not be read: no answer. What is left there stays.'])
    assert.deepEqual(steps, ['prove-writes', 'remove-duplication'])
  })

  it('is what is given up', () => {
    assert.deepEqual(plan({entry, target: gone}, {...adopt, copyIsGone: true}).warnings, [
      'What duplication 7 has left to ship is given up. Servers of 2.5 have gone down when a duplication was removed that was shipping; of one whose copy was gone that was not seen.',
    ])
    assert.deepEqual(plan(served, {allowDataLoss: true}).warnings, ['What was written to b since the switch is lost.'])
  })
})

describe('what the plan of a rollback refuses', () => {
  it('is a node that names another cluster', () => {
    assert.deepEqual(refusal({node: node('other')}), [
      'rollback.node_elsewhere',
      'the node of t names c, which is neither the source nor the target',
      'Find out who wrote it. Nothing is lifted while nobody can say which side serves.',
    ])
  })

  it('is a copy that is there, though it is said to be gone', () => {
    assert.deepEqual(refusal({target}, {copyIsGone: true}), [
      'rollback.copy_is_there',
      'b has a table t (table id 9): the copy is not gone',
      'Run it without --copy-is-gone; --brief-deny removes the duplication of a busy table.',
    ])
    assert.deepEqual(refusal({}, {copyIsGone: true}), [])
  })

  it('is to guess which side serves', () => {
    const told = [
      'rollback.perhaps_handed_over',
      'the source refuses every client of t (reconfig*all), as it does after a table was moved, and nothing here tells whether it was',
      'Say --root, so that the metaproxy node can be looked at.',
    ]
    const closed = {deny: 'reconfig*all', node: {side: 'unknown'} as const}
    assert.deepEqual(refusal(closed), told)
    assert.deepEqual(refusal(closed, {adopt: true}), told)
    assert.deepEqual(refusal({...closed, node: {side: 'absent'}}), told)
  })

  it('is nothing of a journal that says handed over, where the node names the source', () => {
    const {kind, steps} = plan({deny: 'reconfig*all', journal: {deny: 'reconfig*all', handedOver: true}, target})
    assert.deepEqual([kind, steps], ['back', ['allow-writes', 'clean-target']])
  })

  it('is a deny and a duplication that no journal here knows', () => {
    assert.deepEqual(refusal({deny: 'timeout*write'}), [
      'rollback.foreign_deny',
      't is write-denied on the source (replica.deny_client_request=timeout*write), and no journal on this machine says that a migration set it',
      'If it was left behind by a migration that nobody works on any more, add --adopt.',
    ])
    const odd = {...entry, remote: "b's"}
    assert.deepEqual(refusal({entry: odd}), [
      'rollback.foreign_duplication',
      "duplication 7 of t to b's was begun by somebody else, as far as this machine knows",
      `If it belongs to the migration that is to be taken back, say so: -c 'b'\\''s', or --adopt.`,
    ])
  })

  describe('where a table was moved and the source was opened since', () => {
    it('is to choose between the two, and it tells of both ways', () => {
      for (const side of ['unknown', 'absent'] as const) {
        assert.deepEqual(refusal({...opened, node: {side}}), [
          'rollback.perhaps_serving',
          "this machine's journal says that the applications of t were moved to b (finished 2026-01-01T00:00:00Z); since then somebody opened the source, and both sides accept writes. Nobody but you can know which side serves",
          'If b serves, close the source: in the Pegasus shell there, use t; set_app_envs replica.deny_client_request reconfig*all. If the applications are back on the source, say so with --adopt: what was written to b stays there.',
        ])
      }
    })

    it('is nothing where anything tells that the source serves', () => {
      assert.deepEqual(refusal({...opened, node: node('source')}), [])
      assert.deepEqual(refusal({...opened, journal: {handedOver: false}}), [])
      assert.deepEqual(refusal({...opened, target: {...stranger, table: {...copy, deny: 'reconfig*all'}}}), [])
      assert.deepEqual(refusal({...opened, target: gone}), [])
      assert.deepEqual(refusal(opened, {adopt: true}), [])
      assert.deepEqual(refusal({journal: opened.journal!, node: opened.node!}), [])
    })

    it('is nothing where a migration is there again', () => {
      const journal = {...opened.journal!, deny: 'timeout*write', dupid: 7}
      assert.deepEqual(refusal({...opened, entry, journal}), [])
      assert.deepEqual(refusal({...opened, deny: 'timeout*write', journal}), [])
    })
  })

  describe('of a return', () => {
    it('is one from a target that is not known or has no copy', () => {
      assert.deepEqual(refusal({deny: served.deny, node: served.node}), [
        'rollback.no_target',
        't was handed over, and nothing tells where its target is',
        'Say -c and -m.',
      ])
      const without = 'Without the target a return would lose what was written there.'
      assert.deepEqual(refusal({...served, target: gone}), [
        'rollback.no_copy',
        't was handed over to b: it has no table of that name',
        without,
      ])
      assert.deepEqual(refusal({...served, target: {...target, trouble: 'no answer'}}), [
        'rollback.no_copy',
        't was handed over to b: no answer',
        without,
      ])
      assert.equal(
        refusal({...served, target: {...gone, dropped: {appId: 9, untilMs: 0}}})[2],
        `${without} Recall it (it can be until 1970-01-01T00:00:00.000Z): in the Pegasus shell on b: recall 9 t.`,
      )
    })

    it('is to drop what serves', () => {
      assert.deepEqual(refusal(served, {dropTarget: true}), [
        'rollback.drop_while_serving',
        'b serves t: its copy is not dropped now',
        'Run it without --drop-target first.',
      ])
    })

    it('is one while both sides are open', () => {
      const open = {node: served.node, target}
      assert.deepEqual(refusal(open), ['rollback.both_open', bothOpen, closeIt])
      assert.deepEqual(refusal({...open, journal: {handedOver: true}}), [
        'rollback.both_open',
        bothOpen,
        'Close the source first: pegasus table:migrate goes on forward and does that.',
      ])
    })
  })

  describe('to drop', () => {
    const drop = {adopt: true, dropTarget: true}
    const notCopy = (more: string) => [
      'rollback.not_a_copy',
      `b's t (table id 9) is not known to be a copy of this one${more}`,
      'If it is one, drop it in the Pegasus shell there.',
    ]
    const following = (master: string) => ({
      ...target,
      table: {...copy, followerEnvs: {'duplication.master_cluster': master}},
    })

    it('is a table of a cluster that nobody named', () => {
      assert.deepEqual(refusal({}, drop), [
        'rollback.no_target',
        'nothing tells which cluster holds the copy of t',
        'Say -c and -m.',
      ])
    })

    it('is a table that follows nobody, or another cluster', () => {
      assert.deepEqual(refusal({target: stranger}, drop), notCopy(''))
      assert.deepEqual(refusal({target: stranger, journal: {handedOver: false}}, drop), notCopy(''))
      assert.deepEqual(refusal({entry, target: following('z')}, drop), notCopy(': it follows z'))
    })

    it('is not one that follows the source by either of its names, nor what it is duplicated to', () => {
      for (const seen of [
        {target: following('a')},
        {source: {cluster: 'a', duplicatesAs: 'a2', metas: ['a:1']}, target: following('a2')},
        {entry, target: stranger},
      ])
        assert.equal(plan(seen, drop).steps.at(-1), 'drop-target')
      assert.deepEqual(plan({target: gone}, drop).steps, ['prove-writes'])
    })
  })
})
