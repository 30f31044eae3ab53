import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import type {PreflightFacts} from '../../../src/lib/migration/preflight/check.js'
import {testCases} from './cases.js'
import {dumpOf, duplicationOf, healthyFacts, makeMaster, nodeOf} from './healthy-facts.js'

function addTargetTable(facts: PreflightFacts, envs: Record<string, string>): void {
  facts.target.table = {...healthyFacts().source.table, appId: 5, envs: new Map(Object.entries(envs))}
}

describe('preflight: the target', () => {
  testCases([
    {change() {}, id: 'target-cluster', says: /is onebox2$/, severity: 'ok', when: 'it has the name that was given'},
    {
      change(facts) {
        facts.request.targetCluster = 'onebox3'
      },
      id: 'target-cluster',
      says: /--cluster says onebox3, but the cluster behind --meta is onebox2/,
      severity: 'error',
      when: 'it has another name',
    },
    {
      change(facts) {
        makeMaster(facts, 'target')
        for (const meta of facts.target.metas) {
          meta.dump = dumpOf('onebox2', ({replication}) => {
            replication.dup_cluster_name = 'b'
          })
        }
      },
      id: 'target-cluster',
      says: /cluster behind --meta is b \(its cluster_name is onebox2; dup_cluster_name counts/,
      severity: 'error',
      when: 'master duplicates under another name',
    },
    {
      change({target}) {
        target.info.clusterName = 'onebox'
      },
      id: 'target-cluster',
      says: /both called onebox/,
      severity: 'error',
      when: 'it is called as the source',
    },
    {change() {}, id: 'target-metas', says: /led by 10\.0\.1\.1:34601/, severity: 'ok', when: 'all answer'},
    {
      change({target}) {
        target.metas[1]!.dump = dumpOf('onebox9')
      },
      id: 'target-metas',
      says: /not metas of onebox2: 10\.0\.1\.2:34601 \(onebox9\)/,
      severity: 'error',
      when: 'one belongs to another cluster',
    },
    {
      change({request, target}) {
        request.targetMetas = ['10.0.1.1:34601', '10.0.1.7:34601']
        target.metas.push({address: '10.0.1.7:34601', error: new Error('refused'), given: true, version: ''})
      },
      id: 'target-metas',
      says: /10\.0\.1\.7:34601 does not answer, and onebox2 does not name it/,
      severity: 'error',
      when: 'a dead address is not known to the cluster',
    },
    {
      change({target}) {
        target.metas[1] = {address: '10.0.1.2:34601', error: new Error('refused'), given: true, version: ''}
      },
      id: 'target-metas',
      says: /do not answer: 10\.0\.1\.2:34601 \(refused\)/,
      severity: 'warning',
      when: 'one of its metas is dead',
    },
    {
      change({request}) {
        request.targetMetas = ['10.0.1.1:34601']
      },
      id: 'target-metas',
      says: /more metas than --meta names: 10\.0\.1\.2:34601/,
      severity: 'warning',
      when: 'a meta was left out',
    },
    {change() {}, id: 'target-table', says: /has no table users$/, severity: 'ok', when: 'it has none'},
    {
      change: (facts) => addTargetTable(facts, {}),
      id: 'target-table',
      says: /table id 5\), made by somebody else, or the copy that a rollback has kept: .*DS_PREPARE for ever/,
      severity: 'error',
      when: 'it has one that does not follow the source',
    },
    {
      change: (facts) => addTargetTable(facts, {'duplication.master_cluster': 'onebox'}),
      id: 'target-table',
      says: /left behind by a duplication that is gone/,
      severity: 'error',
      when: 'it follows the source, which does not duplicate any more',
    },
    {
      change(facts) {
        addTargetTable(facts, {'duplication.master_cluster': 'onebox7'})
        facts.source.duplications = [duplicationOf({status: DuplicationStatus.DS_PREPARE})]
        facts.ownDupid = 77
      },
      id: 'target-table',
      says: /a follower of onebox7/,
      severity: 'error',
      when: 'it follows another cluster',
    },
    {
      change(facts) {
        addTargetTable(facts, {'duplication.master_cluster': 'onebox'})
        facts.source.duplications = [duplicationOf()]
        facts.ownDupid = 77
      },
      id: 'target-table',
      says: /^ours: .* follows onebox by duplication 77$/,
      severity: 'ok',
      when: 'our duplication made it',
    },
    {
      change(facts) {
        facts.source.duplications = [duplicationOf()]
        facts.ownDupid = 77
      },
      id: 'target-table',
      says: /no table users, and duplication 77 ships to it: somebody dropped the copy/,
      severity: 'error',
      when: 'our duplication made it, and somebody dropped it',
    },
    {
      change(facts) {
        facts.source.duplications = [duplicationOf({status: DuplicationStatus.DS_PREPARE})]
        facts.ownDupid = 77
      },
      id: 'target-table',
      says: /no table users yet: the duplication will create it/,
      severity: 'ok',
      when: 'our duplication is about to make it',
    },
    {
      change(facts) {
        addTargetTable(facts, {})
        facts.ownDupid = 77
        facts.metaproxy!.node = nodeOf('onebox2', ['10.0.1.1:34601', '10.0.1.2:34601'])
      },
      id: 'target-table',
      says: /the metaproxy node names it already/,
      severity: 'ok',
      when: 'an earlier run switched to it',
    },
    {
      change(facts) {
        addTargetTable(facts, {})
        facts.ownHandOver = true
        facts.request.metaproxy = undefined
      },
      id: 'target-table',
      says: /handed over already/,
      severity: 'ok',
      when: 'there is no node, and an earlier run handed the table over',
    },
    {
      change(facts) {
        addTargetTable(facts, {'duplication.master_cluster': 'onebox'})
        facts.target.table!.partitionCount = 8
        facts.source.duplications = [duplicationOf()]
      },
      id: 'target-table',
      says: /with 8 partitions, the source has 4/,
      severity: 'error',
      when: 'it has another partition count',
    },
    {
      change() {},
      id: 'target-servers',
      says: /^3 living servers for 3 replicas, replica counts of 1 to 5/,
      severity: 'ok',
      when: 'there are enough',
    },
    {
      change({target}) {
        target.nodes[0]!.alive = false
      },
      id: 'target-servers',
      says: /2 living servers, the table needs 3; dead: 10\.0\.1\.1:34801/,
      severity: 'error',
      when: 'there are too few',
    },
    {
      change({target}) {
        target.nodes.push({address: '10.0.1.4:34801', alive: false})
      },
      id: 'target-servers',
      says: /dead: 10\.0\.1\.4:34801/,
      severity: 'warning',
      when: 'one more is dead',
    },
    {
      change({source}) {
        source.table.maxReplicaCount = 1
      },
      id: 'target-servers',
      says: /DS_APP for ever/,
      severity: 'error',
      when: 'the table has one replica on 2.5',
    },
    {
      change(facts) {
        makeMaster(facts)
        facts.source.table.maxReplicaCount = 1
      },
      id: 'target-servers',
      says: /3 living servers for 1 replica\b/,
      severity: 'ok',
      when: 'the table has one replica on master',
    },
    {
      change({source, target}) {
        source.table.maxReplicaCount = 7
        for (let i = 4; i < 9; i++) target.nodes.push({address: `10.0.1.${i}:34801`, alive: true})
      },
      id: 'target-servers',
      says: /7 replicas, the target allows 1 to 5/,
      severity: 'error',
      when: 'the target allows fewer replicas',
    },
    {
      change({target}) {
        target.info.metaFunctionLevel = 'freezed'
      },
      id: 'target-meta-level',
      says: /freezed: the target's metas refuse/,
      severity: 'error',
      when: 'it creates no tables',
    },
    {change() {}, id: 'target-meta-level', says: /^lively$/, severity: 'ok', when: 'it creates tables'},
    {
      change() {},
      id: 'target-disk',
      says: /takes 300 MB with all replicas; 3 target servers have 15000 MB/,
      severity: 'ok',
      when: 'there is room',
    },
    {
      change({target}) {
        for (const server of target.servers) server.freeMb = 90
      },
      id: 'target-disk',
      says: /have 270 MB free/,
      severity: 'confirm',
      when: 'the table does not fit',
    },
    {
      change({target}) {
        for (const server of target.servers) server.freeMb = 150
      },
      id: 'target-disk',
      says: /have 450 MB free/,
      severity: 'warning',
      when: 'it just fits',
    },
    {
      change({source}) {
        source.servers[0]!.tableMb = undefined
      },
      id: 'target-disk',
      says: /did not tell/,
      severity: 'skipped',
      when: 'the size is not known',
    },
  ])
})
