import type {WindowPrediction} from '../preflight/prediction.js'

/** How long writes would be denied, from the first refused write until they work again on the target. */
export interface PredictedWindow {
  maxMs: number
  minMs: number
  /** One sentence per part of the sum. */
  parts: string[]
  /** What `--max-write-deny` must allow, taking the deny back included, ms. */
  sumMs: number
}

export function pendingWindow({drainMs, parts, spreadMs, sumMs, switchMs}: WindowPrediction): PredictedWindow {
  return {maxMs: spreadMs + drainMs.max + switchMs, minMs: drainMs.min, parts, sumMs}
}
