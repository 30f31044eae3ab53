import {hookMoments} from '../../../src/lib/migration/operator-hooks/moments.js'
import type {At, Fault, WorldPlan} from './plan.js'

export type Random = () => number

export function oneOf<T>(random: Random, of: readonly T[]): T {
  return of[Math.floor(random() * of.length)]!
}

export const between = (random: Random, low: number, high: number) => Math.round(low + random() * (high - low))

/** Signs of life of a command that lie around its dangerous moments come more often. */
const SIGNS = [
  'phase:preflight',
  'phase:duplicate',
  'effect:add-duplication',
  'phase:catch-up',
  'phase:verify',
  'phase:deny',
  'effect:deny',
  'effect:deny',
  'done:deny',
  'phase:drain',
  'phase:drain',
  'effect:pause-duplication',
  'done:pause-duplication',
  'phase:switch',
  'effect:switch-node',
  'effect:switch-node',
  'done:switch-node',
  'effect:close-source',
  'done:close-source',
  'phase:finish',
  'effect:remove-duplication',
  'effect:delete-target-envs',
  'effect:set-server-config',
  'undo',
  'effect:lift-deny',
  'effect:take-commit-away',
]

/** Calls of a cluster whose fate is worth a draw. */
const CALLS = {
  source: [
    'RPC_CM_UPDATE_APP_ENV',
    'RPC_CM_UPDATE_APP_ENV',
    'RPC_CM_MODIFY_DUPLICATION',
    'RPC_CM_MODIFY_DUPLICATION',
    'RPC_CM_ADD_DUPLICATION',
    'RPC_CM_QUERY_DUPLICATION',
    'RPC_CM_QUERY_PARTITION_CONFIG_BY_INDEX',
    'RPC_CM_LIST_APPS',
    'RPC_CM_CONTROL_META',
    'RPC_QUERY_REPLICA_INFO',
    'RPC_QUERY_PN_DECREE',
    'RPC_RRDB_RRDB_CHECK_AND_SET',
    'RPC_RRDB_RRDB_GET',
    'RPC_CLI_CLI_CALL',
    'GET /updateConfig',
    'GET /config',
    'GET /replica/duplication',
  ],
  target: [
    'RPC_CM_UPDATE_APP_ENV',
    'RPC_CM_QUERY_PARTITION_CONFIG_BY_INDEX',
    'RPC_CM_LIST_APPS',
    'RPC_RRDB_RRDB_DUPLICATE',
    'RPC_RRDB_RRDB_DUPLICATE',
    'RPC_RRDB_RRDB_CHECK_AND_SET',
    'RPC_QUERY_REPLICA_INFO',
  ],
} as const

/** Kinds, with how often each comes. */
const KINDS: readonly [string, number][] = [
  ['meta-dies', 4],
  ['metas-away', 1],
  ['primary-moves', 5],
  ['server-dies', 5],
  ['server-restarts', 4],
  ['no-ticks', 3],
  ['disconnected', 2],
  ['slow-writes', 3],
  ['call', 12],
  ['nothing-ships', 3],
  ['storm', 4],
  ['blackhole', 3],
  ['cut', 2],
  ['silent-server', 2],
  ['zookeeper-away', 3],
  ['zookeeper-expires', 3],
  ['zookeeper-cut', 3],
  ['proxy-stale', 1],
  ['disk-full', 2],
  ['kill', 8],
  ['stop', 5],
  ['kill-guard', 2],
  ['ctrl-c', 3],
  ['second', 5],
  ['deny-taken-off', 2],
  ['deny-by-another', 1],
  ['target-denied', 1],
  ['pause-by-another', 2],
  ['resume-by-another', 1],
  ['remove-by-another', 1],
  ['fail-skip', 2],
  ['hook', 2],
  ['log-unreadable', 1],
  ['batching-by-another', 2],
  ['node-rewritten', 2],
  ['node-garbage', 1],
  ['target-dropped', 1],
]

const TOTAL = KINDS.reduce((sum, [, weight]) => sum + weight, 0)

export function drawFault(random: Random, world: WorldPlan): Fault {
  const kind = drawKind(random)
  const fault: Fault = {at: drawAt(random), kind, pick: between(random, 0, 1000)}
  return {...fault, ...detail(random, kind, world)}
}

