import {type Clock, sleep} from '../../clock.js'
import type {Judge} from './judge.js'
import {fingerprint} from './key-text.js'
import type {Tally} from './tally.js'
import type {PartitionProgress, ReadProgress, Row, RowSource} from './types.js'
import {eachInParallel, untilAborted} from './waiting.js'

/** Rounds are this far apart, and up to half as much again at random, so that no rhythm of a client's is hit. */
const roundIntervalMs = 1000

/** More suspects than these make the scans wait; as many again are kept for the reconfirmation. */
const mostOpenSuspects = 10_000

/** Agreeing rounds after the target was proved to have caught up: see `settled`. */
const roundsWhenQuiet = 2
const roundsWhenBusy = 8
const roundsWhenSeenChanging = 16

/** A shorter limit would not leave room for the rounds that a busy partition needs. */
export const shortestRereadLimitMs = 30_000

/** The time during which neither side's row has changed. */
interface Window {
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

interface Suspect {
  changedAtSource: boolean
  deadlineMs: number
  key: Buffer
  partition: number
  /** Whether its first time limit is over. */
  secondTime: boolean
  window?: Window
}

export interface SuspectOptions {
  clock: Clock
  judge: Judge
  /** Called after each round. */
  onRound(): void
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
    this.open.push({changedAtSource: false, deadlineMs, key: Buffer.from(key), partition, secondTime: false})
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

  private reconfirm(): void {
    const deadlineMs = this.options.clock.nowMs() + this.limitMs
    this.open = this.aside.map((suspect) => ({...suspect, changedAtSource: false, deadlineMs, secondTime: true}))
    this.aside = []
  }

  /** @returns whether the suspect has got its verdict */
  private async reread(suspect: Suspect, progress: PartitionProgress | undefined): Promise<boolean> {
    const {judge, signal, source, tally, target} = this.options
    const {key, partition} = suspect
    // In this order: a source row that is the same as before was the same all the while the target was read.
    const targetRow = await untilAborted(target.get(partition, key), signal)
    const sourceRow = await untilAborted(source.get(partition, key), signal)
    const judgement = judge(sourceRow, targetRow)
    if (judgement === 'equal') tally.equal()
    else if (judgement === 'expiring') tally.expiring()
    else if (observe(suspect, sourceRow, targetRow, progress)) {
      tally.difference(judgement, partition, key, {source: sourceRow, target: targetRow})
    } else return false
    return true
  }

  private async round(): Promise<void> {
    const {clock, parallel, signal} = this.options
    const progress = await untilAborted(this.options.progress(signal), signal)
    const done = new Set<Suspect>()
    await eachInParallel([...this.open], parallel, async (suspect) => {
      if (await this.reread(suspect, progress[suspect.partition])) done.add(suspect)
    })
    const nowMs = clock.nowMs()
    this.open = this.open.filter((suspect) => {
      if (done.has(suspect)) return false
      // One that has begun to agree with itself gets its verdict, however long the rounds of many suspects last.
      if (nowMs < suspect.deadlineMs || suspect.window?.settledRounds) return true
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

/** Takes a round's readings into the suspect's window. @returns whether the difference is there for good */
function observe(suspect: Suspect, source?: Row, target?: Row, progress?: PartitionProgress): boolean {
  const [sourcePrint, targetPrint] = [fingerprint(source), fingerprint(target)]
  const {window} = suspect
  if (!window || window.source !== sourcePrint || window.target !== targetPrint) {
    if (window && window.source !== sourcePrint) suspect.changedAtSource = true
    const lastCommittedDecree = progress?.committedDecree
    suspect.window = {busy: false, lastCommittedDecree, settledRounds: 0, source: sourcePrint, target: targetPrint}
    return false
  }

  if (!progress) return false
  // The progress was read after the window's first reading of the source, and before this round's readings.
  window.fenceDecree ??= progress.committedDecree
  if (progress.committedDecree - (window.lastCommittedDecree ?? -Infinity) > 1) window.busy = true
  window.lastCommittedDecree = progress.committedDecree
  // A new primary ships again from what meta has stored, so what was shipped may be taken back for a while.
  window.settledRounds = progress.shippedDecree >= window.fenceDecree ? window.settledRounds + 1 : 0
  return window.settledRounds >= settled(suspect, window)
}

/**
 * How many agreeing rounds prove a difference. A key that is put and removed in turn can read the same at the source
 * in two rounds, and old at the target, although it was written in between. That takes two decrees, so where the
 * partition's decree moved by one at most the rows really stood still; elsewhere chance must be ruled out.
 */
function settled(suspect: Suspect, window: Window): number {
  if (suspect.changedAtSource) return roundsWhenSeenChanging
  return window.busy ? roundsWhenBusy : roundsWhenQuiet
}
