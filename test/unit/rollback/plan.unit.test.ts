import assert from 'node:assert/strict'

import {isMigratorError} from '../../../src/lib/errors.js'
import {ExitCode} from '../../../src/lib/exit-codes.js'
import {planRollback} from '../../../src/lib/migration/rollback/plan.js'
import type {RollbackRequest} from '../../../src/lib/migration/rollback/request.js'
import type {RollbackView} from '../../../src/lib/migration/rollback/view.js'
import {copy, entry, node, request, setting, target, view} from '../../support/rollback-view.js'

const plan = (seen: Partial<RollbackView> = {}, asked: Partial<RollbackRequest> = {}) =>
  planRollback(view(seen), request(asked))

function refused(code: string, seen: Partial<RollbackView>, asked: Partial<RollbackRequest> = {}): void {
  assert.throws(
    () => plan(seen, asked),
    (error) => {
      assert.ok(isMigratorError(error, `rollback.${code}`), String(error))
      assert.equal(error.exitCode, ExitCode.refused)
      assert.ok(error.next, 'it says what to do')
      return true
    },
  )
}

describe('plan of a rollback', () => {
  it('is just the steps that are needed', () => {
    assert.deepEqual(plan().steps, ['prove-writes'])
    assert.deepEqual(plan({deny: 'reconfig*write'}, {adopt: true}).steps, ['allow-writes'])
    assert.deepEqual(plan({entry, settings: [setting], target}, {adopt: true}).steps, [
      'prove-writes',
      'remove-duplication',
      'put-settings-back',
      'clean-target',
    ])
    assert.deepEqual(plan({deny: 'timeout*write', entry, target}, {adopt: true, dropTarget: true}).steps, [
      'allow-writes',
      'remove-duplication',
      'drop-target',
    ])
  })

  it("takes the journal's own deny and duplication without --adopt, and nobody else's", () => {
    const journal = {deny: 'timeout*write', dupid: 7, handedOver: false}
    assert.equal(plan({deny: 'timeout*write', entry, journal, target}).steps[0], 'allow-writes')
    refused('foreign_deny', {deny: 'reconfig*write', journal})
    refused('foreign_deny', {deny: 'timeout*write'})
    refused('foreign_duplication', {entry, journal: {...journal, dupid: 8}, target})
    assert.ok(plan({entry, target}, {targetCluster: 'b'}).steps.includes('remove-duplication'), 'named by -c')
  })

  it('lifts nothing while the node names neither side, or nobody can tell which side serves', () => {
    refused('node_elsewhere', {deny: 'timeout*write', node: node('other')}, {adopt: true})
    refused('perhaps_handed_over', {deny: 'reconfig*all', node: {side: 'unknown'}}, {adopt: true})
    assert.equal(plan({deny: 'reconfig*all', node: {side: 'absent'}}, {adopt: true}).steps[0], 'allow-writes')
    assert.equal(plan({deny: 'timeout*write', node: {side: 'unknown'}}, {adopt: true}).warnings.length, 1)
  })

  it('is a return when the node names the target, or without a node the journal says handed over', () => {
    const full = [
      'open-source-reads',
      'compare-live',
      'deny-target',
      'compare-denied',
      'switch-back',
      'open-source',
      'close-target',
    ]
    const moved = {deny: 'reconfig*all', node: node('target'), target: {...target, table: {...copy, followerEnvs: {}}}}
    assert.deepEqual(plan(moved), {...plan(moved), kind: 'return', steps: full})
    assert.deepEqual(plan({...moved, entry, settings: [setting], target}).steps, [
      'remove-duplication',
      ...full,
      'put-settings-back',
      'clean-target',
    ])
    const handed = {...moved, journal: {handedOver: true}, node: {side: 'unknown'} as const}
    assert.deepEqual(
      plan(handed).steps,
      full.filter((step) => step !== 'switch-back'),
    )
    assert.deepEqual(plan(moved, {allowDataLoss: true}).steps, [
      'deny-target',
      'switch-back',
      'open-source',
      'close-target',
    ])
  })

  it('returns nothing that it cannot see, nor where both sides take writes', () => {
    const moved = {deny: 'reconfig*all', node: node('target'), target}
    refused('no_target', {deny: 'reconfig*all', node: node('target')})
    refused('no_copy', {...moved, target: {cluster: 'b', metas: ['b:1'], trouble: 'no answer'}})
    refused('no_copy', {...moved, target: {cluster: 'b', metas: ['b:1']}})
    refused('both_open', {node: node('target'), target})
    const adviceOf = (seen: Partial<RollbackView>) => {
      try {
        plan({node: node('target'), target, ...seen})
      } catch (error) {
        return (error as {next?: string}).next
      }

      return undefined
    }

    // Only a machine that knows of the migration can go on with it.
    assert.match(adviceOf({})!, /shell there, use t; set_app_envs replica.deny_client_request reconfig\*all\.$/)
    assert.match(adviceOf({journal: {finished: 'today', handedOver: false}})!, /pegasus table:migrate goes on forward/)
    assert.match(adviceOf({journal: {handedOver: true}})!, /pegasus table:migrate goes on forward/)
    refused('drop_while_serving', moved, {dropTarget: true})
  })

  it('drops only what is known to be the copy', () => {
    const drop = {dropTarget: true, targetCluster: 'b'}
    assert.ok(plan({target}, drop).steps.includes('drop-target'))
    refused('not_a_copy', {target: {...target, table: {...copy, followerEnvs: {}}}}, drop)
    refused(
      'not_a_copy',
      {entry, target: {...target, table: {...copy, followerEnvs: {'duplication.master_cluster': 'z'}}}},
      drop,
    )
    assert.ok(
      plan(
        {journal: {dupid: 7, handedOver: false}, target: {...target, table: {...copy, followerEnvs: {}}}},
        drop,
      ).steps.includes('drop-target'),
    )
    refused('no_target', {}, {dropTarget: true})
    assert.deepEqual(plan({target: {cluster: 'b', metas: ['b:1']}}, drop).steps, ['prove-writes'])
  })

  it('gives up what is left to ship only where the copy is not there, and says what that risks', () => {
    refused('copy_is_there', {entry, journal: {dupid: 7, handedOver: false}, target}, {copyIsGone: true})
    const gone = {cluster: 'b', dropped: {appId: 9, untilMs: 0}, metas: ['b:1']}
    const {found, warnings} = plan({entry, journal: {dupid: 7, handedOver: false}, target: gone}, {copyIsGone: true})
    assert.match(found.join(' '), /b has no table of that name any more/)
    assert.match(warnings.join(' '), /duplication 7 .* is given up/)
    refused('no_copy', {deny: 'reconfig*all', node: node('target'), target: gone})
  })
})
