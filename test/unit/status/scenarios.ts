import type {
  DuplicationFacts,
  JournalFacts,
  NodeFacts,
  SourceFacts,
  StatusFacts,
  TargetFacts,
} from '../../../src/lib/migration/status/facts.js'
import type {StateId} from '../../../src/lib/migration/status/states.js'

export const nowMs = Date.parse('2026-03-01T08:10:00Z')
const MINUTE_MS = 60_000

export const duplication = (changes: Partial<DuplicationFacts> = {}): DuplicationFacts => ({
  createdAtMs: nowMs - 5 * MINUTE_MS,
  dupid: 1_772_352_000,
  remote: 'onebox2',
  status: 'DS_LOG',
  ...changes,
})

export const shipping = (lags: number[], changes: Partial<NonNullable<SourceFacts['shipping']>> = {}) => ({
  batching: [],
  dupid: duplication().dupid,
  partitions: lags.map((lagMutations, partitionIndex) => ({
    duplicating: true,
    failMode: 'FAIL_SLOW',
    lagMutations,
    partitionIndex,
    server: `127.0.0.1:3480${partitionIndex}`,
  })),
  unreported: [],
  ...changes,
})

/** Table `users` with two partitions on onebox. */
export const source = (changes: Partial<SourceFacts> = {}, deny?: string): SourceFacts => ({
  cluster: 'onebox',
  duplications: [],
  isMaster: false,
  metaLevel: 'lively',
  metas: ['127.0.0.1:34601'],
  table: {appId: 2, ...(deny === undefined ? {} : {deny}), partitionCount: 2},
  withoutPrimary: [],
  ...changes,
})

export const target = (
  table: Partial<NonNullable<TargetFacts['table']>> = {},
  changes: Partial<TargetFacts> = {},
): TargetFacts => ({
  cluster: 'onebox2',
  knownFrom: 'journal',
  metas: ['127.0.0.1:35601'],
  reached: true,
  table: {appId: 7, followerEnvs: {'duplication.master_cluster': 'onebox'}, partitionCount: 2, ...table},
  withoutPrimary: [],
  ...changes,
})

export const node = (changes: Partial<NodeFacts> = {}): NodeFacts => ({
  cluster: 'onebox',
  hosts: '127.0.0.1:2181',
  path: '/metaproxy/users',
  side: 'source',
  version: 3,
  ...changes,
})

export const switched = node({cluster: 'onebox2', side: 'target', version: 4})

export const journal = (changes: Partial<JournalFacts> = {}): JournalFacts => ({
  dupids: [duplication().dupid],
  hints: {dupid: duplication().dupid, settings: []},
  lastAtMs: nowMs - MINUTE_MS,
  maxWriteDenyMs: 120_000,
  metaproxyHosts: '127.0.0.1:2181',
  path: '/data/users@onebox2.jsonl',
  phase: {atMs: nowMs - MINUTE_MS, id: 'catch-up', state: 'started'},
  proxies: [],
  root: '/metaproxy',
  run: 'r1',
  sourceCluster: 'onebox',
  startedAtMs: nowMs - 6 * MINUTE_MS,
  switched: false,
  targetCluster: 'onebox2',
  targetMetas: ['127.0.0.1:35601'],
  thresholdMutations: 10_000,
  ...changes,
})

/** A journal whose run denied writes `agoMs` ago. */
export const denying = (agoMs: number, changes: Partial<JournalFacts> = {}): JournalFacts =>
  journal({
    hints: {deny: 'timeout*write', denyAtMs: nowMs - agoMs, dupid: duplication().dupid, settings: []},
    phase: {atMs: nowMs - agoMs, id: 'drain', state: 'started'},
    ...changes,
  })

const ended = (outcome: string, changes: Partial<JournalFacts> = {}): JournalFacts =>
  journal({ended: {atMs: nowMs - MINUTE_MS, outcome}, hints: {settings: []}, ...changes})

/** No duplication, no deny, no journal: each scenario changes it. */
export const facts = (changes: Partial<StatusFacts> = {}): StatusFacts => ({
  node: node(),
  nowMs,
  proxies: [],
  settings: [],
  source: source(),
  table: 'users',
  unread: [],
  ...changes,
})

const batchBytes = (now: string) => ({
  before: '4096',
  left: now === '0',
  name: 'duplicate_log_batch_bytes',
  now,
  server: '127.0.0.1:34801',
  side: 'source' as const,
})

const duplicated = (status: DuplicationFacts['status'], lags: number[] = [1, 1], deny?: string) =>
  source({duplications: [duplication({status})], shipping: shipping(lags)}, deny)

