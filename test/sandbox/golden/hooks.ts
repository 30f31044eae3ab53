import {DuplicationFailMode, DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import type {GoldenScenario} from './scenario.js'

const {DS_APP, DS_LOG, DS_PAUSE, DS_REMOVED} = DuplicationStatus

export type Hook = (scenario: GoldenScenario) => Promise<void> | void

/** Cases that a sandbox of two clusters cannot answer, with the reason. */
export const NOT_APPLICABLE: Record<string, string> = {
  'meta_proxy.query_config': 'metaproxy is not a Pegasus server; test/sandbox/metaproxy.ts has its own tests',
  'meta_proxy.query_config.bad_json': 'metaproxy',
  'meta_proxy.query_config.no_node': 'metaproxy',
  'meta_proxy.query_config.node_but_no_table': 'metaproxy',
  'meta_proxy.query_config.one_meta': 'metaproxy',
  'meta_proxy.other_rpc': 'metaproxy',
}

/** The put of alice's key that several deny cases read: written before the deny comes. */
const denied =
  (value: string): Hook =>
  (s) =>
    s.deny('gt_plain', value)

const dupDenied =
  (value: string | undefined): Hook =>
  (s) =>
    s.deny('gt_dup', value)

const logged: Hook = async (s) => {
  await s.untilStatus('gt_dup', DS_LOG)
  await s.wait(12_000)
}

/** What has to be so before the first line of a case; between them the state stays. For both versions. */
export const RPC_HOOKS: Record<string, Hook> = {
  async 'add_duplication.other_table_same_remote'(s) {
    await s.ensureTable('gt_plain')
    await logged(s)
  },
  'add_duplication.remote_name_and_count': (s) => s.ensureTable('gt4'),
  'add_duplication.repeated_in_app': (s) => s.untilStatus('gt4', DS_APP),
  'atomic.not_duplicating.incr': (s) => s.wait(40_000),
  async 'cli.perf-counters-by-substr.dup_shipped_ops.replica'(s) {
    await s.write('gt_dup', 'row001')
    await s.write('gt_dup', 'row002')
    await s.write('gt_dup', 'row003')
    await s.write('gt_dup', 'row004')
    await s.wait(21_000)
  },
  'cli.query-progress.app.replica': (s) => s.untilStatus('gt_dup', DS_APP),
  'cli.query-progress.log_started.replica': logged,
  'cli.query-progress.prepare.replica': (s) => s.wait(1),
  // On the real bed another table was in DS_LOG.
  async 'cli.replica.query-progress.replica'(s) {
    await s.ensureTable('b3')
    s.loadRows('b3')
    await s.untilStatus('b3', DS_LOG)
    await s.wait(12_000)
  },
  'deny.lifted.put': (s) => s.deny('gt_plain', undefined),
  'deny.reconfig_all.put': denied('reconfig*all'),
  'deny.reconfig_read.put': denied('reconfig*read'),
  'deny.reconfig_write.check_and_set': denied('reconfig*write'),
  'deny.reconfig_write.put': denied('reconfig*write'),
  'deny.timeout_read.put': denied('timeout*read'),
  'deny.timeout_write.put': denied('timeout*write'),
  async 'dup.atomic_idempotent.check_and_set'(s) {
    await s.untilStatus('at_yes', DS_LOG)
    await s.wait(40_000)
  },
  'dup.atomic_idempotent.deny.incr': (s) => s.deny('at_yes', 'reconfig*write'),
  async 'dup.check_and_set'(s) {
    await logged(s)
    await s.wait(31_000)
  },
  'dup.check_and_set.after_remove': (s) => s.wait(31_000),
  'dup.deny.reconfig_write.check_and_set': dupDenied('reconfig*write'),
  'dup.deny.timeout_write.check_and_set': dupDenied('timeout*write'),
  async add_duplication(s) {
    await s.ensureTable('gt_dup')
    s.loadRows('gt_dup')
    // Set by update_app_env.dup_key; the real bed had made the table anew meanwhile.
    s.setEnv('gt_plain', 'duplication.master_cluster', undefined)
    await s.wait(20_000)
  },
  'get.hit'(s) {
    if (!s.hasRow('gt_plain', 'alice', 's1')) s.loadRows('gt_plain')
  },
  'go.create_app': (s) => s.reviveServers(),
  'go.get': (s) => s.wait(40_000),
  'list_apps.duplicating_app': (s) => s.untilStatus('gt_dup', DS_APP),
  'list_apps.duplicating_log': logged,
  'list_apps.target': dupDenied(undefined),
  'list_apps.target_opening': (s) => s.untilStatus('gt4', DS_APP),
  'list_duplication.app': (s) => s.untilStatus('gt_dup', DS_APP),
  'list_duplication.log': (s) => s.untilStatus('gt_dup', DS_LOG),
  async 'list_duplication.remote_name'(s) {
    await s.untilStatus('gt4', DS_LOG)
    await s.wait(12_000)
  },
  async 'list_nodes.one_dead'(s) {
    await s.ensureTable('gt4')
    await s.ensureTable('gt7')
    await s.killAServer(22_000)
  },
  'modify_duplication.fail_mode_slow': (s) => s.setFailMode('gt_dup', DuplicationFailMode.FAIL_SKIP),
  'modify_duplication.pause': dupDenied(undefined),
  put: (s) => s.loadRows('gt_plain'),
  query_config: (s) => s.wait(40_000),
  'query_duplication.log': logged,
  'query_duplication.pause': (s) => s.modify('gt_dup', DS_PAUSE),
  'query_duplication.removed'(s) {
    if (s.hasDuplication('gt_dup')) s.modify('gt_dup', DS_REMOVED)
  },
}

/** The same for HTTP. */
export const HTTP_HOOKS: Record<string, Hook> = {
  'meta.app.duplication.app': (s) => s.untilStatus('gt_dup', DS_APP),
  'meta.app.duplication.log': (s) => s.untilStatus('gt_dup', DS_LOG),
  async 'meta.app.duplication.pause'(s) {
    s.modify('gt_dup', DS_PAUSE)
    await s.wait(11_000)
  },
  'meta.app.duplication.prepare': (s) => s.addDuplication('gt_dup'),
  async 'meta.app.duplication.remote_name'(s) {
    await s.ensureTable('gt4')
    await s.untilStatus('gt4', DS_LOG)
  },
  // On the real bed somebody had set it (case update_app_env.dup_key).
  'meta.app_envs'(s) {
    if (s.isMaster) s.setEnv('gt_plain', 'duplication.master_cluster', 'x')
  },
  'meta.app.detail.one_dead': (s) => s.ensureTable('gt4'),
  async 'meta.nodes.one_dead'(s) {
    await s.ensureTable('gt4')
    await s.ensureTable('gt7')
    await s.killAServer(22_000)
  },
  'metrics.dup.log_started': (s) => s.wait(12_000),
  'metrics.dup.prepare': (s) => s.addDuplication('gt_dup'),
  'replica.duplication.log': (s) => s.wait(12_000),
  'replica.duplication.prepare': (s) => s.wait(11_000),
  async 'replica.duplication.removed'(s) {
    s.modify('gt_dup', DS_REMOVED)
    await s.wait(11_000)
  },
}
