import type {Clock} from '../../../src/lib/clock.js'
import {seededRandom} from '../../sandbox/random.js'
import type {Fault} from './plan.js'
import type {Trace} from './trace.js'
import type {Fate, Way, Weather} from './weather.js'

/** The application's own calls run out of time after this: later ones of its writes would overtake each other. */
const OTHERS_LATE_MS = 700
const LATE_MS = 3000

interface Storm {
  happens: 'doubled' | 'late' | 'lost' | 'reset'
  from: string
  random: () => number
  share: number
}

/** The weather of a run: how long messages take, storms, and addresses that nothing reaches. */
export class Sky implements Weather {
  private readonly blackholes = new Set<{address: string; from: string}>()
  private readonly random: () => number
  private readonly storms = new Set<Storm>()
  private readonly cuts = new Map<string, number>()

  constructor(
    private readonly clock: Clock,
    private readonly trace: () => Trace,
    private readonly latencyMs: number,
    seed: number,
  ) {
    this.random = seededRandom(seed + 77)
  }

  blocks(way: Way): boolean {
    return this.swallows(way)
  }

  fate(way: Way, chunk: Buffer | undefined): Fate {
    this.trace().message(way.address, way.back, chunk?.length ?? 0)
    if (this.swallows(way)) return {copies: 0, delayMs: 0}
    let delayMs = this.latencyMs === 0 ? 0 : Math.ceil(this.random() * this.latencyMs * 4) / 4
    const until = this.cuts.get(way.from)
    if (until !== undefined && this.clock.nowMs() <= until) return {copies: 1, delayMs, reset: true}
    let copies = 1
    for (const storm of this.storms) {
      if (storm.from !== way.from || storm.random() >= storm.share) continue
      // Losing the end of a connection is what a black hole is for.
      if (storm.happens === 'lost' && chunk) copies = 0
      if (storm.happens === 'late') delayMs += storm.random() * (way.from === 'others' ? OTHERS_LATE_MS : LATE_MS)
      // An HTTP connection carries one request.
      if (storm.happens === 'doubled' && chunk && chunk[0] !== 0x47 && chunk[0] !== 0x48) copies = 2
      if (storm.happens === 'reset' && chunk) return {copies: 1, delayMs, reset: true}
    }

    return {copies, delayMs}
  }

  storm({pick, share = 0.1, what = 'lost here'}: Fault): () => void {
    const [happens, from] = what.split(' ') as [Storm['happens'], string]
    // Each storm has numbers of its own: without one of them the others are the same.
    const storm = {from, happens, random: seededRandom(pick + 13), share}
    this.storms.add(storm)
    return () => this.storms.delete(storm)
  }

  /** Connections stay open, and nothing comes through; new ones cannot be had. */
  swallow(from: string, address: string): () => void {
    const hole = {address, from}
    this.blackholes.add(hole)
    return () => this.blackholes.delete(hole)
  }

  /** Whatever is sent in the next moment breaks its connection. */
  cut(from: string): void {
    this.cuts.set(from, this.clock.nowMs() + 300)
  }

  private swallows({address, from}: Way): boolean {
    for (const hole of this.blackholes) if (hole.address === address && hole.from === from) return true
    return false
  }
}
