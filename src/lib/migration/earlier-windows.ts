import {endsMigration, type JournalRecord} from './journal.js'
import type {WriteDenyWindow} from './result.js'

/** Write-denies that earlier runs of the same migration set and took back, as the journal has them, oldest first. */
export function windowsOfEarlierRuns(past: readonly JournalRecord[]): WriteDenyWindow[] {
  let windows: WriteDenyWindow[] = []
  let setAtMs: number | undefined
  for (const record of past) {
    if (endsMigration(record)) {
      windows = []
      setAtMs = undefined
    }

    if (record.kind !== 'after' || record.outcome !== 'done') continue
    const atMs = Date.parse(record.at)
    if (record.effect.kind === 'deny') setAtMs ??= atMs
    if (record.effect.kind === 'lift-deny' && setAtMs !== undefined) {
      windows.push({liftedAtMs: atMs, setAtMs})
      setAtMs = undefined
    }
  }

  return windows
}
