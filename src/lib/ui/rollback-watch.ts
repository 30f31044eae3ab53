import type {RollbackEvent, StepId} from '../migration/rollback/index.js'

/** Steps at whose end every primary of the source accepts writes, or nothing was denied by them any more. */
const writable: ReadonlySet<StepId> = new Set(['allow-writes', 'open-source', 'prove-writes', 'remove-duplication'])

/** What the events of a rollback say of the writes to the table, and of what somebody who leaves now would leave behind. */
export class RollbackWatch {
  /** Wall clock, ms; undefined while this rollback denies no writes. */
  deniedSinceMs: number | undefined
  /** Whether metaproxy was switched back: there is only forward then. */
  isReturned = false
  private step: StepId | undefined

  onEvent(event: RollbackEvent): void {
    if ('step' in event) this.step = event.type === 'step-started' || event.type === 'progress' ? event.step : undefined
    if (event.type === 'step-finished' || event.type === 'step-skipped' || event.type === 'step-failed') {
      // What was denied for a step is taken back before it ends, whichever way it does.
      const isOver = event.type === 'step-failed' ? event.step === 'remove-duplication' : writable.has(event.step)
      if (isOver) this.deniedSinceMs = undefined
    }

    if (event.type !== 'effect' || event.state === 'would') return
    const {kind} = event.effect
    // Before it is known to have happened, and also when it is said to have failed, it may have happened.
    if (kind === 'deny' || kind === 'deny-target') this.deniedSinceMs ??= event.atMs
    if (event.state !== 'done') return
    if (kind === 'lift-target') this.deniedSinceMs = undefined
    if (kind === 'switch-node-back') this.isReturned = true
  }

  /** What Ctrl-C would do now, in some 60 characters. */
  ctrlC(isStopping: boolean): string {
    const isDenied = this.deniedSinceMs !== undefined
    if (isStopping)
      return isDenied ? 'Ctrl-C again: leaves at once, writes stay denied' : 'Ctrl-C again: leaves at once'
    if (this.isReturned) return 'Ctrl-C: too late to stop, it only finishes'
    if (isDenied) return 'Ctrl-C: allows writes again first, then stops'
    // Somebody else's deny is there until this step has ended.
    if (this.step === 'allow-writes') return 'Ctrl-C: stops; writes may stay denied then'
    return 'Ctrl-C: stops; the same command goes on from there'
  }
}
