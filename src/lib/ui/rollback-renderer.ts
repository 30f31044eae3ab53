import type {Clock} from '../clock.js'
import {type RollbackEvent, type StepId, stepTitles} from '../migration/rollback/index.js'
import type {Canvas} from './frame-painter.js'
import {type Line, LiveList, type Room} from './live-list.js'
import {LiveView} from './live-view.js'
import {PlainLines, progressFields, Silent} from './plain-lines.js'
import type {RollbackWatch} from './rollback-watch.js'

const PROGRESS_INTERVAL_MS = 5000

/** Shows a rollback while it goes on. */
export interface RollbackRenderer {
  /** Says something that is no event of the rollback, such as what a signal will do. */
  notice(text: string): void
  onEvent(event: RollbackEvent): void
  /** Leaves the terminal as it was found. */
  stop(): Promise<void>
}

/** What the list knows besides the events. */
export interface RollbackSurroundings {
  /** Longest time for which this rollback may deny writes, ms. */
  boundMs: number
  /** Whether a signal has stopped the run. */
  isStopping(): boolean
  watch: RollbackWatch
}

/** Just the steps that are needed, as a task list; for terminals. Drawn when the first of them begins. */
export class RollbackList extends LiveList<StepId> implements RollbackRenderer {
  protected readonly titleWidth = Math.max(...Object.values(stepTitles).map((title) => title.length))
  private steps: readonly StepId[] = []
  private readonly view = new LiveView()

  constructor(
    clock: Clock,
    private readonly around: RollbackSurroundings,
    canvas?: Canvas,
  ) {
    super(clock, canvas)
  }

  onEvent(event: RollbackEvent): void {
    switch (event.type) {
      case 'effect': {
        if (event.state === 'failed') this.notice(`failed: ${event.sentence}`)
        // What was waited for before it is over.
        if (event.effect.kind === 'deny' && event.state === 'begin') this.view.forget(event.atMs)
        break
      }

      case 'progress': {
        this.view.hear(event.progress, event.atMs)
        this.refresh()
        break
      }

      case 'step-failed': {
        this.end(event.step, 'failed', event.error)
        break
      }

      case 'step-finished': {
        this.end(event.step, 'done', event.summary, event.durationMs)
        break
      }

      case 'step-skipped': {
        this.end(event.step, 'skipped', event.reason)
        break
      }

      case 'step-started': {
        if (!this.isOpen) this.open(this.steps)
        this.view.forget(event.atMs)
        this.begin(event.step)
        break
      }

      case 'steps': {
        this.steps = event.steps
        break
      }

      case 'warning': {
        this.notice(event.message)
        break
      }
    }
  }

  async stop(): Promise<void> {
    await this.close()
  }

  protected override lines(room: Room, notices: readonly string[]): Line[] {
    const {boundMs, isStopping, watch} = this.around
    const sinceMs = watch.deniedSinceMs
    const denied = sinceMs === undefined ? {} : {denied: {boundMs, sinceMs}}
    return this.view.lines({...denied, ctrlC: watch.ctrlC(isStopping()), notices, nowMs: this.clock.wallMs(), room})
  }

  protected override titleOf(id: StepId): string {
    return stepTitles[id]
  }
}

/** One line with a timestamp per event; for pipes and logs. */
export class RollbackLines extends PlainLines implements RollbackRenderer {
  private shownAtMs = Number.NEGATIVE_INFINITY

  onEvent(event: RollbackEvent): void {
    const {atMs} = event
    const place = 'step' in event ? {step: event.step} : {}
    switch (event.type) {
      case 'effect': {
        this.line(atMs, {event: 'effect', effect: event.effect.kind, state: event.state, text: event.sentence})
        break
      }

      case 'progress': {
        if (atMs - this.shownAtMs < PROGRESS_INTERVAL_MS) break
        this.shownAtMs = atMs
        this.line(atMs, {event: 'progress', ...progressFields(event.progress)}, place)
        break
      }

      case 'step-failed': {
        this.line(atMs, {event: 'failed', error: event.error}, place)
        break
      }

      case 'step-finished': {
        this.line(atMs, {event: 'finished', durationMs: event.durationMs, summary: event.summary}, place)
        break
      }

      case 'step-skipped': {
        this.line(atMs, {event: 'skipped', reason: event.reason}, place)
        break
      }

      case 'step-started': {
        this.shownAtMs = Number.NEGATIVE_INFINITY
        this.line(atMs, {event: 'started'}, place)
        break
      }

      case 'steps': {
        this.line(atMs, {event: 'steps', steps: event.steps.join(',')})
        break
      }

      case 'warning': {
        this.line(atMs, {event: 'warning', code: event.code, text: event.message})
        break
      }
    }
  }

  async stop(): Promise<void> {
    // Every line is complete.
  }
}

/** For `--json`; alarms go to stderr. */
export class RollbackSilent extends Silent implements RollbackRenderer {
  onEvent(event: RollbackEvent): void {
    if (event.type === 'warning' && event.message.startsWith('ALARM')) this.notice(event.message)
  }
}
