import {testCases} from './cases.js'
import {healthyFacts} from './healthy-facts.js'

const DENY = 'replica.deny_client_request'

describe('preflight: table envs', () => {
  testCases([
    {change() {}, id: 'source-deny', says: /not set/, severity: 'ok', when: 'there is none'},
    {
      change({source}) {
        source.table.envs.set(DENY, 'timeout*write')
      },
      id: 'source-deny',
      says: /timeout\*write is set, not by a run/,
      severity: 'error',
      when: 'somebody denies',
    },
    {
      change(facts) {
        facts.source.table.envs.set(DENY, 'reconfig*all')
        delete facts.request.metaproxy
        facts.ownFinished = true
      },
      id: 'source-deny',
      says: /reconfig\*all is set, as a migration that was finished leaves it, and this machine's journal says that the applications were moved there/,
      severity: 'error',
      when: 'a migration without a node was finished here',
    },
    {
      change(facts) {
        facts.source.table.envs.set(DENY, 'reconfig*write')
        facts.ownDeny = 'timeout*write'
      },
      id: 'source-deny',
      says: /not by a run/,
      severity: 'error',
      when: 'the value is another than the one of the journal',
    },
    {
      change(facts) {
        facts.source.table.envs.set(DENY, 'reconfig*write')
        facts.ownDeny = 'reconfig*write'
      },
      id: 'source-deny',
      says: /^ours/,
      severity: 'ok',
      when: 'an earlier run of ours denies',
    },
    {
      change(facts) {
        facts.source.table.envs.set(DENY, 'reconfig*all')
        facts.ownDeny = 'reconfig*write'
        facts.ownHandOver = true
      },
      id: 'source-deny',
      says: /^ours/,
      severity: 'ok',
      when: 'an earlier run of ours handed the table over',
    },
    {
      change(facts) {
        facts.source.table.envs.set(DENY, 'reconfig*all')
        facts.ownDupid = 77
        facts.metaproxy!.node!.data.clusterName = facts.request.targetCluster
      },
      id: 'source-deny',
      says: /^ours/,
      severity: 'ok',
      when: 'the node names the target, and the journal had no space left for more',
    },
    {
      change(facts) {
        facts.source.table.envs.set(DENY, 'reconfig*all')
        facts.ownDeny = 'reconfig*write'
      },
      id: 'source-deny',
      says: /not by a run/,
      severity: 'error',
      when: 'somebody sends everyone away while a run of ours only denied',
    },
    {
      change({target}) {
        target.table = {...healthyFacts().source.table, envs: new Map([[DENY, 'timeout*write']])}
      },
      id: 'target-deny',
      says: /refuses duplicated writes too; with timeout each refused request hangs for 100 s/,
      severity: 'error',
      when: 'the target denies',
    },
    {change() {}, id: 'target-deny', says: /no such table yet/, severity: 'ok', when: 'there is no table yet'},
    {
      change({source}) {
        source.table.envs.set('duplication.master_cluster', 'onebox0')
      },
      id: 'follower-envs',
      says: /duplication\.master_cluster=onebox0: the target would be created as a follower/,
      severity: 'error',
      when: 'the source was a follower once',
    },
    {change() {}, id: 'follower-envs', says: /no duplication/, severity: 'ok', when: 'it was not'},
    {
      change({source}) {
        source.table.envs.set('replica.write_throttling', '1000*delay*100')
        source.table.envs.set('replica.read_throttling_by_size', '1M')
      },
      id: 'throttling',
      says: /^source: replica\.write_throttling=1000\*delay\*100, replica\.read_throttling_by_size=1M: the target gets the same/,
      severity: 'warning',
      when: 'the source is throttled',
    },
    {change() {}, id: 'throttling', says: /no throttling/, severity: 'ok', when: 'it is not'},
    {
      change({source}) {
        source.table.envs.set('replica_access_controller.allowed_users', 'app')
      },
      id: 'access-control',
      says: /allowed_users=app/,
      severity: 'warning',
      when: 'users are listed',
    },
    {change() {}, id: 'access-control', says: /no access control/, severity: 'ok', when: 'there is none'},
  ])
})
