import type {MigrationEvent, PhaseId} from '../migration/events.js'
import type {MigrationResult} from '../migration/result.js'
import {type Fields, PlainLines, progressFields} from './plain-lines.js'
import type {Renderer} from './renderer.js'

const PROGRESS_INTERVAL_MS = 2000
/** A wait that says the same again is still alive: one line now and then. */
const SAME_PROGRESS_INTERVAL_MS = 30_000

/** A migration as lines; for pipes, logs and terminals that cannot move their cursor. */
export class PlainRenderer extends PlainLines implements Renderer {
  private phase: PhaseId | undefined
  private shown: undefined | {atMs: number; done: number | undefined; step: string; text: string}

  onEvent(event: MigrationEvent): void {
    if ('phase' in event && event.phase !== this.phase) {
      this.phase = event.phase
      this.shown = undefined
    }

    const fields = this.fields(event)
    if (fields) this.tell(event.atMs, fields)
  }

  start(): void {
    // The first event is the first line.
  }

  async stop(result?: MigrationResult): Promise<void> {
    if (!result) return
    const {error, next, outcome} = result
    this.phase = undefined
    this.tell(this.clock.wallMs(), {event: 'ended', outcome, code: error?.code, error: error?.message, next})
  }

  /** The line's own fields, or undefined when the event is not worth one. */
  private fields(event: MigrationEvent): Fields | undefined {
    switch (event.type) {
      case 'check': {
        const {evidence, id, remedy, severity} = event.check
        if (severity === 'ok') return undefined
        return {event: 'check', check: id, severity, evidence, remedy: remedy || undefined}
      }

      case 'effect': {
        return {event: 'effect', effect: event.effect.kind, state: event.state, text: event.sentence}
      }

      case 'hook': {
        return {event: 'hook', hook: event.moment, state: event.state, text: event.text}
      }

      case 'phase-failed': {
        return {event: 'failed', error: event.error}
      }

      case 'phase-finished': {
        return {event: 'finished', durationMs: Math.round(event.durationMs), summary: event.summary}
      }

      case 'phase-skipped': {
        return {event: 'skipped', reason: event.reason}
      }

      case 'phase-started': {
        return {event: 'started'}
      }

      case 'progress': {
        if (!this.isWorthALine(event)) return undefined
        return {event: 'progress', step: event.step, ...progressFields(event.progress)}
      }

      case 'undo-finished': {
        return {event: 'undo-finished', ok: String(event.ok), text: event.sentence}
      }

      case 'undo-progress': {
        return {event: 'undo-progress', text: event.sentence}
      }

      case 'undo-started': {
        return {event: 'undo-started', reason: event.reason, text: event.sentence}
      }

      case 'warning': {
        return {event: 'warning', code: event.code, text: event.message}
      }
    }
  }

  private isWorthALine(event: Extract<MigrationEvent, {type: 'progress'}>): boolean {
    const {partitionsDone: done, text} = event.progress
    const {shown} = this
    const moved = !shown || shown.step !== event.step || shown.done !== done
    const intervalMs = shown?.text === text ? SAME_PROGRESS_INTERVAL_MS : PROGRESS_INTERVAL_MS
    if (!moved && event.atMs - shown.atMs < intervalMs) return false
    this.shown = {atMs: event.atMs, done, step: event.step, text}
    return true
  }

  private tell(atMs: number, fields: Fields): void {
    this.line(atMs, fields, {phase: this.phase})
  }
}
