import {MigratorError} from '../../src/lib/errors.js'
import type {LiveEffectsOptions} from '../../src/lib/migration/effects-live.js'
import type {MigrationLock} from '../../src/lib/migration/lock.js'
import {VirtualClock} from '../sandbox/virtual-clock.js'

/** An answer that was lost: nobody knows whether the call took effect. */
export const lost = new MigratorError('rpc.timeout', '10.0.0.9:34601 did not answer')
/** What a meta answers instead. */
export const refused = (err: string) => new MigratorError('meta.error', err, {facts: {err}})

/**
 * Both clusters and ZooKeeper, which answer what they are told to and write down what they are asked. For what one effect asks, and
 * with which limits; whole migrations are for the simulation.
 */
export class RecordedClusters {
  readonly abort = new AbortController()
  /** By who is asked and what, such as `source setEnvs` or `target 10.0.0.1:34801 config`; default: undefined. */
  readonly answers: Record<string, () => unknown> = {}
  /** Each call with its arguments; the caller's own signal is written `ours`. */
  readonly asked: unknown[][] = []
  readonly clock = new VirtualClock()
  hasStore = true
  knowsTarget = true
  lock: MigrationLock | undefined

  get options(): LiveEffectsOptions {
    const {clock, lock} = this
    return {
      clock,
      ...(lock ? {lock} : {}),
      source: this.recorded('source'),
      store: this.hasStore ? this.recorded('store') : undefined,
      table: 'users',
      target: this.knowsTarget ? this.recorded('target') : undefined,
    }
  }

  /** What was asked, without arguments. */
  get questions(): unknown[] {
    return this.asked.map(([question]) => question)
  }

  fails(question: string, error: Error): void {
    this.answers[question] = () => {
      throw error
    }
  }

  private recorded(who: string): never {
    const method = (name: string) => {
      if (name === 'server') return (address: string) => this.recorded(`${who} ${address}`)
      return async (...given: unknown[]) => {
        this.asked.push([`${who} ${name}`, ...given.map((argument) => this.named(argument))])
        return this.answers[`${who} ${name}`]?.()
      }
    }

    return new Proxy({}, {get: (_, name) => method(String(name))}) as never
  }

  /** deepEqual takes any two signals for the same. */
  private named(argument: unknown): unknown {
    const {signal} = this.abort
    if (argument === signal) return 'ours'
    const isWithOurs = typeof argument === 'object' && argument !== null && 'signal' in argument
    return isWithOurs && argument.signal === signal ? {...argument, signal: 'ours'} : argument
  }
}
