import {createHash, type Hash} from 'node:crypto'

import type {Clock} from '../../../src/lib/clock.js'
import type {Driver} from '../simulation.js'

/** What happened, in order; its hash also covers every message, so that two runs of one seed can be held to each other. */
export class Trace {
  readonly lines: string[] = []
  private readonly hash: Hash = createHash('sha256')
  private a = 0x81_1c_9d_c5
  private b = 0

  constructor(private readonly clock: Clock) {}

  add(actor: string, text: string): void {
    const line = `${(this.clock.nowMs() / 1000).toFixed(3).padStart(9)}  ${actor.padEnd(12)} ${text}`
    this.lines.push(line)
    this.hash.update(line)
  }

  /** One message on its way. */
  message(address: string, back: boolean, bytes: number): void {
    const port = Number(address.slice(address.lastIndexOf(':') + 1))
    this.a = Math.imul(this.a ^ (port * 2 + (back ? 1 : 0)), 0x01_00_01_93) ^ bytes
    this.b = Math.imul(this.b ^ Math.floor(this.clock.nowMs() * 64), 0x85_eb_ca_6b)
  }

  digest(): string {
    return this.hash.copy().update(`${this.a} ${this.b}`).digest('hex').slice(0, 16)
  }
}

/** What a command tells of its way, as far as a reader of the trace wants to know. */
export function tellEvent(trace: Trace, name: string, event: Driver<unknown>['events'][number]): void {
  if (event.type === 'phase-started') trace.add(name, `phase ${event.phase}`)
  if (event.type === 'phase-failed') trace.add(name, `${event.phase} failed: ${event.error}`)
  if (event.type === 'undo-started') trace.add(name, `undo: ${event.reason}`)
  if (event.type === 'undo-finished') trace.add(name, `undo ${event.ok ? 'done' : 'FAILED'}: ${event.sentence}`)
  if (event.type === 'warning') trace.add(name, `warning ${event.code}: ${event.message}`)
}