function drawKind(random: Random): string {
  let left = random() * TOTAL
  for (const [kind, weight] of KINDS) {
    left -= weight
    if (left < 0) return kind
  }

  return KINDS[0]![0]
}

function drawAt(random: Random): At {
  if (random() < 0.35) return {ms: between(random, 0, 40_000)}
  return {
    afterMs: random() < 0.5 ? 0 : between(random, 0, oneOf(random, [50, 1000, 4000])),
    nth: oneOf(random, [1, 1, 1, 1, 2]),
    sign: oneOf(random, SIGNS),
  }
}

function detail(random: Random, kind: string, {root}: WorldPlan): Partial<Fault> {
  const side = oneOf(random, ['source', 'source', 'target'] as const)
  switch (kind) {
    case 'meta-dies':
    case 'metas-away': {
      return {lastsMs: oneOf(random, [3000, 20_000, 60_000]), side}
    }

    case 'server-dies': {
      return {lastsMs: oneOf(random, [15_000, 40_000, 60_000]), side}
    }

    case 'server-restarts': {
      return {lastsMs: oneOf(random, [500, 3000, 8000]), side}
    }

    case 'no-ticks':
    case 'disconnected':
    case 'silent-server': {
      return {lastsMs: oneOf(random, [2000, 10_000, 30_000, 90_000]), side}
    }

    case 'hook': {
      return {what: `${oneOf(random, ['fail', 'hang'])} ${oneOf(random, hookMoments)}`}
    }

    case 'log-unreadable': {
      return {lastsMs: oneOf(random, [3000, 15_000, 60_000]), side: 'source'}
    }

    case 'slow-writes': {
      return {lastsMs: oneOf(random, [10_000, 60_000]), ms: oneOf(random, [20, 200, 900, 3000]), side}
    }

    case 'call': {
      const what = oneOf(random, [
        'lose-answer',
        'lose-answer',
        'ignore',
        'close-after',
        'fail',
        'delay',
        'late',
        'late',
      ])
      return {
        count: oneOf(random, [1, 1, 2, 5]),
        // What comes later than that is not waited for (undo.ts).
        ms: oneOf(random, what === 'late' ? [2000, 6000, 13_000] : [300, 4000, 15_000]),
        side,
        what: `${what} ${oneOf(random, CALLS[side])}`,
      }
    }

    case 'nothing-ships': {
      return {lastsMs: oneOf(random, [8000, 20_000, 60_000, 150_000])}
    }

    case 'storm': {
      return {
        lastsMs: oneOf(random, [1000, 5000, 30_000]),
        share: oneOf(random, [0.02, 0.1, 0.3]),
        what: `${oneOf(random, ['lost', 'late', 'doubled', 'reset'])} ${oneOf(random, ['here', 'here', 'servers', 'others'])}`,
      }
    }

    case 'blackhole': {
      return {lastsMs: oneOf(random, [2000, 10_000, 30_000]), side, what: oneOf(random, ['here', 'here', 'servers'])}
    }

    case 'cut': {
      return {what: oneOf(random, ['here', 'servers', 'others'])}
    }

    case 'zookeeper-away': {
      return {lastsMs: oneOf(random, [1000, 8000, 20_000, 60_000])}
    }

    case 'zookeeper-cut': {
      return {
        count: oneOf(random, [1, 1, 3]),
        what: `${oneOf(random, ['cut-before', 'cut-after'])} ${oneOf(random, ['commit', 'commit', 'getData', 'children'])}`,
      }
    }

    case 'disk-full': {
      return {lastsMs: oneOf(random, [5000, 60_000]), what: oneOf(random, ['journal', 'all'])}
    }

    case 'stop': {
      return {lastsMs: oneOf(random, [2000, 7000, 20_000, 60_000])}
    }

    case 'second': {
      return {
        what: `${oneOf(random, ['migrate', 'migrate', 'rollback'])} ${root ? oneOf(random, ['here', 'there']) : 'here'}`,
      }
    }

    case 'node-garbage': {
      return {lastsMs: oneOf(random, [1000, 10_000])}
    }

    default: {
      return {}
    }
  }
}
