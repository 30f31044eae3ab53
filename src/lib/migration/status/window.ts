import {SYNC_INTERVAL} from '../settings.js'
import {LOWERED_SYNC_MS, predictWindow, type WindowPrediction} from '../preflight/prediction.js'
import type {TimerFacts} from './read-servers.js'

/** By the servers' timers as they are, and as a fast cutover would set them. */
export interface PredictionPair {
  /** Absent where it would be no shorter, or cannot be. */
  fast?: WindowPrediction
  plain: WindowPrediction
}

/** How long writes would be denied, from the first refused write until they work again on the target. */
export interface PredictedWindow {
  /** With the config sync interval lowered before the deny, which the migration does by itself where it can. */
  fast?: {maxMs: number; minMs: number; sumMs: number}
  maxMs: number
  minMs: number
  /** One sentence per part of the sum. */
  parts: string[]
  /** What `--max-write-deny` must allow, taking the deny back included, ms. */
  sumMs: number
}

/** @param servers those that host the table */
export function predict(isMaster: boolean, servers: TimerFacts[]): PredictionPair {
  // On 2.4 the interval is no flag: it cannot be changed at run time (protocol.md §13).
  const isFlag = servers.every(({config}) => config.get(SYNC_INTERVAL) !== undefined)
  const generation = isMaster ? 'master' : isFlag ? '2.5' : '2.4'
  const plain = predictWindow({source: {generation, servers}})
  const fast = predictWindow({source: {generation, servers}}, LOWERED_SYNC_MS)
  return {...(fast.sumMs < plain.sumMs ? {fast} : {}), plain}
}

export function windowOf({fast, plain}: PredictionPair): PredictedWindow {
  return {...(fast ? {fast: figuresOf(fast)} : {}), ...figuresOf(plain), parts: plain.parts}
}

function figuresOf({drainMs, spreadMs, sumMs, switchMs}: WindowPrediction) {
  return {maxMs: spreadMs + drainMs.max + switchMs, minMs: drainMs.min, sumMs}
}
