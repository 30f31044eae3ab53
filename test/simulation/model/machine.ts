import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {DENY_ENV} from '../../sandbox/replica/deny.js'
import {NODE, type Simulation, TABLE} from '../simulation.js'

/** Where a table stands, by what clusters and ZooKeeper hold; nothing else decides what a command does with it. */
export const stateIds = [
  /** Nothing of a migration is there. */
  'idle',
  /** A duplication that does not ship its log yet. */
  'copying',
  'shipping',
  /** The source refuses writes; what was accepted may be on its way. */
  'denied',
  /** The source refuses writes, and nothing ships. */
  'drained',
  /** Nothing ships, and the source takes writes. */
  'paused',
  /** The node names the target; the source refuses writes, and serves reads. */
  'switched',
  /** The source refuses everyone; something of the migration is left. */
  'closed',
  'migrated',
  /** The node was changed by hand while the duplication ships or copies. */
  'switched-by-hand',
  /** The node names the target, the source takes writes, and nothing ships. */
  'both-open',
] as const
export type State = (typeof stateIds)[number]

/** Every change of state that any command may make, step by step. What is not here is illegal, whoever does it. */
export const moves: Record<State, readonly State[]> = {
  'both-open': ['closed', 'migrated'],
  closed: ['migrated', 'switched'],
  copying: ['shipping', 'idle'],
  denied: ['shipping', 'drained', 'idle'],
  drained: ['denied', 'switched', 'paused', 'idle'],
  idle: ['copying', 'denied'],
  migrated: ['switched'],
  paused: ['shipping', 'drained', 'idle'],
  shipping: ['denied', 'idle', 'copying'],
  switched: ['closed', 'migrated'],
  'switched-by-hand': [],
}

/** By hand: somebody writes the node, or makes a duplication. */
export const movesByHand: Partial<Record<State, readonly State[]>> = {
  'both-open': ['idle'],
  copying: ['switched-by-hand'],
  idle: ['both-open', 'copying'],
  shipping: ['switched-by-hand'],
  'switched-by-hand': ['shipping', 'copying'],
}

/** What a whole command may end with, from each state it finds; its outcome and the state it leaves. */
export interface Ending {
  outcomes: readonly string[]
  states: readonly State[]
}

const forward: Ending = {outcomes: ['migrated'], states: ['migrated']}
const refused = (...states: State[]): Ending => ({outcomes: ['refused'], states})
const back: Ending = {outcomes: ['rolled-back'], states: ['idle']}
/** Applications write to the target all the time: going back would lose that. */
const tooLate: Ending = {outcomes: ['refused'], states: ['migrated', 'closed', 'switched']}

export const endings: Record<'migrate' | 'rollback', Record<State, Ending>> = {
  migrate: {
    'both-open': refused('both-open'),
    closed: forward,
    copying: forward,
    denied: forward,
    drained: forward,
    idle: forward,
    migrated: forward,
    paused: forward,
    shipping: forward,
    switched: forward,
    'switched-by-hand': refused('switched-by-hand'),
  },
  rollback: {
    // Without a journal or --root nobody looks at the node: then it does nothing, and proves that writes are allowed.
    'both-open': {outcomes: ['refused', 'rolled-back'], states: ['both-open']},
    closed: tooLate,
    copying: back,
    denied: back,
    drained: back,
    idle: back,
    migrated: tooLate,
    paused: back,
    shipping: back,
    switched: tooLate,
    'switched-by-hand': refused('switched-by-hand'),
  },
}

/** What `table:migrate-status` may call each state, while nobody works on the table. */
export const names: Record<State, readonly string[]> = {
  'both-open': ['both-open', 'half-switched', 'node-unclear', 'unclear'],
  closed: ['switched-unfinished', 'leftover-envs', 'leftover-settings', 'migrated', 'finishing'],
  copying: ['copying', 'preparing', 'foreign-duplication', 'forgotten-duplication'],
  denied: ['write-denied', 'cutover', 'denied-unclear', 'foreign-deny'],
  drained: ['write-denied', 'cutover', 'denied-unclear', 'foreign-deny'],
  idle: ['idle', 'orphan-target', 'leftover-settings', 'preparing'],
  migrated: ['migrated', 'leftover-settings'],
  paused: ['paused'],
  shipping: ['catching-up', 'caught-up', 'preparing', 'foreign-duplication', 'forgotten-duplication'],
  switched: ['switched-unfinished', 'half-switched', 'finishing'],
  'switched-by-hand': ['both-open', 'half-switched', 'foreign-duplication', 'forgotten-duplication'],
}

const {DS_LOG, DS_PAUSE} = DuplicationStatus

/** Looks at a simulation from outside. */
export function stateOf({source, target, zookeeper}: Simulation): State {
  const table = source.table(TABLE)
  const entry = source.state.duplications.of(table.info.appId)[0]
  const deny = table.info.envs.get(DENY_ENV)
  const namesTarget = zookeeper.getData(NODE).bytes.includes(`"${target.name}"`)
  if (!namesTarget) {
    if (deny !== undefined) return entry?.status === DS_PAUSE ? 'drained' : 'denied'
    if (!entry) return 'idle'
    if (entry.status === DS_PAUSE) return 'paused'
    return entry.status === DS_LOG ? 'shipping' : 'copying'
  }

  if (deny === undefined) return entry ? 'switched-by-hand' : 'both-open'
  if (deny !== 'reconfig*all') return 'switched'
  const follows = [...(target.state.tableNamed(TABLE)?.info.envs.keys() ?? [])].some((key) =>
    key.startsWith('duplication.'),
  )
  return entry || follows ? 'closed' : 'migrated'
}
