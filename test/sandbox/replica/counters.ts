import type {World} from '../world.js'
import {formatTime} from '../world.js'

interface Snapshot {
  name: string
  type: 'NUMBER' | 'RATE' | 'VOLATILE_NUMBER'
  value: number
}

/** Perf counters of 2.4/2.5: read from a snapshot that is up to one interval old (protocol.md §4.7). */
export class Counters {
  private readonly gauges = new Map<string, number>()
  private readonly rates = new Map<string, number>()
  private snapshotMs = 0
  private snapshots: Snapshot[] = []

  constructor(private readonly world: World) {}

  /** One more event of a rate. */
  add(name: string): void {
    this.rates.set(name, (this.rates.get(name) ?? 0) + 1)
  }

  set(name: string, value: number): void {
    this.gauges.set(name, value)
  }

  refresh(intervalMs: number): void {
    this.snapshotMs = this.world.clock.wallMs()
    this.snapshots = [
      ...[...this.gauges].map(([name, value]): Snapshot => ({name, type: 'VOLATILE_NUMBER', value})),
      ...[...this.rates].map(([name, count]): Snapshot => ({name, type: 'RATE', value: (count * 1000) / intervalMs})),
    ]
    for (const name of this.rates.keys()) this.rates.set(name, 0)
  }

  find(wanted: (name: string) => boolean): Snapshot[] {
    return this.snapshots.filter(({name}) => wanted(name))
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
