import {join} from 'node:path'

import type {Clock} from '../clock.js'
import {messageOf, MigratorError} from '../errors.js'
import {type AppendFile, diskFiles, type Files} from '../files.js'
import type {Effect} from './effects.js'
import {isRecord} from './journal-record.js'
import {BATCH_BYTES, ownValues, SYNC_INTERVAL} from './settings.js'
import type {TickPhase} from './tick-phases.js'

/** Version of the format; a file with a newer one is refused, not guessed at. */
export const journalVersion = 1

/** What is written down; `at` is the wall clock in ISO 8601, `run` tells runs apart. */
export type JournalRecord = {at: string; run: string} & (
  | {ballots: Record<string, number>; kind: 'adding'}
  | {kind: 'not-added'}
  /** Rows of both sides were compared; which server shipped each partition then. */
  | {kind: 'compared'; shippers: Record<string, string>}
  | {dupid: number; kind: 'duplication'}
  /** All rows must be compared before the table is switched. */
  | {kind: 'doubt'; reason: string}
  | {effect: Effect; kind: 'after'; outcome: 'done' | 'failed' | 'unknown'; detail?: string}
  | {effect: Effect; kind: 'before'}
  | BeginRecord
  | {kind: 'end'; outcome: string}
  | {kind: 'ticks'; servers: Record<string, TickPhase>}
  | {kind: 'guard'; state: string; text: string}
  /** An operator's executable was run. */
  | {kind: 'hook'; moment: string; ok: boolean}
  | {kind: 'word'}
  | {kind: 'phase'; phase: string; state: 'done' | 'failed' | 'started'}
)

/** What a run was asked for: tells a resume what differs, and `table:migrate-status` where to look. */
export interface BeginRecord {
  denyMode: string
  kind: 'begin'
  maxWriteDenyMs?: number
  /** ZooKeeper of metaproxy; only with `root`. */
  metaproxyHosts?: string
  proxies?: string[]
  root?: string
  /** Name of the cluster that the table was moved from. */
  sourceCluster?: string
  /** Its metas, as they were given. */
  sourceMetas?: string[]
  table: string
  targetCluster: string
  targetMetas?: string[]
  thresholdMutations?: number
  version: number
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never
export type NewRecord = DistributiveOmit<JournalRecord, 'at' | 'run'>

/** File name for a table and target: nothing of them can leave the directory or clash with another pair. */
export function journalFileName(table: string, targetCluster: string): string {
  return `${encodeURIComponent(table).replaceAll('.', '%2E')}@${encodeURIComponent(targetCluster).replaceAll('.', '%2E')}.jsonl`
}

/**
 * Append-only JSON Lines, written with fsync. It is a hint: what was intended and what was there before. What is
 * true is read from the clusters (product.md, "Observe, then act").
 */
export class Journal {
  /** One record at a time, in the order in which they were given. */
  private turn: Promise<unknown> = Promise.resolve()

  private constructor(
    readonly path: string,
    /** What earlier runs wrote, oldest first. */
    readonly past: readonly JournalRecord[],
    private readonly file: AppendFile,
    private readonly clock: Clock,
    private readonly run: string,
  ) {}

  /** Opens, or makes, the journal of a table and target. @throws MigratorError `journal.*` */
  static async open(
    directory: string,
    table: string,
    targetCluster: string,
    clock: Clock,
    run: string,
    files: Files = diskFiles,
  ): Promise<Journal> {
    const path = journalPath(directory, table, targetCluster)
    try {
      await files.makeDirectory(directory)
      const text = (await files.read(path)) ?? ''
      const past = parseJournal(text, path)
      const file = await files.openForAppend(path)
      // After a torn last line the next record must begin on a line of its own.
      if (text !== '' && !text.endsWith('\n')) await file.append('\n')
      return new Journal(path, past, file, clock, run)
    } catch (error) {
      if (error instanceof MigratorError) throw error
      throw new MigratorError('journal.unusable', `journal ${path} cannot be used: ${messageOf(error)}`, {
        cause: error,
        next: 'Make the directory writable, or free some disk space; nothing was changed.',
      })
    }
  }

