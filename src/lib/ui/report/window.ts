import {expectedWindow} from '../../migration/plan.js'
import type {MigrationResult, WriteDenyWindow} from '../../migration/result.js'
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

/** One part of the window beside what the servers' timers allow. */
export interface WindowPart {
  name: string
  predicted: string
  tookMs: number
}

/** The parts that the window is made of, in their order. */
export function windowParts(window: WriteDenyWindow, plan: MigrationResult['plan']): WindowPart[] {
  const {confirmedAtMs, drainedAtMs, firstRefusedAtMs, lastRefusedAtMs, liftedAtMs, provedAtMs, shippedSeenAtMs} =
    window
  const {setAtMs, sourceClosedAtMs, switchedAtMs} = window
  const predicted = plan && expectedWindow(plan)
  const upTo = (ms: number | undefined) => (ms === undefined ? '' : `up to ${formatDuration(ms)}`)
  const drain = predicted ? `${formatDuration(predicted.drainMs.min)} to ${formatDuration(predicted.drainMs.max)}` : ''
  const parts: [string, number | undefined, number | undefined, string][] = [
    ['set on the meta → first primary refuses', setAtMs, firstRefusedAtMs, ''],
    ['first → last primary refuses', firstRefusedAtMs, lastRefusedAtMs ?? provedAtMs, upTo(predicted?.spreadMs)],
    ['last primary refuses → proved on all', lastRefusedAtMs, provedAtMs, ''],
    ['proved → last write seen on the target', provedAtMs, shippedSeenAtMs, drain],
    [
      `${shippedSeenAtMs === undefined ? 'proved' : 'seen'} → all drained, compared, shipping stopped`,
      shippedSeenAtMs ?? provedAtMs,
      drainedAtMs,
      shippedSeenAtMs === undefined ? drain : '',
    ],
    ['drained → node switched', drainedAtMs, switchedAtMs, upTo(predicted?.switchMs)],
    ['switched → confirmed by every metaproxy', switchedAtMs, confirmedAtMs, ''],
    ['switched → source refuses everyone', switchedAtMs, sourceClosedAtMs, upTo(predicted?.spreadMs)],
    ['refused → allowed again', firstRefusedAtMs ?? setAtMs, liftedAtMs, ''],
  ]
  return parts.flatMap(([name, from, to, text]) =>
    from === undefined || to === undefined ? [] : [{name, predicted: text, tookMs: Math.max(0, to - from)}],
  )
}
