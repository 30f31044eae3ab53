import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import {rollbackDefaults, type RollbackRequest} from '../../src/lib/migration/rollback/request.js'
import type {RollbackView} from '../../src/lib/migration/rollback/view.js'
import {DuplicationFailMode, DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'

/** Table `t` of cluster `a`, which was duplicated to `b`. */
export const entry = {
  createTsMs: 0,
  dupid: 7,
  failMode: DuplicationFailMode.FAIL_SLOW,
  remote: 'b',
  status: DuplicationStatus.DS_LOG,
}
export const copy = {
  appId: 9,
  followerEnvs: {'duplication.master_cluster': 'a', 'duplication.master_metas': 'x:1'},
  partitionCount: 4,
}
export const target = {cluster: 'b', metas: ['b:1'], table: copy}
export const setting = {
  before: '4096',
  kind: 'set-server-config',
  name: 'duplicate_log_batch_bytes',
  server: 's:1',
  side: 'source',
  value: '0',
} as const

export function node(
  side: 'other' | 'source' | 'target',
  cluster = {other: 'c', source: 'a', target: 'b'}[side],
): RollbackView['node'] {
  const data = {clusterName: cluster, metaAddresses: ['x:1', 'y:1']}
  return {record: {bytes: formatNodeData(cluster, data.metaAddresses), data, path: '/r/t', version: 3}, side}
}

/** Nothing of a migration is there: the node names the source, and writes are allowed. */
export const view = (changes: Partial<RollbackView> = {}): RollbackView => ({
  appId: 2,
  generation: '2.5',
  node: node('source'),
  otherRemotes: [],
  partitionCount: 4,
  settings: [],
  source: {cluster: 'a', metas: ['a:1']},
  timers: {configSyncMs: 30_000, groupCheckMs: 10_000},
  ...changes,
})

export const request = (changes: Partial<RollbackRequest> = {}): RollbackRequest => ({
  adopt: false,
  allowDataLoss: false,
  briefDeny: false,
  dropTarget: false,
  ...rollbackDefaults,
  sourceMetas: ['a:1'],
  table: 't',
  ...changes,
})
