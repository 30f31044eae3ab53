import {formatCount} from '../text.js'
import {round, svg, TimeAxis} from './picture.js'
import type {MigrationReport, Sample} from './record.js'

const WIDTH = 960
const [LEFT, RIGHT] = [110, 940]
const [TOP, BOTTOM] = [12, 132]

type Figure = 'confirmedMutations' | 'lagMutations'

/** One figure over the time of the run, from nothing (or, when it counts on, from its first value) to its largest. */
function chart({endedAtMs, samples, startedAtMs}: MigrationReport, figure: Figure, label: string): string {
  const points = samples.filter(
    (sample): sample is Required<Pick<Sample, Figure>> & Sample => sample[figure] !== undefined,
  )
  if (points.length < 2) return ''
  const least = figure === 'lagMutations' ? 0 : Math.min(...points.map((sample) => sample[figure]))
  const most = Math.max(least + 1, ...points.map((sample) => sample[figure]))
  const axis = new TimeAxis(startedAtMs, endedAtMs, LEFT, RIGHT)
  const y = (value: number) => round(BOTTOM - ((value - least) / (most - least)) * (BOTTOM - TOP))
  const line = points.map((sample) => `${axis.x(sample.atMs)},${y(sample[figure])}`).join(' ')
  const [first, last] = [points[0]!, points.at(-1)!]
  const area = `${axis.x(first.atMs)},${BOTTOM} ${line} ${axis.x(last.atMs)},${BOTTOM}`
  const ticks = [least, (least + most) / 2, most].map(
    (value) =>
      `<line class="grid" x1="${LEFT}" x2="${RIGHT}" y1="${y(value)}" y2="${y(value)}"/><text class="tick" x="${LEFT - 10}" y="${y(value) + 4}" text-anchor="end">${formatCount(Math.round(value - (figure === 'lagMutations' ? 0 : least)))}</text>`,
  )
  const drawn = `<polygon class="area" points="${area}"/><polyline class="line" points="${line}"/>`
  return svg(WIDTH, BOTTOM + 22, label, axis.grid(TOP, BOTTOM) + ticks.join('') + drawn)
}

export const lagPicture = (report: MigrationReport) =>
  chart(report, 'lagMutations', 'Mutations not yet acknowledged by the target, over time')

/** Counted from the first reading. */
export const confirmedPicture = (report: MigrationReport) =>
  chart(report, 'confirmedMutations', 'Mutations confirmed by the target, over time')
