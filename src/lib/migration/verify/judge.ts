import type {Clock} from '../../clock.js'
import {PEGASUS_EPOCH_SECONDS} from '../../pegasus/rows.js'
import type {DifferenceKind, Row} from './types.js'

/** Each side leaves expired rows out by its own clock, so one-sided rows this near to their expiry say nothing. */
const expiryMarginSeconds = 60

export type Judgement = 'equal' | 'expiring' | DifferenceKind

/** Compares what two sides hold under one key. Expiries as in `Row`. */
export interface Judge {
  /** Both have it. */
  both(haveEqualValues: boolean, sourceExpiry: number, targetExpiry: number): Judgement
  /** Only one has it. */
  only(side: 'source' | 'target', expiry: number): Judgement
}

/** @param toleranceSeconds by how much expiries may differ; above 0 a row may also have one on one side only */
export function judgeWith(clock: Clock, toleranceSeconds: number): Judge {
  const expiresWithin = (expiry: number, seconds: number) =>
    expiry !== 0 && expiry <= clock.wallMs() / 1000 - PEGASUS_EPOCH_SECONDS + seconds

  const sameExpiry = (a: number, b: number) =>
    a === b || (toleranceSeconds > 0 && (a === 0 || b === 0 || Math.abs(a - b) <= toleranceSeconds))

  return {
    both(haveEqualValues, sourceExpiry, targetExpiry) {
      if (!haveEqualValues) return 'value'
      return sameExpiry(sourceExpiry, targetExpiry) ? 'equal' : 'expiry'
    },
    only(side, expiry) {
      // The target applies a write later than the source: what has an expiry by default lives longer there, and never shorter.
      const marginSeconds = side === 'target' ? Math.max(expiryMarginSeconds, toleranceSeconds) : expiryMarginSeconds
      if (expiresWithin(expiry, marginSeconds)) return 'expiring'
      return side === 'source' ? 'missing-on-target' : 'missing-on-source'
    },
  }
}

/** The same of two rows, or of none when the key is gone by now. */
export function judgeRows(judge: Judge, source: Row | undefined, target: Row | undefined): Judgement {
  if (source && target)
    return judge.both(source.value.equals(target.value), source.expireTsSeconds, target.expireTsSeconds)
  if (source) return judge.only('source', source.expireTsSeconds)
  return target ? judge.only('target', target.expireTsSeconds) : 'equal'
}
