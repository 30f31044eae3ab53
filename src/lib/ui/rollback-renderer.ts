import type {Clock, Timer} from '../clock.js'
import type {Progress} from '../migration/events.js'
import {type RollbackEvent, type StepId, stepTitles} from '../migration/rollback/index.js'
import {figures} from './live-view.js'
import {formatFields} from './plain-renderer.js'
import type {Output} from './renderer.js'
import {TaskList} from './task-list.js'
import {formatDuration, printable} from './text.js'

const REFRESH_MS = 1000
const PROGRESS_INTERVAL_MS = 5000
const NOTICES_SHOWN = 3

/** Shows a rollback while it goes on. */
export interface RollbackRenderer {
  /** Says something that is no event of the rollback, such as what a signal will do. */
  notice(text: string): void
  onEvent(event: RollbackEvent): void
  /** Leaves the terminal as it was found. */
  stop(): Promise<void>
}

/** Just the steps that are needed, as a task list; for terminals. Drawn when the first of them begins. */
export class RollbackList implements RollbackRenderer {
  private current: StepId | undefined
  private list: TaskList | undefined
  private readonly notices: string[] = []
  private progress: Progress | undefined
  private steps: readonly StepId[] = []
  private timer: Timer | undefined

  constructor(
    private readonly clock: Clock,
    private readonly output: Output,
  ) {}

  notice(text: string): void {
    this.notices.push(text)
    if (this.list) this.refresh()
    else this.output.write(`${printable(text)}\n`)
  }

  onEvent(event: RollbackEvent): void {
    switch (event.type) {
      case 'effect': {
        if (event.state === 'failed') this.notice(`failed: ${event.sentence}`)
        break
      }

      case 'progress': {
        this.progress = event.progress
        this.refresh()
        break
      }

      case 'step-failed': {
        this.end(event.step, 'failed', event.error)
        break
      }

      case 'step-finished': {
        this.end(event.step, 'done', `${formatDuration(event.durationMs)}  ${event.summary}`)
        break
      }

      case 'step-skipped': {
        this.end(event.step, 'skipped', event.reason)
        break
      }

      case 'step-started': {
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
    this.timer?.cancel()
    await this.list?.close()
  }

  private begin(step: StepId): void {
    if (!this.list) {
      this.list = new TaskList(new Map(this.steps.map((id) => [id, stepTitles[id]])), Promise.resolve())
      const tick = () => {
        this.refresh()
        this.timer = this.clock.setTimer(REFRESH_MS, tick)
      }

      this.timer = this.clock.setTimer(REFRESH_MS, tick)
    }

    this.current = step
    this.progress = undefined
    this.list.begin(step)
  }

  private end(step: StepId, end: 'done' | 'failed' | 'skipped', text: string): void {
    this.list?.end(step, end, printable(`${stepTitles[step]}  ${text}`))
    this.current = undefined
  }

  private refresh(): void {
    if (!this.current) return
    const lines = this.progress ? [this.progress.text, figures(this.progress)] : []
    const shown = [...lines, ...this.notices.slice(-NOTICES_SHOWN)].filter((line) => line !== '')
    this.list?.output(
      this.current,
      shown.map((line) => printable(line)),
    )
  }
}

/** One line with a timestamp per event; for pipes and logs. */
export class RollbackLines implements RollbackRenderer {
  private shownAtMs = Number.NEGATIVE_INFINITY

  constructor(
    private readonly clock: Clock,
    private readonly output: Output,
    private readonly table: string,
  ) {}

  notice(text: string): void {
    this.line(this.clock.wallMs(), {event: 'notice', text})
  }

  onEvent(event: RollbackEvent): void {
    switch (event.type) {
      case 'effect': {
        this.line(event.atMs, {event: 'effect', effect: event.effect.kind, state: event.state, text: event.sentence})
        break
      }

      case 'progress': {
        if (event.atMs - this.shownAtMs < PROGRESS_INTERVAL_MS) break
        this.shownAtMs = event.atMs
        const {partitionCount, partitionsDone, text} = event.progress
        const partitions = partitionCount === undefined ? undefined : `${partitionsDone ?? 0}/${partitionCount}`
        this.line(event.atMs, {step: event.step, event: 'progress', partitions, text})
        break
      }

      case 'step-failed': {
        this.line(event.atMs, {step: event.step, event: 'failed', error: event.error})
        break
      }

      case 'step-finished': {
        const {atMs, durationMs, step, summary} = event
        this.line(atMs, {step, event: 'finished', durationMs, summary})
        break
      }

      case 'step-skipped': {
        this.line(event.atMs, {step: event.step, event: 'skipped', reason: event.reason})
        break
      }

      case 'step-started': {
        this.shownAtMs = Number.NEGATIVE_INFINITY
        this.line(event.atMs, {step: event.step, event: 'started'})
        break
      }

      case 'steps': {
        this.line(event.atMs, {event: 'steps', steps: event.steps.join(',')})
        break
      }

      case 'warning': {
        this.line(event.atMs, {event: 'warning', code: event.code, text: event.message})
        break
      }
    }
  }

  async stop(): Promise<void> {
    // Every line is complete.
  }

  private line(atMs: number, fields: Record<string, number | string | undefined>): void {
    this.output.write(`${new Date(atMs).toISOString()} ${formatFields({table: this.table, ...fields})}\n`)
  }
}

/** For `--json`: the one document at the end is all that stdout gets; alarms go to stderr. */
export class RollbackSilent implements RollbackRenderer {
  constructor(private readonly stderr: Output) {}

  notice(text: string): void {
    this.stderr.write(`${printable(text)}\n`)
  }

  onEvent(event: RollbackEvent): void {
    if (event.type === 'warning' && event.message.startsWith('ALARM')) this.notice(event.message)
  }

  async stop(): Promise<void> {
    // Nothing was drawn.
  }
}
