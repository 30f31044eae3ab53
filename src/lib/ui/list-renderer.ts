import type {Clock} from '../clock.js'
import {type MigrationEvent, type PhaseId, phaseIds, phaseTitles} from '../migration/events.js'
import {ctrlCSentence} from './ctrl-c.js'
import type {DenyWatch} from './deny-watch.js'
import type {Canvas} from './frame-painter.js'
import {type End, type Line, LiveList, type Room} from './live-list.js'
import {type Expectation, LiveView} from './live-view.js'
import type {Renderer} from './renderer.js'

const UNDO = 'undo'
const UNDO_TITLE = 'Take back'

/** What the list knows besides the events. */
export interface ListSurroundings {
  /** Longest time for which writes may be denied, ms. */
  boundMs: number
  denyWatch: DenyWatch
  /** How long a phase takes by the servers' own timers; `undo`: taking the deny back. */
  expect(phase: PhaseId | 'undo'): Expectation | undefined
  /** Whether a signal has stopped the run. */
  isStopping(): boolean
}

/** The phases as a task list with live figures under the one that is running; for terminals. */
export class ListRenderer extends LiveList<PhaseId | typeof UNDO> implements Renderer {
  protected readonly titleWidth = Math.max(...Object.values(phaseTitles).map((title) => title.length))
  private readonly ended = new Set<PhaseId>()
  private readonly view: LiveView

  constructor(
    clock: Clock,
    private readonly around: ListSurroundings,
    canvas?: Canvas,
  ) {
    super(clock, canvas)
    this.view = new LiveView((phase) => around.expect(phase))
  }

  onEvent(event: MigrationEvent): void {
    this.view.onEvent(event)
    switch (event.type) {
      case 'check': {
        break
      }

      case 'effect':
      case 'progress':
      case 'undo-progress': {
        this.refresh()
        break
      }

      case 'hook': {
        if (event.state === 'output' || event.state === 'failed') this.notice(`hook ${event.moment}: ${event.text}`)
        break
      }

      case 'phase-started': {
        this.beginPhase(event.phase)
        break
      }

      case 'phase-finished': {
        this.endPhase(event.phase, 'done', event.summary, event.durationMs)
        break
      }

      case 'phase-failed': {
        this.endPhase(event.phase, 'failed', event.error)
        break
      }

      case 'phase-skipped': {
        this.endPhase(event.phase, 'skipped', `skipped: ${event.reason}`)
        break
      }

      case 'undo-started': {
        if (this.current && this.current !== UNDO) this.endPhase(this.current, 'failed', `stopped: ${event.reason}`)
        this.open([UNDO])
        this.begin(UNDO)
        break
      }

      case 'undo-finished': {
        this.end(UNDO, event.ok ? 'done' : 'failed', event.sentence)
        break
      }

      case 'warning': {
        this.notice(`warning: ${event.message}`)
        break
      }
    }
  }

  async pause<T>(interlude: () => Promise<T>): Promise<T> {
    const {current} = this
    if (current && current !== UNDO) this.end(current, 'done', 'waits for you')
    return this.interrupt(interlude, () => {
      if (current && current !== UNDO) this.beginPhase(current)
    })
  }

  start(): void {
    this.openRest()
  }

  async stop(): Promise<void> {
    await this.close()
  }

  protected override lines(room: Room, notices: readonly string[]): Line[] {
    const {boundMs, denyWatch, expect, isStopping} = this.around
    const {deniedSinceMs, isHandedOver} = denyWatch
    const undoMs = expect('undo')?.maxMs
    const ctrlC = ctrlCSentence({
      isDenied: deniedSinceMs !== undefined,
      isHandedOver,
      isStopping: isStopping(),
      phase: this.current === UNDO ? undefined : this.current,
      ...(undoMs === undefined ? {} : {undoMs}),
    })
    const denied = deniedSinceMs === undefined ? {} : {denied: {boundMs, sinceMs: deniedSinceMs}}
    return this.view.lines({...denied, ctrlC, notices, nowMs: this.clock.wallMs(), room})
  }

  protected override titleOf(id: PhaseId | typeof UNDO): string {
    return id === UNDO ? UNDO_TITLE : phaseTitles[id]
  }

  private beginPhase(phase: PhaseId): void {
    // A cutover that was taken back is tried again: the phases from here on are ahead once more.
    for (const later of phaseIds.slice(phaseIds.indexOf(phase))) this.ended.delete(later)
    if (!this.canBegin(phase)) this.openRest()
    this.begin(phase)
  }

  private endPhase(phase: PhaseId, end: End, text: string, durationMs?: number): void {
    if (this.ended.has(phase)) return
    if (!this.canBegin(phase)) this.openRest()
    this.ended.add(phase)
    this.end(phase, end, text, durationMs)
  }

  /** Draws the phases that have not ended. */
  private openRest(): void {
    this.open(phaseIds.filter((phase) => !this.ended.has(phase)))
  }
}
