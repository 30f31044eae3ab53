import type {Clock, Timer} from '../clock.js'
import {type MigrationEvent, type PhaseId, phaseIds, phaseTitles} from '../migration/events.js'
import type {DenyWatch} from './deny-watch.js'
import {LiveView} from './live-view.js'
import type {Renderer} from './renderer.js'
import {TaskList} from './task-list.js'
import {formatDuration, printable} from './text.js'

const UNDO = 'undo'
const REFRESH_MS = 1000

/** The phases as a task list with live figures under the one that is running; for terminals. */
export class ListRenderer implements Renderer {
  private current: PhaseId | typeof UNDO | undefined
  private readonly ended = new Set<PhaseId>()
  private list: TaskList | undefined
  /** Lists are closed one after the other, and a new one is drawn only when the last is off the screen. */
  private closing: Promise<void> = Promise.resolve()
  private paused = false
  private timer: Timer | undefined
  private readonly view = new LiveView()

  constructor(
    private readonly clock: Clock,
    private readonly denyWatch: DenyWatch,
  ) {}

  notice(text: string): void {
    this.view.notice(text, this.clock.wallMs())
    this.refresh()
  }

  onEvent(event: MigrationEvent): void {
    this.view.onEvent(event)
    switch (event.type) {
      case 'check': {
        break
      }

      case 'effect':
      case 'progress':
      case 'undo-progress':
      case 'warning': {
        this.refresh()
        break
      }

      case 'phase-started': {
        this.begin(event.phase)
        break
      }

      case 'phase-finished': {
        const title = `${phaseTitles[event.phase]}  ${formatDuration(event.durationMs)}  ${event.summary}`
        this.end(event.phase, 'done', title)
        break
      }

      case 'phase-failed': {
        this.end(event.phase, 'failed', `${phaseTitles[event.phase]}  ${event.error}`)
        break
      }

      case 'phase-skipped': {
        this.end(event.phase, 'skipped', `${phaseTitles[event.phase]}  skipped: ${event.reason}`)
        break
      }

      case 'undo-started': {
        if (this.current && this.current !== UNDO)
          this.end(this.current, 'failed', `${phaseTitles[this.current]}  stopped: ${event.reason}`)
        this.openUndo(`Take back: ${event.sentence}`)
        break
      }

      case 'undo-finished': {
        this.list?.end(UNDO, event.ok ? 'done' : 'failed', printable(event.sentence))
        this.current = undefined
        break
      }
    }
  }

  async pause<T>(interlude: () => Promise<T>): Promise<T> {
    this.paused = true
    if (this.current && this.current !== UNDO)
      this.list?.end(this.current, 'done', `${phaseTitles[this.current]}  waits for you`)
    this.close()
    await this.closing
    try {
      return await interlude()
    } finally {
      this.paused = false
      if (this.current && this.current !== UNDO) this.begin(this.current)
    }
  }

  start(): void {
    this.open()
    const tick = () => {
      this.refresh()
      this.timer = this.clock.setTimer(REFRESH_MS, tick)
    }

    this.timer = this.clock.setTimer(REFRESH_MS, tick)
  }

  async stop(): Promise<void> {
    this.timer?.cancel()
    this.close()
    await this.closing
  }

  private begin(phase: PhaseId): void {
    this.current = phase
    // A cutover that was taken back is tried again: the phases from here on are ahead once more.
    for (const later of phaseIds.slice(phaseIds.indexOf(phase))) this.ended.delete(later)
    this.openFor(phase)
    this.list?.begin(phase)
    this.refresh()
  }

  private end(phase: PhaseId, end: 'done' | 'failed' | 'skipped', title: string): void {
    if (this.ended.has(phase)) return
    this.openFor(phase)
    this.ended.add(phase)
    if (this.current === phase) this.current = undefined
    this.list?.end(phase, end, printable(title))
  }

  private openFor(phase: PhaseId): void {
    if (this.list?.canBegin(phase)) return
    this.close()
    this.open()
  }

  /** Draws the phases that have not ended. */
  private open(): void {
    const left = phaseIds.filter((phase) => !this.ended.has(phase))
    this.openList(new Map(left.map((phase) => [phase, phaseTitles[phase]])))
  }

  private openUndo(title: string): void {
    this.close()
    this.current = UNDO
    this.openList(new Map([[UNDO, printable(title)]]))
    this.list?.begin(UNDO)
    this.refresh()
  }

  private openList(titles: Map<string, string>): void {
    if (this.paused) return
    this.list = new TaskList(titles, this.closing)
  }

  private close(): void {
    const {list} = this
    this.list = undefined
    if (list) this.closing = this.closing.then(() => list.close())
  }

  private refresh(): void {
    if (this.current)
      this.list?.output(this.current, this.view.lines(this.clock.wallMs(), this.denyWatch.deniedSinceMs))
  }
}
