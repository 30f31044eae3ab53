import type {Files} from '../files.js'
import {readKnownSource} from '../migration/known-source.js'

/** Where a command keeps its journals. */
export interface JournalPlace {
  files?: Files
  journalDirectory: string
}

/**
 * Puts in the source's metas from this machine's journal of the table where neither a flag, nor the environment, nor a named cluster tells
 * them: the advice to take a migration back names the table only.
 * @param tell hears where they come from
 * @throws MigratorError as `readKnownSource`
 */
export async function withKnownSource<F extends {'source-meta'?: string; table?: string}>(
  flags: F,
  {files, journalDirectory}: JournalPlace,
  tell: (line: string) => void,
): Promise<F> {
  const {'source-meta': given, table} = flags
  if (given !== undefined || table === undefined) return flags
  const known = await readKnownSource(table, journalDirectory, files)
  if (!known) return flags
  const metas = known.metas.join(',')
  tell(`--source-meta ${metas}: ${known.cluster}, as this machine's journal of ${table} says (${known.at})`)
  return {...flags, 'source-meta': metas}
}
