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

/** Further back than so many times its own length, a run is drawn without what was before it. */
const LONGEST_LOOK_BACK = 3

/** Every write-deny of this migration that came to something, earlier runs' first. */
export function windowsOf(result: MigrationReport['result']): WriteDenyWindow[] {
  if (!result) return []
  const windows = [...(result.windowsOfEarlierRuns ?? []), ...result.earlierWindows, result.writeDeny]
  return windows.filter(({setAtMs}) => setAtMs !== undefined)
}

/** The phases over time, one row each, and one of what was denied, which lies behind them too. */
export function timelinePicture({endedAtMs, result, spans, startedAtMs}: MigrationReport): string {
  const order: Span['phase'][] = [...phaseIds, 'undo']
  const rows = order.filter((phase) => spans.some((span) => span.phase === phase))
  if (rows.length === 0) return ''
  const earliestMs = startedAtMs - LONGEST_LOOK_BACK * (endedAtMs - startedAtMs)
  const deniedSpans = windowsOf(result)
    .flatMap((window) => deniedSpan(window, endedAtMs) ?? [])
    .filter(({startMs}) => startMs >= earliestMs)
  const bottom = TOP + (rows.length + (deniedSpans.length > 0 ? 1 : 0)) * ROW
  const fromMs = Math.min(startedAtMs, ...deniedSpans.map(({startMs}) => startMs))
  const axis = new TimeAxis(fromMs, endedAtMs, LEFT, RIGHT)
  const denied = deniedSpans.flatMap((span) => {
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
  if (deniedSpans.length > 0) bars.push(...deniedRow(deniedSpans, axis, TOP + rows.length * ROW))
  const body = axis.grid(TOP, bottom) + denied.join('') + bars.join('')
  return svg(WIDTH, bottom + 22, 'The phases of the migration over time', body)
}

/** One bar for each cutover, also of earlier runs. */
function deniedRow(spans: readonly {endMs: number; startMs: number}[], axis: TimeAxis, y: number): string[] {
  const bars = spans.map(({endMs, startMs}) => {
    const [x, end] = [axis.x(startMs), axis.x(endMs)]
    const title = `<title>writes denied ${formatDuration(endMs - startMs)}</title>`
    return `<rect class="bar window" x="${x}" y="${y + 4}" width="${round(Math.max(3, end - x))}" height="${ROW - 8}" rx="2">${title}</rect>`
  })
  return [`<text class="row" x="${LEFT - 10}" y="${y + 17}" text-anchor="end">Writes denied</text>`, ...bars]
}
