import {ux} from '@oclif/core'
import type {Clock, Timer} from '../clock.js'
import type {Canvas} from './frame-painter.js'
import {TaskList} from './task-list.js'
import {fit, formatDuration, formatSeconds, printable} from './text.js'

const REFRESH_MS = 1000
const NOTICE_SHOWN_MS = 30_000
const NOTICES_SHOWN = 3
/** Beside what stands under an entry: indentation, mark, and what Listr keeps free. */
const MARGIN = 6
/** Beside a title: the mark, and what Listr keeps free. */
const TITLE_MARGIN = 4
const NARROWEST = 20

/** How much fits under an entry. */
export interface Room {
  columns: number
  lines: number
}

/** One line under an entry; need not be escaped. */
export type Line = string | {color: string; text: string}

export type End = 'done' | 'failed' | 'skipped'

/** A task list on a terminal: one entry runs and has live lines under it. What all commands that draw have in common. */
export abstract class LiveList<Id extends string> {
  protected current: Id | undefined
  private begunAtMs = 0
  /** Lists are closed one after the other, and a new one is drawn only when the last is off the screen. */
  private closing: Promise<void> = Promise.resolve()
  private entries = 0
  private list: TaskList | undefined
  private notices: {text: string; untilMs: number}[] = []
  private paused = false
  private timer: Timer | undefined

  constructor(
    protected readonly clock: Clock,
    protected readonly canvas: Canvas = process.stdout,
  ) {}

  /** Says something for half a minute, or at once when no list is drawn. */
  notice(text: string): void {
    this.notices.push({text, untilMs: this.clock.wallMs() + NOTICE_SHOWN_MS})
    if (this.list || this.paused) this.refresh()
    else this.canvas.write(`${printable(text)}\n`)
  }

  /** What stands under the entry that runs; what does not fit `room` is cut off. */
  protected abstract lines(room: Room, notices: readonly string[]): Line[]

  /** What an entry is called, in as few words as possible. */
  protected abstract titleOf(id: Id): string

  /** What all titles are filled up to, so that the times stand below one another. */
  protected abstract readonly titleWidth: number

  /** Takes the list off the screen for as long as `interlude` lasts; `again` draws it once more. */
  protected async interrupt<T>(interlude: () => Promise<T>, again: () => void): Promise<T> {
    this.paused = true
    await this.close()
    try {
      return await interlude()
    } finally {
      this.paused = false
      again()
    }
  }

  protected begin(id: Id): void {
    this.current = id
    this.begunAtMs = this.clock.wallMs()
    this.list?.begin(id)
    this.refresh()
  }

  /** @param text what is said of it now that it has ended; with `durationMs` after its title and its time */
  protected end(id: Id, end: End, text: string, durationMs?: number): void {
    if (this.current === id) this.current = undefined
    const time = durationMs === undefined ? '' : `${formatDuration(durationMs)}  `
    this.list?.end(id, end, this.title(id, time + text))
  }

  protected get isOpen(): boolean {
    return this.list !== undefined
  }

  protected canBegin(id: Id): boolean {
    return this.list?.canBegin(id) ?? false
  }

  /** Draws a list of these as soon as the last one is off the screen. */
  protected open(ids: readonly Id[]): void {
    void this.close()
    if (this.paused) return
    this.entries = ids.length
    this.list = new TaskList(new Map(ids.map((id) => [id, printable(this.titleOf(id))])), this.closing)
    this.tick()
  }

  /** Resolves when nothing is drawn any more. */
  protected close(): Promise<void> {
    this.timer?.cancel()
    const {list} = this
    this.list = undefined
    if (list) this.closing = this.closing.then(() => list.close())
    return this.closing
  }

  protected refresh(): void {
    if (!this.current || !this.list) return
    const nowMs = this.clock.wallMs()
    this.notices = this.notices.filter(({untilMs}) => nowMs < untilMs)
    const notices = this.notices.slice(-NOTICES_SHOWN).map(({text}) => text)
    const columns = Math.max(NARROWEST, (this.canvas.columns || 80) - MARGIN)
    const room = {columns, lines: Math.max(1, (this.canvas.rows || 24) - 1 - this.entries)}
    const lines = this.lines(room, notices).slice(0, room.lines)
    this.list.retitle(this.current, this.title(this.current, formatSeconds(nowMs - this.begunAtMs)))
    this.list.output(
      this.current,
      lines.map((line) => drawn(line, columns)),
    )
  }

  private title(id: Id, text: string): string {
    const columns = Math.max(NARROWEST, (this.canvas.columns || 80) - TITLE_MARGIN)
    return fit(printable(`${this.titleOf(id).padEnd(this.titleWidth)}  ${text}`), columns)
  }

  /** Figures that count on are drawn again each second. */
  private tick(): void {
    this.timer?.cancel()
    this.refresh()
    this.timer = this.clock.setTimer(REFRESH_MS, () => this.tick())
  }
}

function drawn(line: Line, columns: number): string {
  const text = fit(printable(typeof line === 'string' ? line : line.text), columns)
  return typeof line === 'string' ? text : ux.colorize(line.color, text)
}
