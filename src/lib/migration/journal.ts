import {constants, createReadStream} from 'node:fs'
import {mkdir, open} from 'node:fs/promises'
import {join} from 'node:path'
import {createInterface} from 'node:readline'

import type {Clock} from '../clock.js'
import {messageOf, MigratorError} from '../errors.js'
import type {Effect} from './effects.js'

/** Version of the format; a file with a newer one is refused, not guessed at. */
export const journalVersion = 1

/** What is written down; `at` is the wall clock in ISO 8601, `run` tells runs apart. */
export type JournalRecord = {at: string; run: string} & (
  | {ballots: Record<string, number>; kind: 'adding'}
  | {dupid: number; kind: 'duplication'}
  | {effect: Effect; kind: 'after'; outcome: 'done' | 'failed' | 'unknown'; detail?: string}
  | {effect: Effect; kind: 'before'}
  | BeginRecord
  | {kind: 'end'; outcome: string}
  | {kind: 'guard'; state: string; text: string}
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
  private constructor(
    readonly path: string,
    /** What earlier runs wrote, oldest first. */
    readonly past: readonly JournalRecord[],
    private readonly handle: Awaited<ReturnType<typeof open>>,
    private readonly clock: Clock,
    private readonly run: string,
  ) {}

  /** Opens, or makes, the journal of a table and target. @throws MigratorError `journal.*` */
  static async open(directory: string, table: string, targetCluster: string, clock: Clock, run: string): Promise<Journal> {
    const path = journalPath(directory, table, targetCluster)
    try {
      await mkdir(directory, {mode: 0o700, recursive: true})
      const past = await readJournal(path)
      const handle = await open(path, constants.O_APPEND | constants.O_CREAT | constants.O_RDWR, 0o600)
      await endTornLine(handle)
      return new Journal(path, past, handle, clock, run)
    } catch (error) {
      if (error instanceof MigratorError) throw error
      throw new MigratorError('journal.unusable', `journal ${path} cannot be used: ${messageOf(error)}`, {
        cause: error,
        next: 'Make the directory writable, or free some disk space; nothing was changed.',
      })
    }
  }

  async close(): Promise<void> {
    await this.handle.close()
  }

  /** Appends one record and waits until it is on the disk. */
  async write(record: NewRecord): Promise<void> {
    const full = {at: new Date(this.clock.wallMs()).toISOString(), run: this.run, ...record}
    try {
      await this.handle.appendFile(`${JSON.stringify(full)}\n`)
      await this.handle.sync()
    } catch (error) {
      throw new MigratorError('journal.write_failed', `journal ${this.path}: ${messageOf(error)}`, {cause: error})
    }
  }
}

/** Where the journal of a table and target is. */
export function journalPath(directory: string, table: string, targetCluster: string): string {
  return join(directory, journalFileName(table, targetCluster))
}

/** After a torn last line the next record must begin on a line of its own. */
async function endTornLine(handle: Awaited<ReturnType<typeof open>>): Promise<void> {
  const {size} = await handle.stat()
  if (size === 0) return
  const last = Buffer.alloc(1)
  await handle.read(last, 0, 1, size - 1)
  if (last[0] !== 0x0a) await handle.appendFile('\n')
}

/** Reads a journal; a line that is torn or is no JSON is left out, a missing file is an empty journal. */
export async function readJournal(path: string): Promise<JournalRecord[]> {
  const records: JournalRecord[] = []
  try {
    for await (const line of createInterface({crlfDelay: Infinity, input: createReadStream(path, 'utf8')})) {
      const record = parseLine(line)
      if (record?.kind === 'begin' && record.version > journalVersion) {
        throw new MigratorError('journal.newer', `journal ${path} was written by a newer version (${record.version})`, {
          next: 'Update the plugin: pegasus plugins update',
        })
      }

      if (record) records.push(record)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }

  return records
}

function parseLine(line: string): JournalRecord | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && 'kind' in value ? (value as JournalRecord) : undefined
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
  /** Settings that were changed and not put back: the first value seen before our changes. */
  settings: Effect[]
  /** Without a node: the operator's word was given that applications may be moved. */
  word?: boolean
}

/** Replays the journal. */
export function hintsOf(records: readonly JournalRecord[]): JournalHints {
  const hints: JournalHints = {settings: []}
  const settings = new Map<string, Effect>()
  for (const record of records) {
    if (record.kind === 'adding') {
      hints.adding = true
      hints.ballotsAtAdd = record.ballots
    }

    if (record.kind === 'duplication') {
      hints.adding = undefined
      hints.dupid = record.dupid
    }

    if (record.kind === 'word') hints.word = true
    if (record.kind === 'end' && (record.outcome === 'migrated' || record.outcome === 'rolled-back')) {
      hints.adding = undefined
      hints.closed = undefined
      hints.word = undefined
      hints.dupid = undefined
      hints.deny = undefined
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
  if (effect.kind === 'deny') {
    hints.deny = effect.value
    hints.denyAtMs = Date.parse(at)
  }

  const key = settingKey(effect)
  if (key !== undefined && !settings.has(key)) settings.set(key, effect)
}

function applyDone(effect: Effect, hints: JournalHints, settings: Map<string, Effect>): void {
  if (effect.kind === 'lift-deny') hints.deny = undefined
  if (effect.kind === 'lift-deny') hints.closed = undefined
  if (effect.kind === 'remove-duplication' && hints.dupid === effect.dupid) hints.dupid = undefined
  const key = settingKey(effect)
  if (key === undefined) return
  const first = settings.get(key)
  // Put back to what it was: nothing is left to do for it.
  if (first && 'before' in first && 'value' in effect && first.before === effect.value) settings.delete(key)
  if (first?.kind === 'set-meta-level' && effect.kind === 'set-meta-level' && first.before === effect.level) settings.delete(key)
}
