import {join} from 'node:path'

import {MigratorError} from '../errors.js'
import {ExitCode} from '../exit-codes.js'
import {diskFiles, type Files} from '../files.js'
import type {MigrationContext} from './context.js'
import {type BeginRecord, hintsOf, journalFileName, type JournalRecord, readJournal} from './journal.js'
import {shellQuote} from '../shell-quote.js'

/**
 * A run that goes on from an earlier one must want the same: another target, ZooKeeper node or, while writes are denied,
 * deny mode is said and refused. Limits and display may differ.
 * @throws MigratorError `plan.differs`
 */
export async function refuseOtherPlan(
  {request}: MigrationContext,
  past: readonly JournalRecord[],
  place: {directory: string; files?: Files},
): Promise<void> {
  const {denyMode, metaproxy, table, targetCluster} = request
  const before = unfinished(past)
  if (before) {
    const hints = hintsOf(past)
    const differences = [
      before.root === metaproxy?.root ? '' : `the root was ${before.root ?? 'not given'}`,
      before.metaproxyHosts === metaproxy?.hosts ? '' : `ZooKeeper was ${before.metaproxyHosts ?? 'not given'}`,
      hints.deny === undefined || before.denyMode === denyMode ? '' : `the deny mode was ${before.denyMode}`,
    ].filter((text) => text !== '')
    if (differences.length > 0) throw differs(table, differences.join(', '), targetCluster)
  }

  const other = await otherTarget(table, targetCluster, place)
  if (other !== undefined) throw differs(table, `the target was ${other}`, other)
}

/** What an earlier run that is not finished was asked for. */
function unfinished(records: readonly JournalRecord[]): BeginRecord | undefined {
  const {adding, deny, dupid} = hintsOf(records)
  if (adding === undefined && deny === undefined && dupid === undefined) return undefined
  // A rollback's own record says less, and asks for nothing.
  return records.findLast((record) => record.kind === 'begin' && record.maxWriteDenyMs !== undefined) as
    BeginRecord | undefined
}

/** Target of an unfinished migration of the same table to somewhere else. */
async function otherTarget(
  table: string,
  targetCluster: string,
  {directory, files = diskFiles}: {directory: string; files?: Files},
): Promise<string | undefined> {
  const own = journalFileName(table, targetCluster)
  const begin = own.slice(0, own.indexOf('@') + 1)
  for (const name of (await files.list(directory)).sort()) {
    if (name === own || !name.startsWith(begin) || !name.endsWith('.jsonl')) continue
    const found = unfinished(await readJournal(join(directory, name), files))
    if (found) return found.targetCluster
  }

  return undefined
}

function differs(table: string, difference: string, targetCluster: string): MigratorError {
  return new MigratorError(
    'plan.differs',
    `an earlier migration of ${table} to ${targetCluster} is not finished, and it was asked for something else: ${difference}`,
    {
      exitCode: ExitCode.refused,
      next: `Finish it with its own flags, or take it back first: pegasus table:migrate-rollback -t ${shellQuote(table)} -c ${shellQuote(targetCluster)}`,
    },
  )
}
