export {formatDuration, formatSeconds} from '../durations.js'
export {formatCount, plural} from '../plural.js'

const CONTROL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/**
 * Text of a server, a file or a user as it may go to a terminal or a log: one line, control characters, escape
 * sequences and direction marks shown as `\u001b`.
 */
export function printable(text: string): string {
  return text.replaceAll(CONTROL, (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`)
}

/** JSON over several lines, in which nothing steers a terminal: `JSON.stringify` leaves controls above 127 and direction marks. */
export function jsonText(value: unknown): string {
  const escape = (character: string) => (character === '\n' ? character : inUtf16(character))
  return JSON.stringify(value, null, 2).replaceAll(CONTROL, escape)
}

/** `\u` and four digits for each unit of UTF-16, as JSON has it. */
function inUtf16(character: string): string {
  return Buffer.from(character, 'utf16le')
    .swap16()
    .toString('hex')
    .replaceAll(/.{4}/g, String.raw`\u$&`)
}

/** Several lines of the same: line ends are kept, everything else is escaped. */
export function printableLines(text: string): string[] {
  return text.split(/\r?\n/).map((line) => printable(line.replaceAll('\t', '  ')))
}

/** Time of day on the wall clock, `08:00:12 UTC`. */
export function formatTimeOfDay(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(11, 19)} UTC`
}

/** At most `width` characters; what is cut off shows. */
export function fit(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`
}

/** The parts that fit into `width`, the first ones before the later ones. */
export function joinFitting(parts: readonly string[], width: number, separator = ', '): string {
  let line = ''
  for (const part of parts.filter((text) => text !== '')) {
    const longer = line === '' ? part : line + separator + part
    if (longer.length <= width) line = longer
    else if (line === '') line = fit(part, width)
  }

  return line
}

/** How wide sentences may be, in columns; a terminal that does not say how wide it is has 80, a file takes 100. */
export function widthOf({columns, isTTY}: {columns?: number; isTTY?: boolean}): number {
  return Math.max(40, Math.min(columns || (isTTY ? 80 : 100), 100))
}

/** Breaks a line at spaces so that none is longer than `width`; words that are longer are cut. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (let word of text.split(' ')) {
    while (word.length > width) {
      if (line) lines.push(line)
      line = ''
      lines.push(word.slice(0, width))
      word = word.slice(width)
    }

    if (line && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line ? `${line} ${word}` : word
  }

  if (line || lines.length === 0) lines.push(line)
  return lines
}

/** A paragraph whose lines all begin with `indent`, the first with `first` instead. */
export function paragraph(text: string, indent: string, width: number, first = indent): string[] {
  return printableLines(text)
    .flatMap((line) => wrap(line, Math.max(20, width - indent.length)))
    .map((line, index) => (index === 0 ? first : indent) + line)
}
