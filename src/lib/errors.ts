import {ExitCode} from './exit-codes.js'

/** Figures and names that go with an error; printed after the message, kept in JSON. */
export type ErrorFacts = Record<string, boolean | number | string | undefined>

export interface MigratorErrorOptions {
  cause?: unknown
  exitCode?: ExitCode
  facts?: ErrorFacts
  /** The one next command, or what to do; printed on a line of its own. */
  next?: string
  /** Whether the same call may be sent again without harm. Decided where the error is made. */
  retrySafe?: boolean
}

/**
 * The only error class of this project. `code` is stable and documented; the message tells what failed,
 * on which table and server, and what was last seen.
 */
export class MigratorError extends Error {
  readonly code: string
  readonly exitCode: ExitCode
  readonly facts: ErrorFacts
  readonly next: string | undefined
  readonly retrySafe: boolean

  constructor(code: string, message: string, options: MigratorErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : {cause: options.cause})
    this.name = 'MigratorError'
    this.code = code
    this.exitCode = options.exitCode ?? ExitCode.failed
    this.facts = options.facts ?? {}
    this.next = options.next
    this.retrySafe = options.retrySafe ?? false
  }
}

/** Whether `error` is ours, and, if given, has one of these codes. */
export function isMigratorError(error: unknown, ...codes: string[]): error is MigratorError {
  return error instanceof MigratorError && (codes.length === 0 || codes.includes(error.code))
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
