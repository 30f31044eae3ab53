import type {Clock} from '../../clock.js'
import type {DifferenceKind, Row} from './types.js'

/** 2016-01-01 00:00:00 UTC in seconds since 1970, where Pegasus's expiry begins (protocol.md §4.11). */
const pegasusEpochSeconds = 1_451_606_400

/** Each side leaves expired rows out by its own clock, so one-sided rows this near to their expiry say nothing. */
const expiryMarginSeconds = 60

export type Judgement = 'equal' | 'expiring' | DifferenceKind

/** Compares what two sides hold under one key; at least one of them, or neither when the key is gone by now. */
export type Judge = (source: Row | undefined, target: Row | undefined) => Judgement

/** @param toleranceSeconds by how much expiries may differ; above 0 a row may also have one on one side only */
export function judgeWith(clock: Clock, toleranceSeconds: number): Judge {
  const marginSeconds = Math.max(expiryMarginSeconds, toleranceSeconds)
  const expiresSoon = (row: Row) =>
    row.expireTsSeconds !== 0 && row.expireTsSeconds <= clock.wallMs() / 1000 - pegasusEpochSeconds + marginSeconds

  const sameExpiry = (a: number, b: number) =>
    a === b || (toleranceSeconds > 0 && (a === 0 || b === 0 || Math.abs(a - b) <= toleranceSeconds))

  return (source, target) => {
    if (source && target) {
      if (!source.value.equals(target.value)) return 'value'
      return sameExpiry(source.expireTsSeconds, target.expireTsSeconds) ? 'equal' : 'expiry'
    }

    const onlyRow = source ?? target
    if (!onlyRow) return 'equal'
    if (expiresSoon(onlyRow)) return 'expiring'
    return source ? 'missing-on-target' : 'missing-on-source'
  }
}
