import {deadline} from '../clock.js'
import {MigratorError} from '../errors.js'
import type {MigrationContext} from './context.js'
import {timersOf} from './timers.js'

/** What a lift takes besides the servers' config sync. */
export const UNDO_MARGIN_MS = 2000

/**
 * A signal that aborts early enough that writes flow again before `--max-write-deny` is over (I7): counted from when it
 * is armed, less one config sync, in which the servers hear of the lift.
 */
export class Bound {
  readonly signal: AbortSignal
  private readonly controller = new AbortController()
  private limit: ReturnType<typeof deadline> | undefined
  private readonly onParentAbort: () => void

  constructor(private readonly context: MigrationContext) {
    this.signal = this.controller.signal
    const {signal: parent} = context
    this.onParentAbort = () => this.controller.abort(parent.reason)
    if (parent.aborted) this.onParentAbort()
    else parent.addEventListener('abort', this.onParentAbort, {once: true})
  }

  arm(): void {
    const {clock, request, state} = this.context
    const undoMs = timersOf(state).configSyncMs + UNDO_MARGIN_MS
    const limitMs = Math.max(1, request.maxWriteDenyMs - undoMs)
    this.limit = deadline(clock, limitMs, () => tooLong(request, limitMs, undoMs))
    this.limit.signal.addEventListener('abort', () => this.giveUp(this.limit!.signal.reason), {once: true})
  }

  dispose(): void {
    this.context.signal.removeEventListener('abort', this.onParentAbort)
    this.limit?.dispose()
  }

  /** Ends the cutover for this reason. */
  giveUp(reason: unknown): void {
    this.controller.abort(reason)
  }
}

function tooLong({maxWriteDenyMs, table}: MigrationContext['request'], limitMs: number, undoMs: number): MigratorError {
  const seconds = (ms: number) => Math.round(ms / 1000)
  return new MigratorError(
    'cutover.bound',
    `the cutover of ${table} did not fit into --max-write-deny ${seconds(maxWriteDenyMs)}s: after ${seconds(limitMs)} s the deny must be taken back, which takes up to ${seconds(undoMs)} s`,
    {next: 'Run the same command again at a quieter time, or with a larger --max-write-deny.'},
  )
}
