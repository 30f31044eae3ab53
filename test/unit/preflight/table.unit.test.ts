import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {NO_TABLE} from '../../../src/lib/migration/preflight/ask-metas.js'
import {runPreflight} from '../../../src/lib/migration/preflight/index.js'
import {AppStatus} from '../../../src/lib/rpc/structs/table.js'
import {testCases} from './cases.js'
import {healthyFacts, makeMaster} from './healthy-facts.js'

describe('preflight: the table', () => {
  testCases([
    {
      change() {},
      id: 'source-table',
      says: /^users is available: table id 2, 4 partitions, 3 replicas each$/,
      severity: 'ok',
      when: 'it is there',
    },
    {
      change({source}) {
        source.table.status = AppStatus.AS_DROPPING
      },
      id: 'source-table',
      says: /AS_DROPPING/,
      severity: 'error',
      when: 'it is being dropped',
    },
    {
      change({source}) {
        source.table.isStateful = false
      },
      id: 'source-table',
      says: /stateless/,
      severity: 'error',
      when: 'it is stateless',
    },
    {
      change({source}) {
        source.configuration.partitions[2]!.primary = null
      },
      id: 'table-healthy',
      says: /without a living primary: partition 2$/,
      severity: 'error',
      when: 'a partition has no primary',
    },
    {
      change({source}) {
        source.nodes[0]!.alive = false
      },
      id: 'table-healthy',
      says: /without a living primary: partition 0, 3$/,
      severity: 'error',
      when: 'a primary is on a dead server',
    },
    {
      change({source}) {
        source.configuration.partitions[1]!.secondaries.pop()
      },
      id: 'table-healthy',
      says: /fewer than 3 living replicas: partition 1$/,
      severity: 'error',
      when: 'a secondary is missing',
    },
    {
      change() {},
      id: 'table-healthy',
      says: /4 partitions, each with its primary and all 3/,
      severity: 'ok',
      when: 'all are there',
    },
    {
      change({source}) {
        source.configuration.partitions[3]!.ballot = -1
      },
      id: 'partition-split',
      says: /being split to 4 partitions; not there yet: 3/,
      severity: 'error',
      when: 'a child is not registered',
    },
    {
      change({source}) {
        source.table.initPartitionCount = 2
      },
      id: 'partition-split',
      says: /split before from 2 to 4/,
      severity: 'ok',
      when: 'it was split long ago',
    },
    {
      change({source}) {
        source.table.isBulkLoading = true
      },
      id: 'bulk-load',
      says: /bulk load is under way/,
      severity: 'error',
      when: 'one is under way',
    },
    {
      change({source}) {
        source.servers[1]!.dataVersions!.set(2, '0')
      },
      id: 'data-version',
      says: /^not support migrate table with data_version = 0 by duplication: found on partition 2 of 10\.0\.0\.2:34801$/,
      severity: 'error',
      when: 'one replica has version 0',
    },
    {
      change({source}) {
        source.servers[1]!.dataVersions = new Map()
      },
      id: 'data-version',
      says: /partition 0 on 10\.0\.0\.2:34801, partition 1/,
      severity: 'error',
      when: 'a server says it hosts none of what the metas give it',
    },
    {
      change({source}) {
        source.servers[1]!.dataVersions = undefined
        source.servers[1]!.failures.set('data-version', new Error('timed out'))
      },
      id: 'data-version',
      says: /10\.0\.0\.2:34801: timed out/,
      severity: 'error',
      when: 'a server does not tell',
    },
    {
      change() {},
      id: 'data-version',
      says: /^12 replicas on 3 servers, all with data version 1$/,
      severity: 'ok',
      when: 'all say 1',
    },
    {
      change({source}) {
        for (const server of source.servers) server.replicas![1]!.lastDurableDecree = 0
      },
      id: 'empty-partitions',
      says: /last durable decree 0\): partition 1;/,
      severity: 'warning',
      when: 'a primary has no checkpoint',
    },
    {
      change(facts) {
        facts.source.table.createSecond = facts.gatheredAtMs / 1000 - 12
      },
      id: 'empty-partitions',
      says: /12 s old/,
      severity: 'warning',
      when: 'the table is young',
    },
    {
      change(facts) {
        facts.source.servers[0]!.replicas = undefined
        facts.source.servers[0]!.failures.set('replicas', new Error('ERR_ACL_DENY'))
      },
      id: 'empty-partitions',
      says: /ERR_ACL_DENY on 10\.0\.0\.1:34801/,
      severity: 'warning',
      when: 'a server does not tell its decrees',
    },
    {
      change: (facts) => makeMaster(facts),
      id: 'empty-partitions',
      says: /master/,
      severity: 'skipped',
      when: 'the source is master',
    },
    {change() {}, id: 'empty-partitions', says: /above 0/, severity: 'ok', when: 'all have decrees'},
  ])

  it('tells a table that is not there once, and judges nothing else about it', async () => {
    const facts = healthyFacts()
    const gone = new MigratorError(NO_TABLE, 'cluster onebox has no table users')
    for (const fact of ['source.table', 'source.configuration', 'source.duplications'] as const)
      facts.unread.set(fact, gone)
    const results = await runPreflight(facts)
    const errors = results.filter(({severity}) => severity === 'error')
    assert.deepEqual(
      errors.map(({evidence, id}) => [id, evidence]),
      [['source-table', 'cluster onebox has no table users']],
    )
    assert.equal(results.find(({id}) => id === 'data-version')?.severity, 'skipped')
    assert.equal(results.find(({id}) => id === 'target-cluster')?.severity, 'ok')
  })
})
