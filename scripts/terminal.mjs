// A terminal in memory, as far as our screens need one, and pictures of it: for scripts/screens.mjs.

const PALETTE = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white']
// eslint-disable-next-line no-control-regex
const CONTROL = /\u001B\[([\d;?]*)([A-Za-z])|\u001B[()][A-Z\d]|\u001B\][^\u0007]*\u0007|\u001B[=>78]|[^\u001B]/gu

/** What a person would see of what was written: cells with a colour and a weight. */
export class Terminal {
  #column = 0
  #row = 0
  #style = {}

  constructor(columns, rows) {
    this.columns = columns
    this.rows = rows
    this.lines = Array.from({length: rows}, () => [])
  }

  write(text) {
    for (const [part, parameter, command] of text.matchAll(CONTROL)) {
      if (command !== undefined) this.#control(command, parameter)
      else if (!part.startsWith('\u001B')) this.#put(part)
    }
  }

  /** Rows of runs of cells that look alike: `[{text, color, bold, dim}]`. */
  runs() {
    return this.lines.map((cells) => {
      const runs = []
      // Cells that nothing was written to are holes, which this walks over too.
      for (const cell of cells) {
        const {character = ' ', ...style} = cell ?? {}
        const last = runs.at(-1)
        if (last && last.color === style.color && last.bold === style.bold && last.dim === style.dim)
          last.text += character
        else runs.push({text: character, ...style})
      }

      return runs
    })
  }

  text() {
    return this.lines
      .map((cells) =>
        Array.from(cells, (cell) => cell?.character ?? ' ')
          .join('')
          .trimEnd(),
      )
      .join('\n')
      .trimEnd()
  }

  #control(command, parameter) {
    const count = Number(parameter) || 1
    if (command === 'A') this.#row = Math.max(0, this.#row - count)
    if (command === 'B') this.#row = Math.min(this.rows - 1, this.#row + count)
    if (command === 'C') this.#column = Math.min(this.columns - 1, this.#column + count)
    if (command === 'D') this.#column = Math.max(0, this.#column - count)
    if (command === 'G') this.#column = count - 1
    if (command === 'H') this.#home(parameter)
    if (command === 'J') this.#erase(parameter)
    if (command === 'K') this.#eraseLine(parameter)
    if (command === 'm') this.#dress(parameter)
  }

  #home(parameter) {
    const [row = 1, column = 1] = parameter.split(';').map((text) => Number(text) || 1)
    this.#row = Math.min(this.rows, row) - 1
    this.#column = Math.min(this.columns, column) - 1
  }

  #erase(parameter) {
    if (parameter === '2') this.lines = this.lines.map(() => [])
    else {
      this.lines[this.#row].length = Math.min(this.lines[this.#row].length, this.#column)
      for (let row = this.#row + 1; row < this.rows; row++) this.lines[row] = []
    }
  }

  #eraseLine(parameter) {
    const line = this.lines[this.#row]
    if (parameter === '2') this.lines[this.#row] = []
    else if (parameter === '1') line.fill(undefined, 0, this.#column + 1)
    else line.length = Math.min(line.length, this.#column)
  }

  #dress(parameter) {
    for (const code of parameter.split(';').map(Number)) {
      switch (code) {
        case 0: {
          this.#style = {}
          break
        }

        case 1: {
          this.#style = {...this.#style, bold: true}
          break
        }

        case 2: {
          this.#style = {...this.#style, dim: true}
          break
        }

        case 22: {
          this.#style = {...this.#style, bold: undefined, dim: undefined}
          break
        }

        case 39: {
          this.#style = {...this.#style, color: undefined}
          break
        }

        default: {
          if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97))
            this.#style = {...this.#style, color: PALETTE[code % 10]}
        }
      }
    }
  }

  #put(character) {
    switch (character) {
      case '\r': {
        this.#column = 0
        break
      }

      case '\b': {
        this.#column = Math.max(0, this.#column - 1)
        break
      }

      case '\n': {
        this.#down()
        break
      }

      default: {
        if (character >= ' ') {
          if (this.#column === this.columns) {
            this.#column = 0
            this.#down()
          }

          this.lines[this.#row][this.#column++] = {character, ...this.#style}
        }
      }
    }
  }

  #down() {
    if (this.#row < this.rows - 1) this.#row++
    else this.lines = [...this.lines.slice(1), []]
  }
}

