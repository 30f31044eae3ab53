import {isMigratorError, MigratorError} from '../../errors.js'
import type {CallLimits} from '../../pegasus/env.js'
import type {Unread} from './facts.js'

/** For one question to one server: a status that waits longer is none. */
const QUESTION_MS = 2000
/** For finding a meta leader; during a failover there is none for 38–47 s. */
const LEADER_MS = 3000

export type BoundedLimits = CallLimits & {signal: AbortSignal}

export function serverLimits(signal: AbortSignal): BoundedLimits {
  return {signal, timeoutMs: QUESTION_MS}
}

export function metaLimits(signal: AbortSignal): BoundedLimits {
  return {patienceMs: LEADER_MS, signal, timeoutMs: LEADER_MS}
}

/** Asks questions whose failure hides nothing else, and keeps why they failed. */
export class Asking {
  readonly unread: Unread[] = []

  /** @param stop aborts when the operator wants no answer any more; the time limit's abort only leaves questions open */
  constructor(private readonly stop: AbortSignal | undefined) {}

  /**
   * @returns undefined when it failed, or was stopped: whoever stops a reading throws it away
   * @throws whatever is no failure of whoever was asked
   */
  async ask<T>(what: string, question: () => Promise<T>): Promise<T | undefined> {
    try {
      return await question()
    } catch (error) {
      if (this.stop?.aborted) return undefined
      if (!(error instanceof MigratorError)) throw error
      this.fail(what, error)
      return undefined
    }
  }

  fail(what: string, error: MigratorError): void {
    // The same server fails every question in the same way.
    if (this.unread.some((known) => known.what === what && known.code === error.code)) return
    this.unread.push({code: error.code, message: error.message, what})
  }
}

/** For a promise that is awaited later: should another one fail before, its own failure is not left unhandled. */
export function early<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

/** `problem` of a node or a metaproxy. @throws what is no failure of theirs */
export function problemOf(error: unknown, stop?: AbortSignal): {code: string; message: string} {
  if (stop?.aborted) return {code: 'stopped', message: 'stopped'}
  if (!isMigratorError(error)) throw error
  return {code: error.code, message: error.message}
}
