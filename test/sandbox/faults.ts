import type {Clock} from '../../src/lib/clock.js'
import {sleep} from '../../src/lib/clock.js'

export interface FaultFilter {
  /** Only on this server; default: every server of the cluster. */
  address?: string
  /** How many calls it hits; default 1. */
  count?: number
}

type Effect =
  | {delayMs: number; kind: 'delay' | 'late'}
  | {error: string; kind: 'fail'}
  | {kind: 'close-after' | 'ignore' | 'lose-answer'}

interface Rule {
  address: string | undefined
  call: string
  effect: Effect
  left: number
}

/** What a call meets: before it runs (`late`, `ignore`, `fail`) or after it ran (`delay`, `lose-answer`, `close-after`). */
export type FaultOutcome = Effect | undefined

/**
 * Faults of single calls, by the name of the RPC (`RPC_CM_ADD_DUPLICATION`) or of the HTTP path
 * (`GET /replica/duplication`). Rules are used up in the order in which they were given.
 */
export class FaultRules {
  /** Servers that take everything and answer nothing. */
  readonly silent = new Set<string>()
  private rules: Rule[] = []

  constructor(private readonly clock: Clock) {}

  /** The call runs and is answered `delayMs` late. */
  delayReplies(call: string, delayMs: number, filter: FaultFilter = {}): void {
    this.add(call, {delayMs, kind: 'delay'}, filter)
  }

  /** The call waits for so long before it runs: whoever sent it has given up by then, or died. */
  delayCalls(call: string, delayMs: number, filter: FaultFilter = {}): void {
    this.add(call, {delayMs, kind: 'late'}, filter)
  }

  /** The request is lost: no effect, no answer. */
  ignoreCalls(call: string, filter: FaultFilter = {}): void {
    this.add(call, {kind: 'ignore'}, filter)
  }

  /** The call takes effect; its answer never comes. */
  loseAnswer(call: string, filter: FaultFilter = {}): void {
    this.add(call, {kind: 'lose-answer'}, filter)
  }

  /** The call takes effect; then the connection is cut instead of an answer. */
  closeAfter(call: string, filter: FaultFilter = {}): void {
    this.add(call, {kind: 'close-after'}, filter)
  }

  /** The call is answered with this RPC-level error (HTTP: status 500 with the text) and has no effect. */
  failCall(call: string, error: string, filter: FaultFilter = {}): void {
    this.add(call, {error, kind: 'fail'}, filter)
  }

  clear(): void {
    this.rules = []
    this.silent.clear()
  }

  /** The next fault for this call on this server, used up by asking. */
  take(call: string, address: string): FaultOutcome {
    if (this.silent.has(address)) return {kind: 'ignore'}
    const rule = this.rules.find((r) => r.call === call && r.left > 0 && (r.address ?? address) === address)
    if (!rule) return undefined
    rule.left--
    if (rule.left === 0) this.rules = this.rules.filter((r) => r !== rule)
    return rule.effect
  }

  wait(delayMs: number): Promise<void> {
    return sleep(this.clock, delayMs)
  }

  private add(call: string, effect: Effect, filter: FaultFilter): void {
    this.rules.push({address: filter.address, call, effect, left: filter.count ?? 1})
  }
}
