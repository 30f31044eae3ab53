import {join, resolve} from 'node:path'

import type {Clock} from '../clock.js'
import {messageOf, MigratorError} from '../errors.js'
import {ExitCode} from '../exit-codes.js'
import {diskFiles, type Files} from '../files.js'
import {machineProcesses, type Processes} from '../processes.js'
import {shellQuote} from '../shell-quote.js'
import {HOLD_SUFFIX, type HoldNote, holdPath, parseHoldNote} from './hold-notes.js'
import {journalFileName} from './journal.js'

/* How a migration that stays caught up is told to cut over (docs/hold.md). */

/** A person's key; the terminal's business. */
export interface ReleaseKey {
  /** What to press, e.g. `press c`. */
  hint: string
  /** Resolves when it was pressed. */
  pressed(signal: AbortSignal): Promise<void>
}

export interface HoldDeskOptions {
  clock: Clock
  directory: string
  files?: Files
  /** `--hold-file`: held for as long as it is there. */
  holdFile?: string
  key?: ReleaseKey
  processes?: Processes
  table: string
  targetCluster: string
}

/** Where one run is held and released. */
export class HoldDesk {
  private isPressed = false
  private readonly files: Files
  private readonly notePath: string

  constructor(private readonly options: HoldDeskOptions) {
    this.files = options.files ?? diskFiles
    this.notePath = holdPath(options.directory, options.table, options.targetCluster)
  }

  /** What a person can do to have it go on. */
  get ways(): string[] {
    const {holdFile, key, table} = this.options
    return [
      ...(key ? [key.hint] : []),
      ...(holdFile === undefined ? [] : [`remove ${holdFile}`]),
      `pegasus table:migrate-release -t ${shellQuote(table)}`,
    ]
  }

  /** Makes the file that holds the run, so that it is there to be removed. @throws MigratorError `hold.file` */
  async prepare(): Promise<void> {
    const {holdFile, table} = this.options
    if (holdFile === undefined) return
    try {
      await this.files.createExclusively(
        holdFile,
        `The migration of ${table} stays caught up while this file is here.\n`,
      )
    } catch (error) {
      throw new MigratorError('hold.file', `--hold-file ${holdFile} cannot be made: ${messageOf(error)}`, {
        cause: error,
        exitCode: ExitCode.refused,
        next: 'Name a file in a directory that exists and can be written. Nothing was changed.',
      })
    }
  }

  /** Begins to hold. @param signal ends the wait for a key */
  async open(signal: AbortSignal): Promise<void> {
    const {clock, holdFile, key, processes = machineProcesses, table, targetCluster} = this.options
    const note: HoldNote = {
      ...(await processes.own()),
      ...(holdFile === undefined ? {} : {holdFile: resolve(holdFile)}),
      sinceMs: clock.wallMs(),
      table,
      targetCluster,
    }
    await this.files.replace(this.notePath, JSON.stringify(note))
    // Without the key there are other ways; its failure is no failure of the run.
    key?.pressed(signal).then(
      () => {
        this.isPressed = true
      },
      () => {},
    )
  }

  /** Whether somebody has told it to go on, and how; undefined: not yet. Errors are Node's. */
  async releasedBy(): Promise<string | undefined> {
    const {holdFile} = this.options
    if (this.isPressed) return 'a key'
    if (holdFile !== undefined && (await this.files.read(holdFile)) === undefined) return `the end of ${holdFile}`
    return (await this.files.read(this.notePath)) === undefined ? 'table:migrate-release' : undefined
  }

  async close(): Promise<void> {
    await this.files.remove(this.notePath)
  }
}

export interface Released {
  /** Wall clock, ms. */
  heldSinceMs: number
  table: string
  targetCluster: string
}

/**
 * Tells every migration of a table that is held on this machine to go on.
 * @throws MigratorError `release.none` when there is none, or only of processes that are gone
 */
export async function releaseHeld(
  table: string,
  {
    directory,
    files = diskFiles,
    processes = machineProcesses,
  }: {directory: string; files?: Files; processes?: Pick<Processes, 'isDead'>},
): Promise<Released[]> {
  const name = journalFileName(table, '')
  const begin = name.slice(0, name.indexOf('@') + 1)
  const released: Released[] = []
  const gone: number[] = []
  for (const file of await files.list(directory)) {
    if (!file.startsWith(begin) || !file.endsWith(HOLD_SUFFIX)) continue
    const path = join(directory, file)
    const note = parseHoldNote(await files.read(path))
    if (!note) continue
    if (await processes.isDead(note)) {
      gone.push(note.pid)
      continue
    }

    await files.remove(path)
    released.push({heldSinceMs: note.sinceMs, table: note.table, targetCluster: note.targetCluster})
  }

  if (released.length > 0) return released
  const because = gone.length > 0 ? `; the one that was (process ${gone.join(', ')}) is gone` : ''
  throw new MigratorError('release.none', `no migration of ${table} is held on this machine${because}`, {
    exitCode: ExitCode.refused,
    next: `See where it stands: pegasus table:migrate-status -t ${shellQuote(table)}. A migration is held once it has caught up, and is released on the machine that it runs on.`,
  })
}
