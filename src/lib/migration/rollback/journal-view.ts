import type {Files} from '../../files.js'
import type {DuplicationEntry} from '../../rpc/structs/duplication.js'
import type {AppInfo} from '../../rpc/structs/table.js'
import {DENY_ENV} from '../effects-live.js'
import {type JournalRecord, readJournal} from '../journal.js'
import type {JournalFacts} from '../status/facts.js'
import type {RollbackView} from './view.js'

/** What a rollback needs of the journal. */
export async function tellJournal(
  journal: JournalFacts,
  table: AppInfo,
  entry: DuplicationEntry | undefined,
  files: Files,
): Promise<RollbackView['journal']> {
  const {ended, hints} = journal
  // Its answer was never written down, and Preflight had seen none before it: the one that is there is ours.
  const dupid = hints.dupid ?? (hints.adding ? entry?.dupid : undefined)
  const records = await readJournal(journal.path, files)
  const {closedByUs, deny} = ownDeny(records)
  const nodeBefore = nodeBytesBefore(records)
  const closed = table.envs.get(DENY_ENV) === 'reconfig*all'
  // A later run that came to nothing does not take it back.
  const moved =
    closedByUs ||
    hints.closed === true ||
    ['handed-over', 'migrated', 'switched-unfinished'].includes(ended?.outcome ?? '')
  return {
    ...(deny === undefined ? {} : {deny}),
    ...(hints.deny === undefined || hints.denyAtMs === undefined ? {} : {denySentAtMs: hints.denyAtMs}),
    ...(dupid === undefined ? {} : {dupid}),
    ...(ended ? {ended: ended.outcome} : {}),
    ...(hints.finished && ended ? {finished: new Date(ended.atMs).toISOString()} : {}),
    handedOver: hints.word === true || (closed && moved),
    ...(nodeBefore === undefined ? {} : {nodeBefore}),
  }
}

/**
 * The value that this migration, or its way back, gave the source's deny env last and has not taken off;
 * `closedByUs`: at the end of a hand-over.
 */
function ownDeny(records: readonly JournalRecord[]): {closedByUs: boolean; deny?: string} {
  let own: {closedByUs: boolean; deny?: string} = {closedByUs: false}
  for (const record of records) {
    if (record.kind === 'after' && record.effect.kind === 'lift-deny' && record.outcome === 'done')
      own = {closedByUs: false}
    // Also at its end: a process that was stopped in between sends its deny behind the lift.
    if (record.kind !== 'before' && (record.kind !== 'after' || record.outcome !== 'done')) continue
    const {effect} = record
    if (effect.kind === 'deny' || effect.kind === 'close-source' || effect.kind === 'open-source-reads')
      own = {closedByUs: effect.kind === 'close-source', deny: effect.value}
  }

  return own
}

/** What the node held before the last switch. */
function nodeBytesBefore(records: readonly JournalRecord[]): string | undefined {
  const bytes = records.flatMap((record) =>
    record.kind === 'before' && record.effect.kind === 'switch-node' ? [record.effect.before] : [],
  )
  return bytes.at(-1)
}
