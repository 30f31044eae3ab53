import {stripVTControlCharacters} from 'node:util'

const [HIDE_CURSOR, SHOW_CURSOR] = ['\u001B[?25l', '\u001B[?25h']
/** Terminals that know it show everything in between at once; the others ignore it. */
const [BEGIN_UPDATE, END_UPDATE] = ['\u001B[?2026h', '\u001B[?2026l']
const [CLEAR_LINE, CLEAR_BELOW] = ['\u001B[K', '\u001B[J']
const DEFAULT_ROWS = 24

/** What is painted on; `process.stdout` is one. */
export interface Canvas {
  columns?: number | undefined
  rows?: number | undefined
  write(text: string): unknown
}

/**
 * Paints frames of lines over one another at the cursor. Only lines that have changed are written, and none is erased
 * before it is written again: nothing flickers, also over a slow line.
 */
export class FramePainter {
  private columns: number | undefined
  private isCut = false
  private shown: string[] = []

  constructor(private readonly canvas: Canvas) {}

  /** The last frame, in full and left on the screen, with the cursor below it. */
  finish(lines: readonly string[]): void {
    if (this.isCut) this.write(this.toTop() + CLEAR_BELOW, [])
    this.draw(lines)
    this.canvas.write(SHOW_CURSOR)
    this.shown = []
  }

  /** Lines must not be wider than the canvas. Of a frame that is higher, the end is shown: anything else would scroll. */
  paint(lines: readonly string[]): void {
    const most = Math.max(1, (this.canvas.rows || DEFAULT_ROWS) - 1)
    this.draw(lines.slice(-most))
    this.isCut = lines.length > most
  }

  private draw(lines: readonly string[]): void {
    const {canvas, shown} = this
    const isResized = this.columns !== undefined && this.columns !== canvas.columns
    // What was drawn is broken anew by the terminal: all of it is drawn again.
    const before = isResized ? [] : shown
    if (before.length === lines.length && lines.every((line, index) => line === before[index])) return
    const start = (shown.length === 0 ? HIDE_CURSOR : '') + this.toTop() + (isResized ? CLEAR_BELOW : '')
    const painted = lines.map((line, index) => (line === before[index] ? '\n' : `${line}${CLEAR_LINE}\n`))
    this.write(start + painted.join('') + (lines.length < before.length ? CLEAR_BELOW : ''), lines)
  }

  private toTop(): string {
    const columns = this.canvas.columns || Number.POSITIVE_INFINITY
    const height = (line: string) => Math.max(1, Math.ceil(stripVTControlCharacters(line).length / columns))
    const rows = this.shown.reduce((sum, line) => sum + height(line), 0)
    return rows === 0 ? '' : `\r\u001B[${rows}A`
  }

  private write(text: string, shown: readonly string[]): void {
    this.canvas.write(BEGIN_UPDATE + text + END_UPDATE)
    this.shown = [...shown]
    this.columns = this.canvas.columns
  }
}
