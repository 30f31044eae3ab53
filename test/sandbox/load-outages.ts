/** A time in which writes of at least one partition failed, from the first failure to the first success of the last of them. */
export interface Outage {
  /** Undefined while it lasts. */
  endMs: number | undefined
  failedWrites: number
  partitions: number[]
  startMs: number
}

/** Watches when writes of which partition work. Times are on the clock's `nowMs` scale. */
export class OutageWatch {
  readonly outages: Outage[] = []
  private readonly failing = new Set<number>()
  private readonly gapMs = new Map<number, number>()
  private readonly lastSuccessMs = new Map<number, number>()

  constructor(private readonly startMs: number) {}

  /** @param sinceMs when it was refused, or when the write that was never answered was sent */
  failed(partitionIndex: number, sinceMs: number): void {
    let outage = this.outages.at(-1)
    if (!outage || outage.endMs !== undefined) {
      outage = {endMs: undefined, failedWrites: 0, partitions: [], startMs: sinceMs}
      this.outages.push(outage)
    }

    outage.failedWrites++
    outage.startMs = Math.min(outage.startMs, sinceMs)
    if (!outage.partitions.includes(partitionIndex)) outage.partitions.push(partitionIndex)
    this.failing.add(partitionIndex)
  }

  succeeded(partitionIndex: number, atMs: number): void {
    const sinceMs = this.lastSuccessMs.get(partitionIndex) ?? this.startMs
    this.gapMs.set(partitionIndex, Math.max(this.gapMs.get(partitionIndex) ?? 0, atMs - sinceMs))
    this.lastSuccessMs.set(partitionIndex, atMs)
    if (this.failing.delete(partitionIndex) && this.failing.size === 0) this.outages.at(-1)!.endMs = atMs
  }

  /** The longest time without a success of each partition that was ever written, the time up to `nowMs` included. */
  gaps(nowMs: number): Map<number, number> {
    const partitions = new Set([...this.failing, ...this.gapMs.keys()])
    return new Map(
      [...partitions]
        .sort((a, b) => a - b)
        .map((index) => {
          const openMs = nowMs - (this.lastSuccessMs.get(index) ?? this.startMs)
          return [index, Math.max(this.gapMs.get(index) ?? 0, openMs)]
        }),
    )
  }
}
