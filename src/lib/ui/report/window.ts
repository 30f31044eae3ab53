import {expectedWindow} from '../../migration/plan.js'
import type {MigrationResult, WindowPart, WriteDenyWindow} from '../../migration/result.js'
import {formatDuration} from '../text.js'
import {escape, round, svg, TimeAxis} from './picture.js'
import {deniedSpan} from './timeline.js'

const WIDTH = 960
const [LEFT, RIGHT] = [110, 940]
const ROW = 14
const TOP = 30
/** More rows than that are no picture any more. */
const MOST_ROWS = 64
const LEAST_LABEL_GAP = 90

const milestones: [keyof WriteDenyWindow & `${string}AtMs`, string][] = [
  ['setAtMs', 'set'],
  ['provedAtMs', 'proved'],
  ['drainedAtMs', 'drained'],
  ['switchedAtMs', 'switched'],
  ['confirmedAtMs', 'confirmed'],
  ['sourceClosedAtMs', 'source closed'],
  ['liftedAtMs', 'allowed again'],
]

/** Each partition from its first refused probe until writes worked again, and what happened meanwhile. */
export function windowPicture(window: WriteDenyWindow, runEndMs: number): string {
  const span = deniedSpan(window, runEndMs)
  if (!span) return ''
  const partitions = [...(window.partitions ?? [])].sort((a, b) => a.refusedAtMs - b.refusedAtMs)
  const shown =
    partitions.length > MOST_ROWS
      ? [...partitions.slice(0, MOST_ROWS / 2), ...partitions.slice(-MOST_ROWS / 2)]
      : partitions
  const rows =
    shown.length > 0
      ? shown.map(({partition, refusedAtMs, server}) => ({
          name: `${partition}`,
          startMs: refusedAtMs,
          title: `partition ${partition} on ${server}`,
        }))
      : [{name: 'the table', startMs: span.startMs, title: 'the table'}]
  const fromMs = Math.min(window.setAtMs ?? span.startMs, span.startMs)
  const toMs = Math.max(span.endMs, ...milestones.map(([key]) => window[key] ?? 0))
  const axis = new TimeAxis(fromMs, toMs, LEFT, RIGHT)
  const bottom = TOP + rows.length * ROW
  const bars = rows.map(({name, startMs, title}, row) => {
    const [x, end] = [axis.x(startMs), axis.x(span.endMs)]
    const y = TOP + row * ROW
    return `<text class="row small" x="${LEFT - 10}" y="${y + 11}" text-anchor="end">${escape(name)}</text><rect class="bar window" x="${x}" y="${y + 2}" width="${round(Math.max(2, end - x))}" height="${ROW - 4}"><title>${escape(`${title}: ${formatDuration(span.endMs - startMs)}`)}</title></rect>`
  })
  return svg(
    WIDTH,
    bottom + 22,
    'How long writes were denied, by partition',
    axis.grid(TOP, bottom) + bars.join('') + milestoneLines(window, axis, bottom),
  )
}

/** Lines with names; a name that would stand on the one before it is left to the table below. */
function milestoneLines(window: WriteDenyWindow, axis: TimeAxis, bottom: number): string {
  let lastX = Number.NEGATIVE_INFINITY
  return milestones
    .flatMap(([key, name]) => (window[key] === undefined ? [] : [{name, x: axis.x(window[key])}]))
    .sort((a, b) => a.x - b.x)
    .map(({name, x}) => {
      const anchor = x > WIDTH / 2 ? 'end' : 'start'
      const hasRoom = x - lastX >= LEAST_LABEL_GAP
      if (hasRoom) lastX = x
      const label = hasRoom
        ? `<text class="mark-text" x="${x}" y="${TOP - 10}" text-anchor="${anchor}">${name}</text>`
        : ''
      return `<line class="mark" x1="${x}" x2="${x}" y1="${TOP - 6}" y2="${bottom}"/>${label}`
    })
    .join('')
}

/** One part of the window beside what the servers themselves needed, and what their timers allow. */
export interface ShownPart {
  /** What the servers needed in this run, as seen from outside; undefined where nobody can tell. */
  floorMs?: number
  name: string
  predicted: string
  tookMs: number
}

const partNames: Record<WindowPart['name'], string> = {
  clients: 'switched → those whose writes hang are sent away',
  deny: 'first → last primary refuses',
  ship: 'last refuses → everything accepted is on the target, proved',
  stop: 'proved → compared once more, nothing ships any more',
  switch: 'nothing ships → every metaproxy names the target',
}

/** The parts that the window is made of, in their order. */
export function shownParts(window: WriteDenyWindow, plan: MigrationResult['plan']): ShownPart[] {
  const predicted = plan && expectedWindow(plan)
  const upTo = (ms: number | undefined) => (ms === undefined ? '' : `up to ${formatDuration(ms)}`)
  const drain = predicted ? `${formatDuration(predicted.drainMs.min)} to ${formatDuration(predicted.drainMs.max)}` : ''
  const byTimers: Partial<Record<WindowPart['name'], string>> = {
    clients: upTo(predicted?.spreadMs),
    deny: upTo(predicted?.spreadMs),
    ship: drain,
    switch: upTo(predicted?.switchMs),
  }
  if (window.parts)
    return window.parts.map(({floorMs, name, tookMs}) => ({
      floorMs,
      name: partNames[name],
      predicted: byTimers[name] ?? '',
      tookMs,
    }))

  // A cutover that was taken back has what it came to.
  const {drainedAtMs, firstRefusedAtMs, lastRefusedAtMs, liftedAtMs, provedAtMs, setAtMs} = window
  const startMs = firstRefusedAtMs ?? setAtMs
  const parts: [string, number | undefined, number | undefined, string][] = [
    [partNames.deny, firstRefusedAtMs, lastRefusedAtMs ?? provedAtMs, upTo(predicted?.spreadMs)],
    [partNames.ship, lastRefusedAtMs ?? provedAtMs, drainedAtMs, drain],
    ['refused → allowed again', startMs, liftedAtMs, ''],
  ]
  return parts.flatMap(([name, from, to, text]) =>
    from === undefined || to === undefined ? [] : [{name, predicted: text, tookMs: Math.max(0, to - from)}],
  )
}

/** As clients see it, where that can be told. */
export function clientsSentence({clients}: WriteDenyWindow): string | undefined {
  return (
    clients &&
    `Clients saw failing writes for ${formatDuration(clients.minMs)} to ${formatDuration(clients.maxMs)}, their own time-out not counted.`
  )
}