const clean = target({followerEnvs: {}})
const closed = source({}, 'reconfig*all')
const zooKeeperDown = node({
  cluster: undefined,
  problem: {code: 'zk.unreachable', message: 'nobody listens at 127.0.0.1:2181'},
  side: undefined,
  version: undefined,
})

/** At least one for each state; `because` is part of what was seen. */
export const scenarios: Array<{because: RegExp; facts: StatusFacts; name: string; state: StateId}> = [
  {because: /onebox serves users/, facts: facts(), name: 'nothing going on', state: 'idle'},
  {because: /ended: rolled-back/, facts: facts({journal: ended('rolled-back')}), name: 'rolled back', state: 'idle'},
  {
    because: /onebox has no table users\.$/,
    facts: facts({node: undefined, source: source({table: undefined})}),
    name: 'a wrong name',
    state: 'no-table',
  },
  {
    because: /no leader/,
    facts: facts({
      node: undefined,
      source: undefined,
      unread: [{code: 'meta.no_leader', message: 'no leader', what: 'source'}],
    }),
    name: 'metas that do not answer',
    state: 'unreachable',
  },
  {
    because: /duplications of users could not be read: timed out/,
    facts: facts({
      source: source({duplications: undefined}),
      unread: [{code: 'rpc.timeout', message: 'timed out', what: 'duplications'}],
    }),
    name: 'duplications that could not be read',
    state: 'unclear',
  },
  {
    because: /is in DS_PREPARE\.$/,
    facts: facts({journal: journal(), source: duplicated('DS_PREPARE'), target: target({}, {table: undefined})}),
    name: 'DS_PREPARE',
    state: 'preparing',
  },
  {
    because: /about to duplicate users; set: duplicate_log_batch_bytes=0/,
    facts: facts({
      journal: journal({hints: {settings: []}, phase: {atMs: nowMs - 1000, id: 'duplicate', state: 'started'}}),
      lock: {held: true, scope: 'everywhere'},
      settings: [batchBytes('0')],
    }),
    name: 'settings made, nothing added yet',
    state: 'preparing',
  },
  {
    because: /nothing is shipped to it/,
    facts: facts({
      journal: journal({hints: {settings: []}, phase: {atMs: nowMs - 1000, id: 'duplicate', state: 'started'}}),
      lock: {held: false, scope: 'everywhere'},
      target: target(),
    }),
    name: 'killed before anything was added or after it was rolled back elsewhere: its lock is gone',
    state: 'orphan-target',
  },
  {
    because: /has a table users \(id 7\) that is no copy/,
    facts: facts({journal: journal(), source: duplicated('DS_PREPARE'), target: clean}),
    name: 'a table of that name on the target',
    state: 'copy-blocked',
  },
  {
    because: /DS_APP/,
    facts: facts({journal: journal(), source: duplicated('DS_APP'), target: target()}),
    name: 'DS_APP',
    state: 'copying',
  },
  {
    because: /2 of 2 partitions ship, 12,000 mutations pending \(threshold 10,000\)/,
    facts: facts({journal: journal(), source: duplicated('DS_LOG', [12_001, 1]), target: target()}),
    name: 'DS_LOG with much pending',
    state: 'catching-up',
  },
  {
    because: /1 of 2 partitions ship/,
    facts: facts({
      journal: journal(),
      source: source({duplications: [duplication()], shipping: shipping([1], {unreported: [1]})}),
      target: target(),
    }),
    name: 'DS_LOG with a primary that does not ship yet',
    state: 'catching-up',
  },
  {
    because: /2 of 2 partitions ship, 4 mutations pending/,
    facts: facts({journal: journal(), source: duplicated('DS_LOG', [5, 1]), target: target()}),
    name: 'DS_LOG with little pending',
    state: 'caught-up',
  },
  {
    because: /carries replica.deny_client_request=timeout\*write, for 40 s now/,
    facts: facts({journal: denying(40_000), source: duplicated('DS_LOG', [1, 1], 'timeout*write'), target: target()}),
    name: 'a deny within its bound',
    state: 'cutover',
  },
  {
    because: /the guard: the driver has been silent/,
    facts: facts({
      guard: {alive: true, pid: 7, sinceMs: nowMs - 200_000, state: 'acting', text: 'the driver has been silent'},
      journal: denying(200_000),
      source: duplicated('DS_LOG', [1, 1], 'timeout*write'),
      target: target(),
    }),
    name: 'a guard that takes the deny back',
    state: 'cutover',
  },
  {
    because: /ops@host holds the lock/,
    facts: facts({
      lock: {held: true, holder: 'ops@host', scope: 'everywhere', sinceMs: nowMs - 30_000},
      source: duplicated('DS_LOG', [1, 1], 'timeout*write'),
      target: target({}, {knownFrom: 'duplication'}),
    }),
    name: 'a deny by a run on another machine that holds the lock',
    state: 'cutover',
  },
  {
    because: /for 200 s now; its run has not ended and is past its bound/,
    facts: facts({journal: denying(200_000), source: duplicated('DS_LOG', [1, 1], 'timeout*write'), target: target()}),
    name: 'a deny past its bound',
    state: 'write-denied',
  },
  {
    because: /its run has not ended/,
    facts: facts({
      journal: denying(20_000),
      lock: {held: false, scope: 'everywhere'},
      source: duplicated('DS_LOG', [1, 1], 'timeout*write'),
      target: target(),
    }),
    name: 'a deny within its bound whose lock nobody holds',
    state: 'write-denied',
  },
  {
    because: /its run ended \(write-denied\)/,
    facts: facts({
      journal: denying(20_000, {ended: {atMs: nowMs - 1000, outcome: 'write-denied'}}),
      source: duplicated('DS_PAUSE', [1, 1], 'timeout*write'),
      target: target(),
    }),
    name: 'a deny that an undo could not take back',
    state: 'write-denied',
  },
  {
    because: /no journal here says why/,
    facts: facts({
      source: duplicated('DS_LOG', [1, 1], 'timeout*write'),
      target: target({}, {knownFrom: 'duplication'}),
    }),
    name: 'a deny of the old tool',
    state: 'foreign-deny',
  },
  {
    because: /nobody listens/,
    facts: facts({
      journal: denying(20_000),
      node: zooKeeperDown,
      source: duplicated('DS_PAUSE', [1, 1], 'timeout*write'),
      target: target(),
    }),
    name: 'a deny while ZooKeeper cannot be read',
    state: 'denied-unclear',
  },
  {
    because:
      /onebox2 serves; to be done: onebox still carries timeout\*write; duplication 1772352000 in DS_PAUSE; duplication.master_cluster/,
    facts: facts({
      journal: denying(40_000, {lastAtMs: nowMs - 500, switched: true}),
      node: switched,
      source: duplicated('DS_PAUSE', [1, 1], 'timeout*write'),
      target: target(),
    }),
    name: 'a run a moment after the switch',
    state: 'finishing',
  },
  {
    because: /onebox carries timeout\*write, not/,
    facts: facts({
      journal: denying(40_000, {lastAtMs: nowMs - 500, switched: true}),
      lock: {held: false, scope: 'everywhere'},
      node: switched,
      source: duplicated('DS_PAUSE', [1, 1], 'timeout*write'),
      target: target(),
    }),
    name: 'a run that was killed a moment after the switch',
    state: 'half-switched',
  },
  {
    because: /names onebox2, and onebox carries timeout\*write, not reconfig\*all/,
    facts: facts({
      journal: denying(60_000, {switched: true}),
      node: switched,
      source: duplicated('DS_PAUSE', [1, 1], 'timeout*write'),
      target: target(),
    }),
    name: 'the node switched, the source not told',
    state: 'half-switched',
  },
  {
    because: /onebox carries no deny: it accepts writes too/,
    facts: facts({node: switched, target: target({}, {knownFrom: 'node'})}),
    name: 'the node switched, the source open',
    state: 'both-open',
  },
  {
    because: /127.0.0.1:36601 still leads to onebox/,
    facts: facts({
      journal: journal(),
      node: switched,
      proxies: [{address: '127.0.0.1:36601', side: 'source'}],
      source: closed,
      target: target(),
    }),
    name: 'a metaproxy that lost its session',
    state: 'stale-proxy',
  },
  {
    because:
      /still there: duplication 1772352000 in DS_PAUSE; duplication.master_cluster on onebox2; duplicate_log_batch_bytes=0/,
    facts: facts({
      journal: journal({switched: true}),
      node: switched,
      settings: [batchBytes('0')],
      source: duplicated('DS_PAUSE', [1, 1], 'reconfig*all'),
      target: target(),
    }),
    name: 'a run that was killed after the switch',
    state: 'switched-unfinished',
  },
  {
    because: /no run is there that would take away: duplication 1772352000 in DS_LOG/,
    facts: facts({
      node: switched,
      source: duplicated('DS_LOG', [1, 1], 'reconfig*all'),
      target: target({}, {knownFrom: 'duplication'}),
    }),
    name: 'what the old tool leaves behind',
    state: 'forgotten-duplication',
  },
  {
    because: /the last run ended \(stopped\)/,
    facts: facts({
      journal: journal({ended: {atMs: nowMs - 2 * 86_400_000, outcome: 'stopped'}, lastAtMs: nowMs - 2 * 86_400_000}),
      source: duplicated('DS_LOG'),
      target: target(),
    }),
    name: 'a run that was stopped the day before yesterday',
    state: 'forgotten-duplication',
  },
  {
    because: /duplication.master_cluster on onebox2/,
    facts: facts({journal: ended('migrated'), node: switched, source: closed, target: target()}),
    name: 'follower envs left on the copy',
    state: 'leftover-envs',
  },
  {
    because: /duplicate_log_batch_bytes=0 on 127.0.0.1:34801 \(was 4096\)/,
    facts: facts({
      journal: ended('migrated'),
      node: switched,
      settings: [batchBytes('0')],
      source: closed,
      target: clean,
    }),
    name: 'a setting left after a migration',
    state: 'leftover-settings',
  },
  {
    because: /Still set: duplicate_log_batch_bytes=0/,
    facts: facts({journal: ended('stopped'), settings: [batchBytes('0')]}),
    name: 'a setting left by a run that was stopped',
    state: 'leftover-settings',
  },
  {
    because: /names onebox2; onebox refuses every client/,
    facts: facts({
      journal: ended('migrated'),
      node: switched,
      settings: [batchBytes('4096')],
      source: closed,
      target: clean,
    }),
    name: 'all done',
    state: 'migrated',
  },
  {
    because: /has no table users any more/,
    facts: facts({node: switched, source: source({table: undefined}), target: clean}),
    name: 'moved, and dropped on the source since',
    state: 'migrated',
  },
  {
    because: /the journal says that the table was handed over/,
    facts: facts({journal: ended('migrated', {root: undefined}), node: undefined, source: closed, target: clean}),
    name: 'moved without a node',
    state: 'migrated',
  },
  {
    because: /the journal says that the table was handed over/,
    facts: facts({
      journal: journal({
        ended: {atMs: nowMs, outcome: 'handed-over'},
        hints: {closed: true, settings: [], word: true},
        root: undefined,
      }),
      node: undefined,
      source: closed,
      target: clean,
    }),
    name: 'handed over to the operator',
    state: 'handed-over',
  },
  {
    because: /names onebox9, neither onebox nor onebox2/,
    facts: facts({
      journal: journal(),
      node: node({cluster: 'onebox9', side: 'other'}),
      source: duplicated('DS_LOG'),
      target: target(),
    }),
    name: 'a node that names a third cluster',
    state: 'node-unclear',
  },
  {
    because: /There is no node \/metaproxy\/users/,
    facts: facts({
      journal: denying(20_000),
      node: node({
        cluster: undefined,
        problem: {code: 'zk.no_node', message: 'there is none'},
        side: undefined,
        version: undefined,
      }),
      source: duplicated('DS_LOG', [1, 1], 'timeout*write'),
      target: target(),
    }),
    name: 'a node that was removed while clients are denied',
    state: 'node-unclear',
  },
  {
    because: /onebox2 has a copy of users made from onebox, and nothing is shipped to it/,
    facts: facts({journal: ended('rolled-back'), target: target()}),
    name: 'a copy that was left behind',
    state: 'orphan-target',
  },
  {
    because: /is in DS_PAUSE\.$/,
    facts: facts({
      journal: journal({ended: {atMs: nowMs, outcome: 'stopped'}}),
      source: duplicated('DS_PAUSE'),
      target: target(),
    }),
    name: 'a pause that was not taken back',
    state: 'paused',
  },
  {
    because: /no journal here says that a migration began it/,
    facts: facts({source: duplicated('DS_LOG'), target: target({}, {knownFrom: 'duplication'})}),
    name: 'a duplication of somebody else',
    state: 'foreign-duplication',
  },
  {
    because: /users on onebox2 carries replica.deny_client_request=timeout\*write/,
    facts: facts({journal: journal(), source: duplicated('DS_LOG'), target: target({deny: 'timeout*write'})}),
    name: 'a copy that inherited the deny',
    state: 'target-denied',
  },
  {
    because: /users on onebox2 carries/,
    facts: facts({node: switched, source: closed, target: target({deny: 'reconfig*write', followerEnvs: {}})}),
    name: 'a target that serves and is denied',
    state: 'target-denied',
  },
  {
    because: /onebox2 has no table users/,
    facts: facts({
      journal: journal(),
      source: duplicated('DS_LOG'),
      target: target({}, {dropped: {appId: 7, untilMs: 1_800_000_000_000}, table: undefined}),
    }),
    name: 'a target that was dropped',
    state: 'target-missing',
  },
]
