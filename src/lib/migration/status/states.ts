import {ExitCode} from '../../exit-codes.js'

/** How much a state asks of whoever reads it. */
export type Level =
  /** Nothing is going on, or all is finished. */
  | 'ok'
  /** Something is going on and goes on by itself, or with the same command. */
  | 'in-progress'
  /** What is so must be mended, by one command or by a person. */
  | 'needs-person'
  /** It could not be found out. */
  | 'unknown'

export interface StateInfo {
  level: Level
  /** What it means. */
  meaning: string
  /** What mends it, or what comes next. */
  mend: string
  /** As it is shown. */
  title: string
}

/** Every state that a table can be found in; docs/status.md has the same table. */
export const states = {
  'both-open': {
    level: 'needs-person',
    meaning:
      'The table was handed over to the target, and the source accepts writes too: clients that still use it write to the wrong side.',
    mend: 'Run the same table:migrate once more: it closes the source.',
    title: 'both sides open',
  },
  'catching-up': {
    level: 'in-progress',
    meaning: 'The log is shipped to the target, and more is pending than a cutover should wait for.',
    mend: 'Wait, or run the same table:migrate to go on.',
    title: 'catching up',
  },
  'caught-up': {
    level: 'in-progress',
    meaning: 'Every primary ships, and few mutations are pending: the table can be cut over.',
    mend: 'Run the same table:migrate to go on.',
    title: 'caught up',
  },
  'copy-blocked': {
    level: 'needs-person',
    meaning:
      'The duplication cannot create its copy: the target has a table of this name already. The metas retry for ever and say nothing.',
    mend: 'Drop or rename the table on the target, or roll the migration back.',
    title: 'copy blocked',
  },
  copying: {
    level: 'in-progress',
    meaning: 'The target pulls the checkpoint of the data from the source (DS_APP).',
    mend: 'Wait, or run the same table:migrate to go on.',
    title: 'copying',
  },
  cutover: {
    level: 'in-progress',
    meaning: 'Writes are denied by a run that is within its --max-write-deny, or by a guard that takes the deny back.',
    mend: 'Wait: it ends by itself within the bound.',
    title: 'cutover under way',
  },
  'denied-unclear': {
    level: 'needs-person',
    meaning:
      'Clients are denied on the source, and the metaproxy node cannot be read: nobody can say which side serves.',
    mend: 'Make ZooKeeper reachable. Then look again; nothing may be lifted before.',
    title: 'denied, switch unclear',
  },
  finishing: {
    level: 'in-progress',
    meaning:
      'The table was handed over to the target, and a run does the last steps: it closes the source and clears up.',
    mend: 'Wait.',
    title: 'finishing',
  },
  'foreign-deny': {
    level: 'needs-person',
    meaning:
      'Clients are denied on the source, and no journal on this machine says who did it: another machine, the old tool, or a person.',
    mend: 'Unless a migration runs on another machine: table:migrate-rollback --adopt takes it off.',
    title: 'denied by somebody else',
  },
  'foreign-duplication': {
    level: 'in-progress',
    meaning: 'The table is being duplicated, and no journal on this machine says that a migration began it.',
    mend: 'Find out whose it is: a migration from another machine, a backup cluster, a person.',
    title: 'duplicated by somebody else',
  },
  'forgotten-duplication': {
    level: 'needs-person',
    meaning:
      'A duplication is left that no run works on. Before the switch its log fills the disks of the source; after the switch it can overwrite newer values on the target.',
    mend: 'After the switch run the same table:migrate once more, before it table:migrate-rollback.',
    title: 'forgotten duplication',
  },
  'half-switched': {
    level: 'needs-person',
    meaning:
      'The table was handed over to the target, and the source is not closed yet: it refuses writes, and its reads are stale.',
    mend: 'Run the same table:migrate once more: it closes the source and finishes.',
    title: 'half switched',
  },
  'handed-over': {
    level: 'ok',
    meaning: 'Everything is on the target, the source refuses every client, and the operator moves the applications.',
    mend: 'Point the applications at the target.',
    title: 'handed over',
  },
  idle: {
    level: 'ok',
    meaning: 'No duplication, no deny, nothing left of a migration.',
    mend: '',
    title: 'idle',
  },
  'leftover-envs': {
    level: 'needs-person',
    meaning:
      'The table was moved, and its copy still carries duplication.* envs: a later duplication of it would copy from the wrong cluster.',
    mend: 'Delete these envs on the target; the same table:migrate does it where there is a metaproxy node.',
    title: 'leftover follower envs',
  },
  'leftover-settings': {
    level: 'needs-person',
    meaning: 'Settings that a migration changed still have its values, and no run is there that would put them back.',
    mend: 'table:migrate-rollback puts them back.',
    title: 'leftover settings',
  },
  migrated: {
    level: 'ok',
    meaning: 'The target serves, the source is closed or gone, and nothing is left behind.',
    mend: '',
    title: 'migrated',
  },
  'no-table': {
    level: 'unknown',
    meaning: 'The source has no table of this name, and nothing says that it was moved from there.',
    mend: 'Look at the name and at --source-meta.',
    title: 'no such table',
  },
  'node-unclear': {
    level: 'needs-person',
    meaning:
      'Something of a migration is there, and the metaproxy node is missing, unusable, or names neither the source nor the target.',
    mend: 'Find out who wrote it; put the right cluster into it in one set.',
    title: 'node names neither side',
  },
  'orphan-target': {
    level: 'needs-person',
    meaning:
      'The target has a copy of the table that nothing is shipped to any more; it stands in the way of the next migration.',
    mend: 'table:migrate-rollback --drop-target drops it.',
    title: 'orphan target table',
  },
  paused: {
    level: 'needs-person',
    meaning:
      'The duplication is paused and writes are allowed: nothing is shipped, and the log fills the disks of the source.',
    mend: 'The same table:migrate lets it go on; table:migrate-rollback takes it back.',
    title: 'duplication paused',
  },
  preparing: {
    level: 'in-progress',
    meaning: 'The source prepares a checkpoint of the data (DS_PREPARE), or is about to.',
    mend: 'Wait, or run the same table:migrate to go on.',
    title: 'preparing',
  },
  'stale-proxy': {
    level: 'needs-person',
    meaning: 'The node names the target, and a metaproxy still sends its clients to the source, which refuses them.',
    mend: 'Restart that metaproxy: one whose ZooKeeper session expired stays stale for good.',
    title: 'stale metaproxy',
  },
  'switched-unfinished': {
    level: 'needs-person',
    meaning: 'The target serves and the source is closed, but the last steps of the migration are not done.',
    mend: 'Run the same table:migrate once more: it only finishes what is left.',
    title: 'switched, not finished',
  },
  'target-denied': {
    level: 'needs-person',
    meaning: 'The copy on the target carries a deny: it refuses what is shipped, and clients after the switch.',
    mend: 'Delete replica.deny_client_request on the target.',
    title: 'target refuses',
  },
  'target-missing': {
    level: 'needs-person',
    meaning: 'A duplication ships to a table that is not there any more: the lag grows for ever.',
    mend: 'Recall the table on the target, or table:migrate-rollback --copy-is-gone removes the duplication; then begin anew.',
    title: 'target table is gone',
  },
  unclear: {
    level: 'unknown',
    meaning: 'Some of what must be known could not be read.',
    mend: 'Mend what could not be read, and look again.',
    title: 'unclear',
  },
  unreachable: {
    level: 'unknown',
    meaning: 'No meta server of the source answers as leader.',
    mend: 'Look at --source-meta and at the meta servers; a new leader takes up to 47 s.',
    title: 'source unreachable',
  },
  'write-denied': {
    level: 'needs-person',
    meaning:
      'A migration from this machine denied clients on the source, and its time is over: writes stay denied until somebody takes the deny back.',
    mend: 'table:migrate-rollback takes it back at once; the same table:migrate takes it back and goes on.',
    title: 'STUCK WRITE-DENY',
  },
} as const satisfies Record<string, StateInfo>

export type StateId = keyof typeof states

export const stateIds = Object.keys(states) as StateId[]

/** The worst first. */
const levelOrder: Level[] = ['needs-person', 'unknown', 'in-progress', 'ok']

const levelExitCodes: Record<Level, ExitCode> = {
  'in-progress': ExitCode.resumable,
  'needs-person': ExitCode.needsOperator,
  ok: ExitCode.ok,
  unknown: ExitCode.failed,
}

/** The worst of several; `ok` for none. */
export function worstLevel(levels: Level[]): Level {
  return levelOrder.find((level) => levels.includes(level)) ?? 'ok'
}

export function exitCodeOfLevel(level: Level): ExitCode {
  return levelExitCodes[level]
}
