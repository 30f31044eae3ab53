import type {World} from '../world.js'
import {formatTime} from '../world.js'

interface Counts {
  recent: number
  /** Of the time before the last snapshot. */
  shown?: number
  total: number
}

interface Snapshot {
  name: string
  type: 'NUMBER' | 'RATE' | 'VOLATILE_NUMBER'
  value: number
}

/** Rates that exist for every replica, used or not (pegasus_write_service.cpp, pegasus_server_impl_init.cpp). */
const RATES_OF_REPLICA = [
  'batch_get_qps',
  'check_and_mutate_qps',
  'check_and_set_qps',
  'duplicate_qps',
  'get_qps',
  'incr_qps',
  'multi_get_qps',
  'multi_put_qps',
  'multi_remove_qps',
  'put_qps',
  'remove_qps',
  'scan_qps',
]

export const counterName = (kind: string, gpid: string) => `replica*app.pegasus*${kind}@${gpid}`

/** Perf counters of 2.4/2.5: read from a snapshot that is up to one interval old (protocol.md §4.7). */
export class Counters {
  private readonly gauges = new Map<string, () => number>()
  private snapshotMs = 0
  private shownGauges: [string, number][] = []
  /** Events since the server started, and since the last snapshot. */
  private readonly totals = new Map<string, Counts>()

  /** Counts that begin at 0 with each snapshot; the total is what master's metrics show. */
  private readonly volatile = new Map<string, Counts>()

  constructor(private readonly world: World) {
    for (const kind of ['read.busy', 'read.fail', 'write.busy', 'write.fail'])
      this.volatile.set(`replica*eon.replica_stub*recent.${kind}.count`, {recent: 0, total: 0})
  }

  /** The counters of a replica begin to exist. */
  watch(gpid: string, sizeMb: () => number): void {
    for (const kind of RATES_OF_REPLICA) this.totals.set(counterName(kind, gpid), {recent: 0, total: 0})
    this.gauges.set(counterName('disk.storage.sst(MB)', gpid), sizeMb)
  }

  forget(gpid: string): void {
    for (const map of [this.totals, this.gauges]) {
      for (const name of map.keys()) if (name.endsWith(`@${gpid}`)) map.delete(name)
    }
  }

  /** One more event of a rate. */
  add(name: string): void {
    const counts = this.totals.get(name) ?? {recent: 0, total: 0}
    counts.recent++
    counts.total++
    this.totals.set(name, counts)
  }

  addVolatile(name: string): void {
    const counts = this.volatile.get(name)!
    counts.recent++
    counts.total++
  }

  /** Mutations that a duplication left out: shown once. */
  lost(gpid: string, count: number): void {
    const name = `replica*eon.replica*dup_recent_mutation_loss_count@${gpid}`
    this.volatile.set(name, {recent: count, total: count})
  }

  gauge(name: string, value: () => number): void {
    this.gauges.set(name, value)
  }

  /** Events since the server started: what master's metrics show. */
  total(name: string): number {
    return (this.totals.get(name) ?? this.volatile.get(name))?.total ?? 0
  }

  refresh(intervalMs: number): void {
    this.snapshotMs = this.world.clock.wallMs()
    this.shownGauges = Array.from(this.gauges, ([name, value]) => [name, value()])
    for (const counts of this.totals.values()) {
      counts.shown = (counts.recent * 1000) / intervalMs
      counts.recent = 0
    }

    for (const counts of this.volatile.values()) {
      counts.shown = counts.recent
      counts.recent = 0
    }
  }

  find(wanted: (name: string) => boolean): Snapshot[] {
    const found: Snapshot[] = []
    const show = (name: string, type: Snapshot['type'], value: number | undefined) => {
      if (value !== undefined && wanted(name)) found.push({name, type, value})
    }

    for (const [name, value] of this.shownGauges) show(name, 'VOLATILE_NUMBER', value)
    for (const [name, {shown}] of this.totals) show(name, 'RATE', shown)
    for (const [name, {shown}] of this.volatile) show(name, 'VOLATILE_NUMBER', shown)
    return found
  }

  /** The text of the perf-counters commands. */
  text(wanted: (name: string) => boolean): string {
    const counters = this.find(wanted)
      .map(({name, type, value}) => `{"name":"${name}","type":"${type}","value":${value.toFixed(1)}}`)
      .join(',')
    const seconds = Math.floor(this.snapshotMs / 1000)
    return `{"result":"OK","timestamp":${seconds},"timestamp_str":"${formatTime(seconds * 1000)}","counters":[${counters}]}`
  }
}
