import {type Clock, sleep} from '../../clock.js'
import {mayPass} from '../wait.js'
import {type Judge, judgeRows} from './judge.js'
import {observe, type Observed} from './settling.js'
import type {Tally} from './tally.js'
import type {PartitionProgress, ReadProgress, RowSource} from './types.js'
import {eachInParallel, untilAborted} from './waiting.js'

/** Rounds are this far apart, and up to half as much again at random, so that no rhythm of a client's is hit. */
const roundIntervalMs = 1000

/** More suspects than these make the scans wait; as many again are kept for the reconfirmation. */
const mostOpenSuspects = 10_000

/** So long nobody needs to be able to tell how far the duplication is: primaries move, leaders die (measured.md §10). */
const blindLimitMs = 90_000

/** A shorter limit would not leave room for the rounds that a busy partition needs. */
export const shortestRereadLimitMs = 30_000

interface Suspect extends Observed {
  deadlineMs: number
  key: Buffer
  partition: number
  /** Whether its first time limit is over. */
  secondTime: boolean
}

export interface SuspectOptions {
  clock: Clock
  judge: Judge
  /** Called after each round. */
  onRound(): void
  onSuspect?(partition: number, key: Buffer): void
  /** Rows that are read again at once. */
  parallel: number
  progress: ReadProgress
  random: () => number
  rereadLimitMs: number
  signal: AbortSignal
  source: RowSource
  tally: Tally
  target: RowSource
}

/**
 * Rows that differed when they were read. The table is live and the target behind, so each is read again, in rounds,
 * until both sides agree, or until it is proved that they never will: the target has acknowledged everything that the
 * source held, and neither side's row has changed since (docs/verify.md).
 */
export class SuspectPool {
  private abandoned = false
  private aside: Suspect[] = []
  private blindSinceMs: number | undefined
  private closed = false
  private readonly limitMs: number
  private open: Suspect[] = []
  private waiters: (() => void)[] = []

  constructor(private readonly options: SuspectOptions) {
    this.limitMs = Math.max(options.rereadLimitMs, shortestRereadLimitMs)
  }

  /** Suspects without a verdict. */
  get size(): number {
    return this.open.length + this.aside.length
  }

  /** Takes a suspect. @returns a promise when the pool is full: wait for it before the next one */
  add(partition: number, key: Buffer): Promise<void> | void {
    const deadlineMs = this.options.clock.nowMs() + this.limitMs
    // A copy: the row's key is a piece of a whole batch, which would stay in memory with it.
    const suspect = {changedAtSource: false, deadlineMs, key: Buffer.from(key), partition, secondTime: false}
    this.open.push(suspect)
    this.options.onSuspect?.(partition, suspect.key)
    this.notify()
    if (this.open.length >= mostOpenSuspects) return this.untilRoom()
  }

  /** No suspect will come any more: `run` ends when every one has its verdict. */
  close(): void {
    this.closed = true
    this.notify()
  }

  /** `run` ends after the round under way; what is open then counts as unproved. */
  abandon(): void {
    this.abandoned = true
    this.close()
  }

  /** Works until closed and empty. */
  async run(): Promise<void> {
    const {clock, random, signal} = this.options
    while (!this.abandoned) {
      if (this.open.length > 0) {
        await this.round()
        if (this.open.length > 0) await sleep(clock, roundIntervalMs * (1 + random() / 2), signal)
      } else if (!this.closed) await this.untilChanged()
      else if (this.aside.length > 0) this.reconfirm()
      else return
    }

    for (const {key, partition} of [...this.open, ...this.aside])
      this.options.tally.unresolved(partition, key, 'unproved')
    this.open = []
    this.aside = []
  }

  private notify(): void {
    for (const waiter of this.waiters.splice(0)) waiter()
  }

  private async readProgress(): Promise<readonly (PartitionProgress | undefined)[]> {
    const {clock, progress, signal} = this.options
    try {
      const seen = await untilAborted(progress(signal), signal)
      this.blindSinceMs = undefined
      return seen
    } catch (error) {
      signal.throwIfAborted()
      this.blindSinceMs ??= clock.nowMs()
      if (!mayPass(error) || clock.nowMs() - this.blindSinceMs >= blindLimitMs) throw error
      return []
    }
  }

  private reconfirm(): void {
    const deadlineMs = this.options.clock.nowMs() + this.limitMs
    // Nothing is known of what came and went meanwhile: the window begins anew.
    this.open = this.aside.map(({key, partition}) => ({
      changedAtSource: false,
      deadlineMs,
      key,
      partition,
      secondTime: true,
    }))
    this.aside = []
  }

  /** @returns whether the suspect has got its verdict */
  private async reread(suspect: Suspect, progress: PartitionProgress | undefined): Promise<boolean> {
    const {judge, signal, source, tally, target} = this.options
    const {key, partition} = suspect
    // In this order: a source row that is the same as before was the same all the while the target was read.
    const targetRow = await untilAborted(target.get(partition, key), signal)
    const sourceRow = await untilAborted(source.get(partition, key), signal)
    const judgement = judgeRows(judge, sourceRow, targetRow)
    if (judgement === 'equal') tally.equal(partition, 1)
    else if (judgement === 'expiring') tally.expiring(partition)
    else if (observe(suspect, sourceRow, targetRow, progress)) {
      tally.difference(judgement, partition, key, {source: sourceRow, target: targetRow})
    } else return false
    return true
  }

  private async round(): Promise<void> {
    const {clock, parallel} = this.options
    const progress = await this.readProgress()
    const done = new Set<Suspect>()
    await eachInParallel([...this.open], parallel, async (suspect) => {
      if (await this.reread(suspect, progress[suspect.partition])) done.add(suspect)
    })
    const nowMs = clock.nowMs()
    this.open = this.open.filter((suspect) => {
      if (done.has(suspect)) return false
      // One that has begun to agree with itself gets its verdict, however long the rounds of many suspects last.
      const isTold = progress[suspect.partition] !== undefined || nowMs < suspect.deadlineMs + blindLimitMs
      if (nowMs < suspect.deadlineMs || (suspect.window?.settledRounds && isTold)) return true
      this.setAside(suspect)
      return false
    })
    this.options.onRound()
    this.notify()
  }

  /** The first time until the scans are done (a hot key may have cooled down by then), then for good. */
  private setAside(suspect: Suspect): void {
    const {changedAtSource, key, partition, secondTime} = suspect
    if (!secondTime && this.aside.length < mostOpenSuspects) this.aside.push(suspect)
    else this.options.tally.unresolved(partition, key, changedAtSource ? 'hot' : 'unproved')
  }

  private untilChanged(): Promise<void> {
    const changed = new Promise<void>((resolve) => {
      this.waiters.push(resolve)
    })
    return untilAborted(changed, this.options.signal)
  }

  private async untilRoom(): Promise<void> {
    while (this.open.length >= mostOpenSuspects && !this.closed) await this.untilChanged()
  }
}