  async close(): Promise<void> {
    await this.file.close()
  }

  /** Appends one record and waits until it is on the disk. */
  async write(record: NewRecord): Promise<void> {
    const full = {at: new Date(this.clock.wallMs()).toISOString(), run: this.run, ...record}
    const mine = this.turn.then(() => this.file.append(`${JSON.stringify(full)}\n`))
    this.turn = mine.catch(() => {}) // told to whoever wrote it
    try {
      await mine
    } catch (error) {
      throw new MigratorError(
        'journal.write_failed',
        `journal ${this.path} cannot be written to: ${messageOf(error)}`,
        {
          cause: error,
        },
      )
    }
  }
}

/** Where the journal of a table and target is. */
export function journalPath(directory: string, table: string, targetCluster: string): string {
  return join(directory, journalFileName(table, targetCluster))
}

/** Reads a journal; a missing file is an empty one. */
export async function readJournal(path: string, files: Files = diskFiles): Promise<JournalRecord[]> {
  return parseJournal((await files.read(path)) ?? '', path)
}

/** A line that is torn or is no record is left out. @throws MigratorError `journal.newer` */
function parseJournal(text: string, path: string): JournalRecord[] {
  const records: JournalRecord[] = []
  for (const line of text.split('\n')) {
    const value = parseLine(line)
    const {kind, version} = (value ?? {}) as Partial<BeginRecord>
    if (kind === 'begin' && Number(version) > journalVersion) {
      throw new MigratorError('journal.newer', `journal ${path} was written by a newer version (${version})`, {
        next: 'Update the plugin: pegasus plugins update',
      })
    }

    if (isRecord(value)) records.push(value)
  }

  return records
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    // A torn last line: the machine died while it was written, so the effect after it never began.
    return undefined
  }
}

/** What earlier runs left behind, as far as the journal knows. */
export interface JournalHints {
  /** A duplication was about to be added and its dupid was never written down: its answer was lost. */
  adding?: boolean
  /** Primaries' ballots by partition when our duplication was added. */
  ballotsAtAdd?: Record<string, number>
  /** The source was told to refuse everyone: the hand-over is done. */
  closed?: boolean
  deny?: string
  /** When the deny was sent; wall clock, ms. */
  denyAtMs?: number
  dupid?: number
  /** The last migration that began here was finished, and not taken back since. */
  finished?: boolean
  /** A return is under way: it denies writes on both sides for a while. */
  returning?: boolean
  /** Settings that were changed and not put back: the first value seen before our changes. */
  settings: Effect[]
  /** Why rows may be missing on the target, or older there, although all decrees say that they were shipped; since they were last compared. */
  inDoubt?: string
  /** Which server shipped each partition when rows were last compared. */
  shippers?: Record<string, string>
  /** Syncs of source servers that were seen, by address; wall clock, ms. */
  ticks?: Record<string, TickPhase>
  /** Without a node: the operator's word was given that applications may be moved. */
  word?: boolean
}

const CLOSED = 'reconfig*all'
/** Outcomes after which another migration begins. */
const ends: ReadonlySet<string> = new Set(['handed-over', 'migrated', 'rolled-back'])

/** Whether a migration is over with this record, however many runs it took. */
export function endsMigration(record: JournalRecord): record is Extract<JournalRecord, {kind: 'end'}> {
  return record.kind === 'end' && ends.has(record.outcome)
}

