import type {MigrationEvent} from '../migration/events.js'

/** What the events say of the writes to the table: whether somebody who leaves now would leave them denied. */
export class DenyWatch {
  /** Wall clock, ms; undefined while writes are allowed on one side. */
  deniedSinceMs: number | undefined
  /** Whether the target serves: there is only forward then. */
  isHandedOver = false

  onEvent(event: MigrationEvent): void {
    if (event.type === 'progress' && event.progress.deniedForMs !== undefined)
      this.deniedSinceMs ??= event.atMs - event.progress.deniedForMs
    // An undo begins with what an earlier run may have left behind.
    if (event.type === 'undo-started') this.deniedSinceMs ??= event.atMs
    // Servers hear of a lifted deny only with their next config sync; the undo has waited for that.
    if (event.type === 'undo-finished' && event.ok) this.deniedSinceMs = undefined
    if (event.type !== 'effect') return
    const {effect, state} = event
    // Before it is known to have happened, and also when it is said to have failed, it may have happened.
    if (effect.kind === 'deny' && state !== 'would') this.deniedSinceMs ??= event.atMs
    // Without a node the operator's word comes before it.
    if (effect.kind === 'close-source' && state === 'begin') this.isHandedOver = true
    if (effect.kind === 'switch-node' && state === 'done') this.isHandedOver = true
    if (state === 'done' && (effect.kind === 'close-source' || effect.kind === 'switch-node'))
      this.deniedSinceMs = undefined
  }
}
