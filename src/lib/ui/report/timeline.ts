import {phaseIds, phaseTitles} from '../../migration/events.js'
import type {WriteDenyWindow} from '../../migration/result.js'
import {formatDuration} from '../text.js'
import {escape, round, svg, TimeAxis} from './picture.js'
import type {MigrationReport, Span} from './record.js'

const WIDTH = 960
const [LEFT, RIGHT] = [110, 940]
const ROW = 26
const TOP = 24

const titleOf = (phase: Span['phase']) => (phase === 'undo' ? 'Take back' : phaseTitles[phase])

/** From the first refused write until writes worked again, wall clock, ms; undefined when none was refused. */
export function deniedSpan(
  {firstRefusedAtMs, liftedAtMs, setAtMs, windowMs}: WriteDenyWindow,
  endMs: number,
): undefined | {endMs: number; startMs: number} {
  const startMs = firstRefusedAtMs ?? setAtMs
  if (startMs === undefined) return undefined
  return {endMs: windowMs === undefined ? (liftedAtMs ?? endMs) : startMs + windowMs, startMs}
}

function barOf(span: Span, axis: TimeAxis, y: number, runEndMs: number): string {
  const endMs = span.endMs ?? runEndMs
  const [x, end] = [axis.x(span.startMs), axis.x(endMs)]
  const width = round(Math.max(3, end - x))
  const time = formatDuration(endMs - span.startMs)
  const isRight = x + width + 80 > RIGHT
  const label = isRight
    ? `<text class="figure" x="${round(x - 6)}" y="${y + 17}" text-anchor="end">${time}</text>`
    : `<text class="figure" x="${round(x + width + 6)}" y="${y + 17}">${time}</text>`
  const title = `<title>${escape(`${titleOf(span.phase)}: ${time}${span.text ? `, ${span.text}` : ''}`)}</title>`
  return `<rect class="bar ${span.state}" x="${x}" y="${y + 4}" width="${width}" height="${ROW - 8}" rx="2">${title}</rect>${label}`
}

/** The phases over time, one row each; what was denied lies behind them. */
export function timelinePicture({endedAtMs, result, spans, startedAtMs}: MigrationReport): string {
  const order: Span['phase'][] = [...phaseIds, 'undo']
  const rows = order.filter((phase) => spans.some((span) => span.phase === phase))
  if (rows.length === 0) return ''
  const bottom = TOP + rows.length * ROW
  const axis = new TimeAxis(startedAtMs, endedAtMs, LEFT, RIGHT)
  const windows = result ? [...result.earlierWindows, result.writeDeny] : []
  const denied = windows.flatMap((window) => {
    const span = deniedSpan(window, endedAtMs)
    if (!span) return []
    const [x, end] = [axis.x(span.startMs), axis.x(span.endMs)]
    const anchor = x > WIDTH / 2 ? 'end' : 'start'
    const text = `writes denied ${formatDuration(span.endMs - span.startMs)}`
    return [
      `<rect class="denied" x="${x}" y="${TOP}" width="${round(Math.max(2, end - x))}" height="${bottom - TOP}"/>`,
      `<text class="denied-text" x="${anchor === 'end' ? end : x}" y="${TOP - 8}" text-anchor="${anchor}">${text}</text>`,
    ]
  })
  const bars = rows.flatMap((phase, row) => {
    const y = TOP + row * ROW
    return [
      `<text class="row" x="${LEFT - 10}" y="${y + 17}" text-anchor="end">${escape(titleOf(phase))}</text>`,
      ...spans.filter((span) => span.phase === phase).map((span) => barOf(span, axis, y, endedAtMs)),
    ]
  })
  const body = axis.grid(TOP, bottom) + denied.join('') + bars.join('')
  return svg(WIDTH, bottom + 22, 'The phases of the migration over time', body)
}