const CELL = {height: 18, width: 8.4}
const MARGIN = 14
const FONT = 'font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre'
const STYLE = `
.page{fill:#fff;stroke:#d0d7de}.t{fill:#1f2328}.black,.white{fill:#57606a}.red{fill:#cf222e}.green{fill:#1a7f37}
.yellow{fill:#9a6700}.blue{fill:#0969da}.magenta{fill:#8250df}.cyan{fill:#1b7c83}.bold{font-weight:700}.dim{opacity:.65}
@media (prefers-color-scheme:dark){.page{fill:#0d1117;stroke:#30363d}.t{fill:#e6edf3}.black,.white{fill:#9198a1}
.red{fill:#ff7b72}.green{fill:#3fb950}.yellow{fill:#d29922}.blue{fill:#58a6ff}.magenta{fill:#bc8cff}.cyan{fill:#39c5cf}}
text{${FONT}}
`

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

function drawn(rows) {
  return rows
    .map((runs, row) => {
      let column = 0
      const spans = runs.map(({bold, color, dim, text}) => {
        const x = (MARGIN + column * CELL.width).toFixed(1)
        column += text.length
        if (text.trim() === '') return ''
        const kind = [color, bold && 'bold', dim && 'dim'].filter(Boolean).join(' ')
        return `<tspan x="${x}" textLength="${(text.length * CELL.width).toFixed(1)}"${kind && ` class="${kind}"`}>${escape(text)}</tspan>`
      })
      const shown = spans.filter((span) => span !== '').join('')
      return shown && `<text class="t" y="${MARGIN + 13 + row * CELL.height}" xml:space="preserve">${shown}</text>`
    })
    .filter(Boolean)
    .join('')
}

/** Of xterm, where nobody has chosen others: the hardest to read on white. */
const XTERM =
  '.red{fill:#cd0000}.green{fill:#00cd00}.yellow{fill:#cdcd00}.blue{fill:#0000ee}.magenta{fill:#cd00cd}.cyan{fill:#00cdcd}'
const THEMES = {
  dark: `.page{fill:#000;stroke:#333}.t{fill:#e5e5e5}.black,.white{fill:#7f7f7f}${XTERM}`,
  light: `.page{fill:#fff;stroke:#ccc}.t{fill:#000}.black,.white{fill:#7f7f7f}${XTERM}`,
}

/** One screen on a light or a dark terminal. @param rows {ReturnType<Terminal['runs']>} */
export function still(rows, columns, theme, label) {
  const [width, height] = [2 * MARGIN + columns * CELL.width, 2 * MARGIN + rows.length * CELL.height]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(label)}">
<style>${THEMES[theme]}.bold{font-weight:700}.dim{opacity:.65}
text{${FONT}}</style>
<rect class="page" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
${drawn(rows)}
</svg>
`
}

/**
 * The frames one after the other, each for so long, over and over; light or dark as the reader has it. Whoever wants no
 * movement sees the last.
 * @param frames {{rows: ReturnType<Terminal['runs']>, seconds: number}[]}
 */
export function animation(frames, columns, rows, label) {
  const total = frames.reduce((sum, {seconds}) => sum + seconds, 0)
  const [width, height] = [2 * MARGIN + columns * CELL.width, 2 * MARGIN + rows * CELL.height]
  let startS = 0
  const motion = frames.map(({seconds}, index) => {
    const [from, to] = [(100 * startS) / total, (100 * (startS + seconds)) / total]
    startS += seconds
    const before = from > 0 ? `0%,${(from - 0.001).toFixed(3)}%{visibility:hidden}` : ''
    const after = to < 100 ? `${to.toFixed(3)}%,100%{visibility:hidden}` : ''
    return `@keyframes f${index}{${before}${from.toFixed(3)}%,${(to - 0.001).toFixed(3)}%{visibility:visible}${after}}
.f${index}{visibility:hidden;animation:f${index} ${total}s step-end infinite}`
  })
  const still = `@media (prefers-reduced-motion:reduce){g{animation:none!important}.f${frames.length - 1}{visibility:visible}}`
  const groups = frames.map((frame, index) => `<g class="f${index}">${drawn(frame.rows)}</g>`)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(label)}">
<style>${STYLE}${motion.join('\n')}
${still}</style>
<rect class="page" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
${groups.join('\n')}
</svg>
`
}
