import {type Clock, sleep} from '../clock.js'
import {formatSeconds} from '../durations.js'
import {isMigratorError, messageOf, MigratorError} from '../errors.js'

/** Errors of servers that may pass: the wait goes on until its limit and then names the last one. */
const passingPrefixes = ['http.', 'meta.', 'observe.', 'rpc.', 'server.', 'zk.']

/** What a meta answers when waiting does not help: the table is gone, the call is not allowed. */
const lasting = new Set([
  'ERR_ACL_DENY',
  'ERR_APP_DROPPED',
  'ERR_APP_NOT_EXIST',
  'ERR_INVALID_PARAMETERS',
  'ERR_OBJECT_NOT_FOUND',
])

/** Whether `error` may be gone at the next look. */
export function mayPass(error: unknown): error is MigratorError {
  if (!isMigratorError(error) || error.code === 'rpc.aborted') return false
  if (error.code === 'meta.error' && lasting.has(String(error.facts.err))) return false
  return passingPrefixes.some((prefix) => error.code.startsWith(prefix))
}

/** As long as a dead server, or a dead meta leader, takes to be replaced (measured.md §10). */
const PATIENCE_MS = 60_000
const PATIENCE_RETRY_MS = 1000

/**
 * Does something that may be done again without harm, until it works: a server that is just being restarted or replaced
 * must not end a migration.
 * @throws what `attempt` threw last, after a minute of errors that may pass; at once what cannot pass
 */
export async function patiently<T>(
  {clock, signal}: {clock: Clock; signal: AbortSignal},
  attempt: () => Promise<T>,
): Promise<T> {
  const startMs = clock.nowMs()
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      signal.throwIfAborted()
      if (!mayPass(error) || clock.nowMs() - startMs > PATIENCE_MS) throw error
      await sleep(clock, PATIENCE_RETRY_MS, signal)
    }
  }
}

/** How a wait finds that nothing moves any more. */
export interface StallRule<T> {
  /** What must change, e.g. the number of partitions that are there. */
  figure(seen: T): string
  limitMs: number
  /** Called once when the limit is passed; throws the error that names what does not move, or returns to go on. */
  onStall(seen: T | undefined, stalledForMs: number): Promise<void>
}

export interface WaitOptions<T> {
  clock: Clock
  /** What is said at the limit about the last thing seen. */
  describe(seen: T): string
  done(seen: T): boolean
  intervalMs: number
  limitMs: number
  /** Looks once; errors that may pass are borne until the limit. */
  observe(): Promise<T>
  onProgress?(seen: T): void
  /** Hears of an error that may pass, so that it can be shown. */
  onTrouble?(error: MigratorError): void
  signal: AbortSignal
  stage: string
  stall?: StallRule<T>
}

/**
 * The only waiting primitive of the migration: looks every `intervalMs` until `done`.
 * @throws MigratorError `wait.limit` with what was last seen; whatever `observe` throws that cannot pass; the signal's reason
 */
export async function waitUntil<T>(options: WaitOptions<T>): Promise<T> {
  const {clock, signal} = options
  const startMs = clock.nowMs()
  let seen: T | undefined
  let trouble: MigratorError | undefined
  let stall = {figure: '', sinceMs: startMs}
  for (;;) {
    signal.throwIfAborted()
    try {
      seen = await options.observe()
      trouble = undefined
      options.onProgress?.(seen)
      if (options.done(seen)) return seen
    } catch (error) {
      signal.throwIfAborted()
      if (!mayPass(error)) throw error
      trouble = error
      options.onTrouble?.(error)
    }

    const nowMs = clock.nowMs()
    const figure = seen === undefined || !options.stall ? '' : options.stall.figure(seen)
    if (figure !== stall.figure) stall = {figure, sinceMs: nowMs}
    if (options.stall && nowMs - stall.sinceMs >= options.stall.limitMs) {
      await options.stall.onStall(seen, nowMs - stall.sinceMs)
      stall = {figure, sinceMs: clock.nowMs()}
    }

    if (nowMs - startMs >= options.limitMs) throw limitError(options, seen, trouble)
    await sleep(clock, Math.min(options.intervalMs, options.limitMs - (nowMs - startMs)), signal)
  }
}

function limitError<T>(
  options: WaitOptions<T>,
  seen: T | undefined,
  trouble: MigratorError | undefined,
): MigratorError {
  const last = seen === undefined ? 'nothing could be read' : options.describe(seen)
  const because = trouble ? `; the last look failed: ${messageOf(trouble)}` : ''
  return new MigratorError(
    'wait.limit',
    `${options.stage}: not there after ${formatSeconds(options.limitMs)}; last seen: ${last}${because}`,
    {cause: trouble, facts: {limitMs: options.limitMs, stage: options.stage}},
  )
}
