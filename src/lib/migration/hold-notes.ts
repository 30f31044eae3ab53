import {join} from 'node:path'

import {diskFiles, type Files} from '../files.js'
import {machineProcesses, type Processes, type ProcessName} from '../processes.js'
import {shellQuote} from '../shell-quote.js'
import {isInstant, isPid} from '../values.js'
import {type CutoverWindow, nextOpening, type Opening} from './cutover-window.js'
import {journalFileName} from './journal.js'

/* What a migration that waits writes beside its journal, so that other commands on this machine can tell. */

/** Removing this file releases the migration. */
export const HOLD_SUFFIX = '.hold'
const WINDOW_SUFFIX = '.window'

/** That it waits for a person. */
export interface HoldNote extends ProcessName {
  /** `--hold-file`. */
  holdFile?: string
  sinceMs: number
  table: string
  targetCluster: string
}

/** That its cutover must fall into a window. */
interface WindowNote extends HoldNote {
  needMs: number
  window: CutoverWindow
}

/** A migration that waits, writes allowed. Times: wall clock, ms. */
export interface HoldFacts {
  /** When its cutover window opens, and closes; absent: it may cut over at any hour. */
  opening?: Opening
  /** What lets it cut over, each by itself; empty: only the window is waited for. */
  release: string[]
  sinceMs: number
}

interface Place {
  directory: string
  files?: Files
  processes?: Processes
  table: string
  targetCluster: string
}

export function holdPath(directory: string, table: string, targetCluster: string, suffix = HOLD_SUFFIX): string {
  return join(directory, journalFileName(table, targetCluster).replace(/\.jsonl$/, suffix))
}

export function parseHoldNote(text: string | undefined): HoldNote | undefined {
  try {
    const note = JSON.parse(text ?? '') as Partial<HoldNote>
    return isPid(note.pid) && isInstant(note.sinceMs) && typeof note.table === 'string' ? (note as HoldNote) : undefined
  } catch {
    return undefined // damaged: nobody can be told by it
  }
}

/** Says on the disk that this run waits for its window. Only for others to see: what goes wrong is no failure of the run. */
export async function noteWindow(
  {directory, files = diskFiles, processes = machineProcesses, table, targetCluster}: Place,
  wait: {needMs: number; sinceMs: number; window: CutoverWindow},
): Promise<() => Promise<void>> {
  const path = holdPath(directory, table, targetCluster, WINDOW_SUFFIX)
  const ignore = () => {}
  const note: WindowNote = {...(await processes.own()), ...wait, table, targetCluster}
  await files.replace(path, JSON.stringify(note)).catch(ignore)
  return () => files.remove(path).catch(ignore)
}

/** Whether a run of this machine waits, and for what; undefined: none does. Errors are Node's. */
export async function readHold(
  {directory, files = diskFiles, processes = machineProcesses, table, targetCluster}: Place,
  nowMs: number,
): Promise<HoldFacts | undefined> {
  const read = async (suffix: string) => {
    const note = parseHoldNote(await files.read(holdPath(directory, table, targetCluster, suffix)))
    // What a run that is gone has left behind holds nothing.
    return note && !(await processes.isDead(note)) ? note : undefined
  }

  const [held, waiting] = [await read(HOLD_SUFFIX), (await read(WINDOW_SUFFIX)) as WindowNote | undefined]
  const first = held ?? waiting
  if (!first) return undefined
  const {needMs, window} = waiting ?? {}
  const opening = window === undefined || needMs === undefined ? undefined : nextOpening(window, nowMs, needMs)
  return {
    ...(opening ? {opening} : {}),
    release: held
      ? [
          `pegasus table:migrate-release -t ${shellQuote(table)}`,
          ...(held.holdFile === undefined ? [] : [`rm ${shellQuote(held.holdFile)}`]),
        ]
      : [],
    sinceMs: first.sinceMs,
  }
}
