import {join} from 'node:path'

import {messageOf, MigratorError} from '../../errors.js'
import type {Files} from '../../files.js'
import {hintsOf, type JournalRecord, readJournal} from '../journal.js'
import type {JournalFacts, Unread} from './facts.js'

const SUFFIX = '.jsonl'

/** A journal's file: its table and target are in its name (`journalFileName`). */
export interface JournalFile {
  path: string
  table: string
  targetCluster: string
}

/** Every journal in the directory; none when there is no directory. @throws MigratorError `journal.unusable` */
export async function listJournals(directory: string, files: Files): Promise<JournalFile[]> {
  let names: string[]
  try {
    names = await files.list(directory)
  } catch (error) {
    throw new MigratorError('journal.unusable', `the journals in ${directory} cannot be listed: ${messageOf(error)}`, {
      cause: error,
    })
  }

  return names.sort().flatMap((name) => {
    const file = parseName(name)
    return file ? [{...file, path: join(directory, name)}] : []
  })
}

function parseName(name: string): Omit<JournalFile, 'path'> | undefined {
  const parts = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length).split('@') : []
  if (parts.length !== 2) return undefined
  try {
    return {table: decodeURIComponent(parts[0]!), targetCluster: decodeURIComponent(parts[1]!)}
  } catch {
    return undefined // not a name of ours
  }
}

/** What one journal says; undefined when no run ever began to change anything. @throws MigratorError `journal.*` */
export async function readJournalFacts(file: JournalFile, files: Files): Promise<JournalFacts | undefined> {
  try {
    return summarize(file, await readJournal(file.path, files))
  } catch (error) {
    if (error instanceof MigratorError) throw error
    throw new MigratorError('journal.unusable', `journal ${file.path} cannot be read: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

/** Replays the records of a journal; only runs that began to change something count. */
export function summarize(file: JournalFile, records: readonly JournalRecord[]): JournalFacts | undefined {
  const begin = records.findLast((record) => record.kind === 'begin')
  if (!begin) return undefined
  const own = records.filter(({run}) => run === begin.run)
  const end = own.findLast((record) => record.kind === 'end')
  const phase = own.findLast((record) => record.kind === 'phase')
  const {maxWriteDenyMs, metaproxyHosts, root, sourceCluster, targetMetas, thresholdMutations} = begin
  return {
    dupids: [...new Set(records.flatMap((record) => (record.kind === 'duplication' ? [record.dupid] : [])))],
    ...(end ? {ended: {atMs: Date.parse(end.at), outcome: end.outcome}} : {}),
    ...guardDid(records.slice(records.indexOf(begin))),
    hints: hintsOf(records),
    lastAtMs: Date.parse(own.at(-1)!.at),
    ...(maxWriteDenyMs === undefined ? {} : {maxWriteDenyMs}),
    ...(metaproxyHosts === undefined ? {} : {metaproxyHosts}),
    path: file.path,
    ...(phase ? {phase: {atMs: Date.parse(phase.at), id: phase.phase, state: phase.state}} : {}),
    proxies: begin.proxies ?? [],
    ...(root === undefined ? {} : {root}),
    run: begin.run,
    ...(sourceCluster === undefined ? {} : {sourceCluster}),
    startedAtMs: Date.parse(begin.at),
    switched: wasSwitched(records),
    targetCluster: file.targetCluster,
    ...(targetMetas === undefined ? {} : {targetMetas}),
    ...(thresholdMutations === undefined ? {} : {thresholdMutations}),
  }
}

/** A guard that has ended leaves no file, only its words here. */
function guardDid(records: readonly JournalRecord[]): Pick<JournalFacts, 'guardDid'> {
  const record = records.findLast(({kind}) => kind === 'guard')
  const acted = records.findLast((other) => other.kind === 'guard' && ['lifted', 'switched'].includes(other.state))
  if (record?.kind !== 'guard' || record.state !== 'gone' || acted?.kind !== 'guard') return {}
  const pid = Number(acted.run.replace('guard-', ''))
  return {guardDid: {atMs: Date.parse(acted.at), pid, state: acted.state as 'lifted' | 'switched', text: acted.text}}
}

/** Whether the last switch that was written down as done was not followed by a roll-back. */
function wasSwitched(records: readonly JournalRecord[]): boolean {
  let switched = false
  for (const record of records) {
    if (record.kind === 'after' && record.effect.kind === 'switch-node' && record.outcome === 'done') switched = true
    if (record.kind === 'end' && record.outcome === 'rolled-back') switched = false
  }

  return switched
}

/** Which of a table's journals counts. */
export interface JournalChoice {
  /** Remotes of the table's duplications. */
  remotes: string[]
  /** Absent: the source could not be asked. */
  sourceCluster?: string
  /** What the operator named with `-c`. */
  targetCluster?: string
}

/**
 * Reads a table's journals of migrations away from this cluster, and chooses: the named target's, else that of a duplication
 * that is there, else the latest.
 */
export async function chooseJournal(
  journals: readonly JournalFile[],
  {remotes, sourceCluster, targetCluster}: JournalChoice,
  files: Files,
): Promise<{journal?: JournalFacts; unread: Unread[]}> {
  const unread: Unread[] = []
  const read = await Promise.all(
    journals
      .filter((file) =>
        targetCluster === undefined ? file.targetCluster !== sourceCluster : file.targetCluster === targetCluster,
      )
      .map(async (file) => {
        try {
          return await readJournalFacts(file, files)
        } catch (error) {
          if (!(error instanceof MigratorError)) throw error
          unread.push({code: error.code, message: error.message, what: 'journal'})
          return undefined
        }
      }),
  )
  const known = read
    .filter((facts) => facts !== undefined)
    .filter(
      (facts) =>
        sourceCluster === undefined || facts.sourceCluster === undefined || facts.sourceCluster === sourceCluster,
    )
    .sort((a, b) => b.lastAtMs - a.lastAtMs)
  const journal = known.find((facts) => remotes.includes(facts.targetCluster)) ?? known[0]
  return {...(journal ? {journal} : {}), unread}
}
