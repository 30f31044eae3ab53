/** A terminal that does what ours are asked to do, and no more: what a person would see of what was written to it. */
export class Screen {
  /** How often the whole screen moved up. */
  scrolled = 0
  /** How often a line that held text was emptied or shortened before it was written again: what the eye sees as flicker. */
  erased = 0
  /** How often a line went on in the next row because it was too wide. */
  wrapped = 0
  cursorHidden = false
  private column = 0
  private lines: string[]
  private row = 0

  constructor(
    private readonly columns: number,
    private readonly rows: number,
  ) {
    this.lines = Array.from({length: rows}, () => '')
  }

  /** What is on it, without empty lines at the end. */
  get text(): string {
    return this.lines.join('\n').trimEnd()
  }

  write(text: string): void {
    // eslint-disable-next-line no-control-regex
    for (const [part, parameter, command] of text.matchAll(/\u001B\[([\d;?]*)([A-Za-z])|[^\u001B]/gu)) {
      if (command === undefined) this.put(part)
      else this.control(command, parameter!)
    }
  }

  private control(command: string, parameter: string): void {
    const count = Number(parameter) || 1
    switch (command) {
      case 'A': {
        this.row = Math.max(0, this.row - count)
        break
      }

      case 'B': {
        this.row = Math.min(this.rows - 1, this.row + count)
        break
      }

      case 'G': {
        this.column = count - 1
        break
      }

      case 'K': {
        if (parameter === '2' && this.lines[this.row] !== '') this.erased++
        this.lines[this.row] = parameter === '2' ? '' : this.lines[this.row]!.slice(0, this.column)

        break
      }

      case 'J': {
        this.lines[this.row] = this.lines[this.row]!.slice(0, this.column)
        this.lines.fill('', this.row + 1)

        break
      }

      default: {
        if (parameter === '?25') this.cursorHidden = command === 'l'
        else if (command !== 'm' && parameter !== '?2026')
          throw new Error(`the screen does not know CSI ${parameter}${command}`)
      }
    }
  }

  private put(character: string): void {
    if (character === '\r') this.column = 0
    else if (character === '\n') {
      this.column = 0
      this.down()
    } else {
      if (this.column === this.columns) {
        this.wrapped++
        this.column = 0
        this.down()
      }

      const line = this.lines[this.row]!.padEnd(this.column)
      this.lines[this.row] = line.slice(0, this.column) + character + line.slice(this.column + 1)
      this.column++
    }
  }

  private down(): void {
    if (this.row < this.rows - 1) this.row++
    else {
      this.lines = [...this.lines.slice(1), '']
      this.scrolled++
    }
  }
}
