import type {MigrationEvent} from '../migration/events.js'
import {type Output, Silent} from './plain-lines.js'
import type {Renderer} from './renderer.js'
import {printable} from './text.js'

/** For `--quiet`: warnings, and that a deny is being taken back; the outcome is told at the end. */
export class QuietRenderer extends Silent implements Renderer {
  constructor(private readonly stream: Output) {
    super(stream)
  }

  onEvent(event: MigrationEvent): void {
    if (event.type === 'warning') this.tell(`warning: ${event.message}`)
    if (event.type === 'undo-started') this.tell(`taking back, because ${event.reason}: ${event.sentence}`)
    if (event.type === 'undo-finished') this.tell(event.sentence)
  }

  pause<T>(interlude: () => Promise<T>): Promise<T> {
    return interlude()
  }

  start(): void {
    // Nothing to draw.
  }

  private tell(text: string): void {
    this.stream.write(`${printable(text)}\n`)
  }
}
