import {type Clock, sleep} from '../../clock.js'
import {messageOf} from '../../errors.js'
import type {ReadProbe, WriteProbe} from '../../pegasus/probe.js'
import type {PrimaryAt} from '../context.js'

/** How long writes must stay unanswered to count as denied in `timeout` mode. */
export const SILENCE_MS = 3000
/** So long a pair must be under way before its write counts as unanswered: its read was served long ago by then. */
const UNANSWERED_MS = 400
/** Between the pairs of a watch that goes on. */
const PAIR_EVERY_MS = 1000
const RECENT_MS = PAIR_EVERY_MS + 2 * UNANSWERED_MS

/** Sends one probe to a primary; rejects only when the run is aborted. */
export interface PairProbes {
  read(primary: PrimaryAt): Promise<ReadProbe>
  write(primary: PrimaryAt): Promise<WriteProbe>
}

/**
 * Watches one primary by overlapping pairs of a write and a read. Silence is no proof by itself: it counts from the first of the writes
 * that were all left unanswered, beside reads that were served meanwhile.
 */
export class Silence {
  /** What it answered to the last write, or why silence does not count. */
  answer = 'no answer yet'
  private readonly pairs: {read?: string; sentMs: number}[] = []
  private sinceMs: number | undefined

  /** @param sinceMs since when it is known to be silent already (`Clock.nowMs`) */
  constructor(
    readonly primary: PrimaryAt,
    private readonly clock: Clock,
    private readonly probes: PairProbes,
    sinceMs?: number,
  ) {
    this.sinceMs = sinceMs
  }

  /** When the first of the writes was sent that are unanswered ever since; `Clock.nowMs`. */
  get silentSinceMs(): number | undefined {
    return this.sinceMs
  }

  /** How long all writes have been unanswered. */
  get silentMs(): number {
    return this.sinceMs === undefined ? 0 : this.clock.nowMs() - this.sinceMs
  }

  /** Sends a pair; what comes of it is heard later. */
  send(): void {
    const pair: {read?: string; sentMs: number} = {sentMs: this.clock.nowMs()}
    this.pairs.push(pair)
    while (this.pairs.length > 1 && pair.sentMs - this.pairs[0]!.sentMs > 2 * SILENCE_MS) this.pairs.shift()
    this.sinceMs ??= pair.sentMs
    this.probes.write(this.primary).then(
      ({detail, verdict}) => {
        if (verdict !== 'silent') this.answered(pair.sentMs, `answered writes: ${verdict} (${detail})`)
      },
      (error: unknown) => this.answered(pair.sentMs, messageOf(error)),
    )
    this.probes.read(this.primary).then(
      ({verdict}) => {
        pair.read = verdict
      },
      (error: unknown) => {
        pair.read = messageOf(error)
      },
    )
  }

  /**
   * Whether it left all writes unanswered for so long, to this moment: beside a pair of late whose read was served. After a
   * pause of this process there is none, whatever the clock says.
   */
  holds(silenceMs = SILENCE_MS): boolean {
    if (this.silentMs < silenceMs) return false
    const nowMs = this.clock.nowMs()
    const late = this.pairs.filter(({sentMs}) => sentMs >= this.sinceMs! && nowMs - sentMs <= RECENT_MS)
    if (late.some(({read, sentMs}) => read === 'ok' && nowMs - sentMs >= UNANSWERED_MS)) return true
    const reads = new Set(late.map(({read}) => read ?? 'no answer'))
    this.answer = `leaves writes unanswered, and reads: ${[...reads].join(', ') || 'none was sent'}`
    return false
  }

  /** An answer voids whatever silence was before it was asked for. */
  private answered(sentMs: number, answer: string): void {
    this.answer = answer
    if (this.sinceMs === undefined || this.sinceMs > sentMs) return
    this.sinceMs = this.pairs.find((pair) => pair.sentMs > sentMs)?.sentMs
  }
}

/** Keeps on sending pairs to primaries that are silent, until it is stopped. */
export class SilenceRounds {
  private readonly ending = new AbortController()
  private running = false
  private readonly watched = new Set<Silence>()

  constructor(private readonly clock: Clock) {}

  /** Those that do not show it to this moment. */
  get broken(): Silence[] {
    return [...this.watched].filter((silence) => !silence.holds())
  }

  drop(silence: Silence): void {
    this.watched.delete(silence)
  }

  stop(): void {
    this.ending.abort(new Error('no longer watched'))
  }

  watch(silences: readonly Silence[]): void {
    for (const silence of silences) this.watched.add(silence)
    if (this.running) return
    this.running = true
    void this.run()
  }

  private async run(): Promise<void> {
    while (!this.ending.signal.aborted) {
      for (const silence of this.watched) silence.send()
      await sleep(this.clock, PAIR_EVERY_MS, this.ending.signal).catch(() => {})
    }
  }
}
