import {fingerprint} from './key-text.js'
import type {PartitionProgress, Row} from './types.js'

/** Agreeing rounds after the target was proved to have caught up: see `roundsNeeded`. */
const roundsWhenQuiet = 2
const roundsWhenBusy = 16
const roundsWhenSeenChanging = 24

/** The time during which neither side's row has changed. */
export interface Window {
  /** Whether writes may have come and gone between two rounds without being seen. */
  busy: boolean
  /** Everything that was read of the source when the window began has a decree up to this one. */
  fenceDecree?: number
  lastCommittedDecree?: number
  /** Rounds in which both sides read as before although the target had everything up to the fence. */
  settledRounds: number
  source: string
  target: string
}

/** What the rounds have shown of one row. */
export interface Observed {
  /** Whether the row has changed at the source since it is being watched. */
  changedAtSource: boolean
  window?: Window
}

/** Takes a round's readings into the row's window. @returns whether the difference is there for good */
export function observe(row: Observed, source?: Row, target?: Row, progress?: PartitionProgress): boolean {
  const [sourcePrint, targetPrint] = [fingerprint(source), fingerprint(target)]
  const {window} = row
  if (!window || window.source !== sourcePrint || window.target !== targetPrint) {
    if (window && window.source !== sourcePrint) row.changedAtSource = true
    const lastCommittedDecree = progress?.committedDecree
    row.window = {busy: false, lastCommittedDecree, settledRounds: 0, source: sourcePrint, target: targetPrint}
    return false
  }

  if (!progress) return false
  // The progress was read after the window's first reading of the source, and before this round's readings.
  window.fenceDecree ??= progress.committedDecree
  if (progress.committedDecree - (window.lastCommittedDecree ?? -Infinity) > 1) window.busy = true
  window.lastCommittedDecree = progress.committedDecree
  // A new primary ships again from what meta has stored, so what was shipped may be taken back for a while.
  window.settledRounds = progress.shippedDecree >= window.fenceDecree ? window.settledRounds + 1 : 0
  return window.settledRounds >= roundsNeeded(row, window)
}

/**
 * How many agreeing rounds prove a difference. A key that is put and removed in turn can read the same at the source
 * in two rounds, and old at the target, although it was written in between. That takes two decrees, so where the
 * partition's decree moved by one at most the rows really stood still; elsewhere chance must be ruled out.
 */
function roundsNeeded(row: Observed, window: Window): number {
  if (row.changedAtSource) return roundsWhenSeenChanging
  return window.busy ? roundsWhenBusy : roundsWhenQuiet
}
