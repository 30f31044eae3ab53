import assert from 'node:assert/strict'

import {parseConfigDump} from '../../../src/lib/pegasus/config-dump.js'
import type {TableConfiguration} from '../../../src/lib/pegasus/cluster.js'
import {
  locateTarget,
  tableNamed,
  type TargetClues,
  targetFacts,
  withoutPrimary,
} from '../../../src/lib/migration/status/read-target.js'
import {type AppInfo, AppStatus} from '../../../src/lib/rpc/structs/table.js'
import {duplication, journal} from './scenarios.js'

const dump = parseConfigDump('[pegasus.clusters]\n; \nonebox2 = m1:1, m2:2\n')
const names = (clusterName: string, ...metaAddresses: string[]) =>
  ({record: {data: {clusterName, metaAddresses}}}) as TargetClues['node']

describe('where the target is', () => {
  let dumps: number

  beforeEach(() => {
    dumps = 0
  })

  const locate = ({query = {}, ...clues}: Omit<Partial<TargetClues>, 'query'> & {query?: object} = {}) =>
    locateTarget({
      duplications: [],
      query: {proxies: [], sourceMetas: [], ...query},
      sourceCluster: 'onebox',
      async sourceDump() {
        dumps++
        return dump
      },
      sourceMetas: ['s:1', 's:2'],
      ...clues,
    })

  it('is what the flags say, before all else', async () => {
    const query = {targetCluster: 'b', targetMetas: ['b:1']}
    const clues = {duplications: [duplication()], journal: journal(), node: names('c', 'c:1')}
    assert.deepEqual(await locate({...clues, query}), {cluster: 'b', knownFrom: 'flags', metas: ['b:1']})
    assert.deepEqual(await locate({...clues, query: {targetMetas: ['b:1']}}), {
      cluster: 'onebox2',
      knownFrom: 'flags',
      metas: ['b:1'],
    })
    assert.equal(await locate({query: {targetMetas: ['b:1']}}), undefined)
    assert.equal(dumps, 0)
  })

  it('is what the journal says, for its own target', async () => {
    const own = journal()
    const known = {cluster: 'onebox2', knownFrom: 'journal', metas: ['127.0.0.1:35601']}
    assert.deepEqual(await locate({duplications: [duplication({remote: 'c'})], journal: own}), known)
    assert.deepEqual(await locate({journal: own, query: {targetCluster: 'onebox2'}}), known)
    assert.equal(dumps, 0)
    assert.equal(await locate({journal: own, query: {targetCluster: 'c'}}), undefined)
  })

  it('is what the source’s metas are configured with', async () => {
    const found = {cluster: 'onebox2', knownFrom: 'duplication', metas: ['m1:1', 'm2:2']}
    assert.deepEqual(await locate({duplications: [duplication(), duplication({remote: 'c'})]}), found)
    assert.deepEqual(await locate({journal: journal({targetMetas: undefined})}), found)
    assert.deepEqual(await locate({node: names('onebox2', 'n:1'), query: {targetCluster: 'onebox2'}}), found)
    assert.equal(dumps, 3)
  })

  it('is what the node names, where nothing else tells', async () => {
    const found = {cluster: 'b', knownFrom: 'node', metas: ['b:1', 'b:2']}
    const there = names('b', 'b:1', 'b:2')
    assert.deepEqual(await locate({node: there}), found)
    assert.equal(dumps, 0)
    const clues = {duplications: [duplication({remote: 'b'})], sourceDump: async () => undefined}
    assert.deepEqual(await locate({...clues, node: there}), found)
    assert.equal(await locate({...clues, node: names('c', 'c:1')}), undefined)
    assert.equal(await locate(clues), undefined)
    assert.equal(await locate({duplications: [duplication({remote: 'c'})]}), undefined)
  })

  it('is not what the node names where that is the source', async () => {
    assert.equal(await locate({node: names('onebox', 'x:1')}), undefined)
    assert.equal(await locate({node: names('other', 'x:1', 's:2')}), undefined)
    assert.equal(await locate({node: {hosts: '', path: ''}}), undefined)
    assert.equal(await locate(), undefined)
  })
})

describe('a table of the target', () => {
  const table = (appId: number, status: AppStatus, change: Partial<AppInfo> = {}) =>
    ({
      appId,
      appName: 'users',
      envs: new Map<string, string>(),
      expireSecond: 9,
      partitionCount: 4,
      status,
      ...change,
    }) as AppInfo
  const {AS_AVAILABLE, AS_CREATING, AS_DROPPED} = AppStatus

  it('is the one that is there, else one that comes or goes', () => {
    const tables = [
      table(1, AS_DROPPED),
      table(2, AS_CREATING),
      table(3, AS_AVAILABLE),
      table(4, AS_AVAILABLE, {appName: 'b'}),
    ]
    assert.equal(tableNamed(tables, 'users')?.appId, 3)
    assert.equal(tableNamed(tables.slice(0, 2), 'users')?.appId, 2)
    assert.equal(tableNamed(tables.slice(0, 1), 'users'), undefined)
    assert.equal(tableNamed(tables.slice(3), 'users'), undefined)
  })

  it('lacks primaries', () => {
    const partition = (partitionIndex: number, primary: null | string) => ({pid: {appId: 2, partitionIndex}, primary})
    const partitions = [partition(0, 'a'), partition(1, null), partition(2, null)]
    assert.deepEqual(withoutPrimary({partitions} as unknown as TableConfiguration), [1, 2])
    assert.deepEqual(withoutPrimary(), [])
  })

  const location = {cluster: 'b', knownFrom: 'flags' as const, metas: ['b:1'], name: 'users', nowMs: 8999}
  const head = {cluster: 'b', knownFrom: 'flags', metas: ['b:1'], withoutPrimary: []}

  it('is told with its deny and what it follows', () => {
    const envs = new Map([
      ['duplication.master_cluster', 'onebox'],
      ['replica.deny_client_request', 'timeout*write'],
      ['rocksdb.usage_scenario', 'normal'],
    ])
    assert.deepEqual(targetFacts(location, [table(1, AS_DROPPED), table(3, AS_AVAILABLE, {envs})]), {
      ...head,
      reached: true,
      table: {
        appId: 3,
        deny: 'timeout*write',
        followerEnvs: {'duplication.master_cluster': 'onebox'},
        partitionCount: 4,
      },
    })
    assert.deepEqual(targetFacts(location, [table(3, AS_AVAILABLE)]).table, {
      appId: 3,
      followerEnvs: {},
      partitionCount: 4,
    })
  })

  it('was dropped, and can be recalled for a while', () => {
    const tables = [table(1, AS_DROPPED)]
    assert.deepEqual(targetFacts(location, tables), {...head, dropped: {appId: 1, untilMs: 9000}, reached: true})
    assert.deepEqual(targetFacts({...location, nowMs: 9000}, tables), {...head, reached: true})
  })

  it('is not known where the target did not answer', () => {
    assert.deepEqual(targetFacts(location, undefined), {...head, reached: false})
  })
})
