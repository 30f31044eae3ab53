import type {Clock} from '../clock.js'
import type {MigrationEvent, PhaseId, Progress} from '../migration/events.js'
import type {MigrationResult} from '../migration/result.js'
import type {Output, Renderer} from './renderer.js'
import {printable} from './text.js'

const PROGRESS_INTERVAL_MS = 2000
/** A wait that says the same again is still alive: one line now and then. */
const SAME_PROGRESS_INTERVAL_MS = 30_000

type Fields = Record<string, number | string | undefined>

/** `key=value` with spaces between; values that are not one plain word are quoted. Undefined ones are left out. */
export function formatFields(fields: Fields): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => {
      const text = printable(String(value))
      return `${key}=${/^[^\s"=]+$/.test(text) ? text : `"${text.replaceAll('"', '\\"')}"`}`
    })
    .join(' ')
}

function progressFields(progress: Progress): Fields {
  return {
    partitions:
      progress.partitionCount === undefined ? undefined : `${progress.partitionsDone ?? 0}/${progress.partitionCount}`,
    lagMutations: progress.lagMutations,
    etaMs: progress.etaMs === undefined ? undefined : Math.round(progress.etaMs),
    deniedForMs: progress.deniedForMs === undefined ? undefined : Math.round(progress.deniedForMs),
    worst: progress.worst,
    text: progress.text,
  }
}

/** One line with a timestamp per event; for pipes, logs and terminals that cannot move their cursor. */
export class PlainRenderer implements Renderer {
  private held: string[] | undefined
  private phase: PhaseId | undefined
  private shown: undefined | {atMs: number; done: number | undefined; step: string; text: string}

  constructor(
    private readonly clock: Clock,
    private readonly output: Output,
    private readonly table: string,
  ) {}

  notice(text: string): void {
    this.line(this.clock.wallMs(), {event: 'notice', text})
  }

  onEvent(event: MigrationEvent): void {
    if ('phase' in event && event.phase !== this.phase) {
      this.phase = event.phase
      this.shown = undefined
    }

    const fields = this.fields(event)
    if (fields) this.line(event.atMs, fields)
  }

  /** Lines that come while somebody is asked are held back: they would go through the prompt. */
  async pause<T>(interlude: () => Promise<T>): Promise<T> {
    this.held = []
    try {
      return await interlude()
    } finally {
      for (const line of this.held) this.output.write(line)
      this.held = undefined
    }
  }

  start(): void {
    // The first event is the first line.
  }

  async stop(result?: MigrationResult): Promise<void> {
    if (!result) return
    const {error, next, outcome} = result
    this.phase = undefined
    this.line(this.clock.wallMs(), {event: 'ended', outcome, code: error?.code, error: error?.message, next})
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

  private line(atMs: number, fields: Fields): void {
    const time = new Date(atMs).toISOString()
    const line = `${time} ${formatFields({phase: this.phase, table: this.table, ...fields})}\n`
    if (this.held) this.held.push(line)
    else this.output.write(line)
  }
}