/** Replays the journal. */
export function hintsOf(records: readonly JournalRecord[]): JournalHints {
  const hints: JournalHints = {settings: []}
  const settings = new Map<string, Effect>()
  for (const record of records) {
    if (record.kind === 'adding') {
      delete hints.finished
      hints.adding = true
      hints.ballotsAtAdd = record.ballots
    }

    if (record.kind === 'not-added') hints.adding = undefined
    if (record.kind === 'duplication') {
      hints.adding = undefined
      hints.dupid = record.dupid
      hints.inDoubt = undefined
      hints.shippers = undefined
    }

    if (record.kind === 'phase' && record.phase === 'verify' && record.state === 'done') {
      // What the copy looked like is known from here on; where it was in doubt, all rows were compared.
      hints.ballotsAtAdd = undefined
      hints.inDoubt = undefined
    }

    if (record.kind === 'ticks') hints.ticks = {...hints.ticks, ...record.servers}
    if (record.kind === 'compared') hints.shippers = record.shippers
    if (record.kind === 'doubt') hints.inDoubt = record.reason
    if (record.kind === 'word') hints.word = true
    if (endsMigration(record)) {
      if (record.outcome === 'rolled-back') delete hints.finished
      else hints.finished = true
      hints.adding = undefined
      hints.closed = undefined
      hints.word = undefined
      hints.dupid = undefined
      hints.deny = undefined
      hints.returning = undefined
    }

    // An effect that was begun may have happened even when its end was never written.
    if (record.kind === 'before') applyIntent(record, hints, settings)
    if (record.kind === 'after' && record.outcome === 'done') applyDone(record.effect, hints, settings)
  }

  return {...hints, settings: [...settings.values()]}
}

function settingKey(effect: Effect): string | undefined {
  if (effect.kind === 'set-server-config') return `${effect.side} ${effect.server} ${effect.name}`
  if (effect.kind === 'set-meta-level') return `${effect.side} meta level`
  return undefined
}

function applyIntent(record: {at: string; effect: Effect}, hints: JournalHints, settings: Map<string, Effect>): void {
  const {at, effect} = record
  if (effect.kind === 'close-source') hints.closed = true
  if (effect.kind === 'deny' || effect.kind === 'open-source-reads') {
    hints.deny = effect.value
    hints.denyAtMs = Date.parse(at)
    hints.returning = effect.kind === 'open-source-reads' ? true : undefined
  }

  if (effect.kind === 'switch-node-back') {
    // The source serves from here on, and refuses everyone until the deny is lifted. What it refuses with without a look at its rows:
    hints.deny ??= CLOSED
    hints.denyAtMs = Date.parse(at)
    hints.closed = undefined
    hints.returning = true
  }

  if (effect.kind === 'set-server-config' && effect.name === BATCH_BYTES && hints.dupid !== undefined) {
    hints.inDoubt = `${BATCH_BYTES} was not 0 on ${effect.server} for a while`
  }

  // Another interval, and another phase ever after.
  if (effect.kind === 'set-server-config' && effect.name === SYNC_INTERVAL) delete hints.ticks?.[effect.server]
  const key = settingKey(effect)
  if (key !== undefined && !settings.has(key) && !isPutBack(effect)) settings.set(key, effect)
}

/** What is set to anything but a migration's own value was put back: what another machine's run had set may be in no record here. */
function isPutBack(effect: Effect): boolean {
  if (effect.kind !== 'set-server-config') return false
  const own = ownValues.get(effect.name)
  return own !== undefined && effect.value !== own
}

function applyDone(effect: Effect, hints: JournalHints, settings: Map<string, Effect>): void {
  // Its guard may have lifted it meanwhile: a process that was stopped sends its deny when it wakes up.
  if (effect.kind === 'deny') hints.deny = effect.value
  if (effect.kind === 'lift-deny') hints.deny = undefined
  if (effect.kind === 'lift-deny') hints.closed = undefined
  // A return that was given up: the source refuses everyone, as before it.
  if (effect.kind === 'close-source' && hints.returning) hints.deny = undefined
  if (effect.kind === 'close-source' || effect.kind === 'lift-deny') hints.returning = undefined
  if (effect.kind === 'switch-node-back') hints.finished = undefined
  if (effect.kind === 'remove-duplication' && hints.dupid === effect.dupid) hints.dupid = undefined
  const key = settingKey(effect)
  if (key === undefined) return
  const first = settings.get(key)
  // Put back to what it was: nothing is left to do for it.
  if (first && 'before' in first && 'value' in effect && first.before === effect.value) settings.delete(key)
  if (first?.kind === 'set-meta-level' && effect.kind === 'set-meta-level' && first.before === effect.level)
    settings.delete(key)
}
