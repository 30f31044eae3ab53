import {sleep} from '../../clock.js'
import type {PrimaryAt} from '../context.js'
import {type Prober, type ProberOptions, Probes, RETRY_MS, ROUND_MS, type ServerSight} from './prober.js'
import {Silence, SILENCE_MS, SilenceRounds} from './silence.js'

/** So long a server's first partition must be silent before the others are watched too. */
const HUSH_MS = 300
/** Between overlapping probes while silence is awaited. */
const OVERLAP_MS = 250
/** Longer than it takes to see that silence counts, where it does. */
const PROVING_MS = SILENCE_MS + 2000

/** Primaries that leave writes unanswered while they serve reads. Those that were shown are watched until it ends. */
export class SilenceProber implements Prober {
  private readonly probes: Probes
  private readonly rounds: SilenceRounds
  private readonly silences = new Map<number, Silence>()
  /** When a server's first partition last answered. */
  private readonly unchangedMs = new Map<string, number>()

  constructor(private readonly options: ProberOptions) {
    this.probes = new Probes(options)
    this.rounds = new SilenceRounds(options.clock)
  }

  broken(): number[] {
    const {broken} = this.rounds
    for (const silence of broken) this.rounds.drop(silence)
    return broken.map(({primary}) => primary.partitionIndex)
  }

  stop(): void {
    this.rounds.stop()
  }

  async waitForServer(group: PrimaryAt[], check: () => void): Promise<ServerSight> {
    const {answers, clock, signal} = this.options
    const roundMs = clock.nowMs()
    const silences = group.map((primary) => this.silenceOf(primary))
    const [first] = silences
    for (;;) {
      signal.throwIfAborted()
      const hushed = first!.silentMs >= HUSH_MS
      for (const silence of hushed ? silences : [first!]) silence.send()
      await sleep(clock, hushed ? OVERLAP_MS : RETRY_MS, signal)
      for (const {answer, primary} of silences) answers.set(primary.partitionIndex, `${primary.server} ${answer}`)
      if (first!.silentSinceMs === undefined) this.unchangedMs.set(first!.primary.server, clock.nowMs())
      const waiting = silences.filter((silence) => !silence.holds())
      if (waiting.length === 0) return this.sight(silences)
      check()
      const proving = waiting.some(({silentMs}) => silentMs >= HUSH_MS && silentMs < PROVING_MS)
      if (clock.nowMs() - roundMs > ROUND_MS && !proving) {
        return this.sight(silences.filter((silence) => silence.holds()))
      }
    }
  }

  private sight(silences: readonly Silence[]): ServerSight {
    if (silences.length === 0) return {shown: []}
    this.rounds.watch(silences)
    const shown = silences.map(({primary, silentSinceMs}) => ({...primary, sinceMs: silentSinceMs!}))
    for (const {partitionIndex} of shown) this.options.answers.delete(partitionIndex)
    const afterMs = this.unchangedMs.get(shown[0]!.server)
    return {change: {afterMs, byMs: Math.min(...shown.map(({sinceMs}) => sinceMs))}, shown}
  }

  /** What is known of a primary's silence outlives a look at the metas, unless it moved. */
  private silenceOf(primary: PrimaryAt): Silence {
    const known = this.silences.get(primary.partitionIndex)
    if (known && known.primary.server === primary.server && known.primary.ballot === primary.ballot) return known
    if (known) this.rounds.drop(known)
    const silence = new Silence(primary, this.options.clock, this.probes)
    this.silences.set(primary.partitionIndex, silence)
    return silence
  }
}
