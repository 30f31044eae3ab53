import {type Clock, sleep} from '../clock.js'

export interface PaceLimits {
  bytesPerSecond?: number
  rowsPerSecond?: number
}

/** So much may be saved up while nobody asks. */
const SAVED_SECONDS = 1

/**
 * Two token buckets, rows and bytes, that several scans share. What an exchange costs is known only when its reply is
 * there: so each may begin while nothing is owed, and what it cost is paid off before the next.
 */
export class Pace {
  private readonly buckets: {balance: number; perSecond: number}[]
  private lastMs: number

  constructor(
    private readonly clock: Clock,
    private readonly limits: PaceLimits,
  ) {
    const {bytesPerSecond = Infinity, rowsPerSecond = Infinity} = limits
    this.buckets = [rowsPerSecond, bytesPerSecond].map((perSecond) => ({balance: 0, perSecond}))
    this.lastMs = clock.nowMs()
  }

  /** How many rows an exchange may ask for, so that none is long in debt. */
  get mostRowsAtOnce(): number {
    return Math.max(1, Math.ceil(this.limits.rowsPerSecond ?? Infinity))
  }

  /** Resolves when nothing is owed. @throws the signal's reason */
  async ready(signal?: AbortSignal): Promise<void> {
    for (;;) {
      this.earn()
      const owedMs = Math.max(...this.buckets.map(({balance, perSecond}) => (-balance / perSecond) * 1000))
      // Others that wait may be first and owe again: look once more.
      if (owedMs <= 0) return
      await sleep(this.clock, Math.ceil(owedMs), signal)
    }
  }

  spend(rows: number, bytes: number): void {
    this.earn()
    for (const [index, cost] of [rows, bytes].entries()) {
      const bucket = this.buckets[index]!
      if (bucket.perSecond !== Infinity) bucket.balance -= cost
    }
  }

  private earn(): void {
    const nowMs = this.clock.nowMs()
    const seconds = (nowMs - this.lastMs) / 1000
    this.lastMs = nowMs
    for (const bucket of this.buckets) {
      if (bucket.perSecond === Infinity) continue
      bucket.balance = Math.min(bucket.balance + seconds * bucket.perSecond, SAVED_SECONDS * bucket.perSecond)
    }
  }
}
