import {MigratorError} from '../errors.js'
import {ExitCode} from '../exit-codes.js'
import {diskFiles, type Files} from '../files.js'
import {readJournal} from './journal.js'
import {listJournals} from './status/journal-facts.js'

/** Where a table was moved from, as this machine's newest journal of it says. */
export interface KnownSource {
  /** When that was written; ISO 8601. */
  at: string
  cluster: string
  metas: string[]
}

/**
 * For a command that was not told: whoever takes a write-deny back in the night must not have to look for addresses first.
 * @returns undefined when no journal tells
 * @throws MigratorError `usage` when the table was moved from several clusters, as nobody may guess which is meant; `journal.*`
 */
export async function readKnownSource(
  table: string,
  directory: string,
  files: Files = diskFiles,
): Promise<KnownSource | undefined> {
  const known = new Map<string, KnownSource>()
  for (const file of await listJournals(directory, files)) {
    if (file.table !== table) continue
    for (const record of await readJournal(file.path, files)) {
      if (record.kind !== 'begin' || record.sourceMetas === undefined) continue
      const {at, sourceCluster: cluster = '', sourceMetas: metas} = record
      // ISO 8601 sorts as it is.
      if (at >= (known.get(cluster)?.at ?? '')) known.set(cluster, {at, cluster, metas})
    }
  }

  if (known.size > 1) throw several(table, [...known.values()])
  return [...known.values()][0]
}

function several(table: string, sources: readonly KnownSource[]): MigratorError {
  const listed = sources.map(({cluster, metas}) => `${cluster} (${metas.join(',')})`).join(', ')
  return new MigratorError('usage', `${table} was moved from several clusters: ${listed}. Say which: --source-meta`, {
    exitCode: ExitCode.usage,
  })
}
