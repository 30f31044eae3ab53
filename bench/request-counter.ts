import type {Clock} from '../src/lib/clock.js'
import type {SimulatedCluster} from '../test/sandbox/index.js'
import type {RequestFigures} from './options.js'

/** The application's own calls, and what servers ask each other. */
const OTHERS = new Set(['RPC_RRDB_RRDB_DUPLICATE', 'RPC_RRDB_RRDB_PUT', 'RPC_RRDB_RRDB_REMOVE'])

interface Phase {
  endMs?: number
  name: string
  startMs: number
  /** By server address, when each request came. */
  times: Map<string, number[]>
}

/** Counts what a migration asks of metas and servers, phase by phase, where the servers take it. */
export class RequestCounter {
  private readonly phases: Phase[] = []
  private readonly metas = new Set<string>()

  constructor(
    private readonly clock: Clock,
    clusters: readonly SimulatedCluster[],
  ) {
    for (const cluster of clusters) {
      for (const meta of cluster.metas) this.metas.add(meta)
      const {faults} = cluster
      const take = faults.take.bind(faults)
      faults.take = (call, address) => {
        if (!OTHERS.has(call)) this.count(address)
        return take(call, address)
      }
    }
  }

  begin(name: string): void {
    this.end()
    this.phases.push({name, startMs: this.clock.nowMs(), times: new Map()})
  }

  end(): void {
    const last = this.phases.at(-1)
    if (last) last.endMs ??= this.clock.nowMs()
  }

  figures(): RequestFigures[] {
    return this.phases.flatMap((phase) =>
      (['metas', 'servers'] as const).map((to) => {
        const each = [...phase.times].filter(([address]) => this.metas.has(address) === (to === 'metas'))
        const endMs = phase.endMs ?? this.clock.nowMs()
        const total = each.reduce((sum, [, times]) => sum + times.length, 0)
        return {
          peakPerSecond: Math.max(0, ...each.map(([, times]) => mostInASecond(times))),
          // The second that a phase ends in counts as a whole one.
          perSecond: total / Math.max(1, each.length) / (Math.floor((endMs - phase.startMs) / 1000) + 1),
          phase: phase.name,
          to,
        }
      }),
    )
  }

  private count(address: string): void {
    const phase = this.phases.at(-1)
    if (!phase || phase.endMs !== undefined) return
    const times = phase.times.get(address) ?? []
    times.push(this.clock.nowMs())
    phase.times.set(address, times)
  }
}

function mostInASecond(times: readonly number[]): number {
  let most = 0
  let from = 0
  for (const [index, time] of times.entries()) {
    while (time - times[from]! >= 1000) from++
    most = Math.max(most, index - from + 1)
  }

  return most
}
