import type {CutoverFigures} from './options.js'
import {type ScaleFigures, shape} from './scale.js'
import type {Dependencies, StartupCosts} from './startup.js'

const seconds = (ms: number) => (ms / 1000).toFixed(1)

function median(figures: readonly number[]): number {
  return [...figures].sort((a, b) => a - b)[figures.length >> 1]!
}

/** `12.3 (10.1–19.9)`: the median, and the least and the most where there are several. */
function spread(figures: readonly number[]): string {
  if (figures.length === 0) return '–'
  const middle = seconds(median(figures))
  return figures.length === 1 ? middle : `${middle} (${seconds(Math.min(...figures))}–${seconds(Math.max(...figures))})`
}

/** A table in Markdown that can be read as it is. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = header.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]!.length)))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  return [line(header), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rows.map((row) => line(row))]
}

function byName<T extends {spec: {name: string}}>(found: readonly T[]): Map<string, T[]> {
  const grouped = new Map<string, T[]>()
  for (const figures of found) grouped.set(figures.spec.name, [...(grouped.get(figures.spec.name) ?? []), figures])
  return new Map([...grouped].sort(([a], [b]) => a.localeCompare(b)))
}

/** (a) How long writes were denied, beside what the servers of that run needed, and how long it took in all. */
export function cutoverLines(found: readonly CutoverFigures[]): string[] {
  const rows = [...byName(found)].map(([name, runs]) => {
    const said = runs.flatMap(({windowMs}) => windowMs ?? [])
    const over = runs.flatMap(({floorMs, windowMs}) => (windowMs === undefined ? [] : [windowMs - floorMs]))
    return [
      name,
      String(runs.length),
      spread(runs.map(({floorMs}) => floorMs)),
      spread(said),
      spread(over),
      spread(runs.map(({eagerMs}) => eagerMs)),
      spread(runs.flatMap(({eagerMs, windowMs}) => (windowMs === undefined ? [] : [eagerMs - windowMs]))),
      spread(runs.map(({clientsMs}) => clientsMs)),
      (median(runs.map(({clientsMs}) => clientsMs)) / median(runs.map(({floorMs}) => floorMs))).toFixed(1),
      spread(runs.map(({totalMs}) => totalMs)),
      String(runs.reduce((sum, {lostWrites}) => sum + lostWrites, 0)),
    ]
  })
  return [
    'Seconds; median (least–most). Floor: what the servers needed in the same run.',
    ...table(
      [
        '',
        'runs',
        'floor',
        'window, as said',
        'over the floor',
        'as a client saw it that asks at once',
        'that less what is said',
        'as Go clients saw it',
        'clients : floor',
        'in all',
        'lost or stale keys',
      ],
      rows,
    ),
  ]
}

/** (b) Requests put on metas and servers in each phase. */
export function requestLines(found: readonly CutoverFigures[]): string[] {
  const groups = new Map<string, {peak: number[]; rate: number[]}>()
  for (const {requests, spec} of found) {
    for (const {peakPerSecond, perSecond, phase, to} of requests) {
      const key = `${spec.profile}\n${phase}\n${to}`
      const group = groups.get(key) ?? {peak: [], rate: []}
      group.peak.push(peakPerSecond)
      group.rate.push(perSecond)
      groups.set(key, group)
    }
  }

  const rows = [...groups].map(([key, {peak, rate}]) => [
    ...key.split('\n'),
    median(rate).toFixed(1),
    String(Math.max(...peak)),
  ])
  return [
    'Requests of the tool that one server got; the peak is of any server in any second of any run.',
    ...table(['servers', 'phase', 'to', 'a second', 'peak in a second'], rows),
  ]
}

/** (c) */
export function scaleLines(figures: ScaleFigures): string[] {
  const {cpuOfMigrationPercent, drainMs, fullRound, lightRound, migrationMs, statusMs} = figures
  const {peakRssMb, peakRssMbOfMigration} = figures
  const roundOf = ({cpuMs, tookMs}: ScaleFigures['fullRound']) =>
    `${tookMs.toFixed(0)} ms, ${cpuMs.toFixed(0)} ms of CPU`
  return [
    `${shape.partitions.toLocaleString('en-US')} partitions on ${shape.servers} servers a side, timers shorter than real ones:`,
    ...table(
      ['', ''],
      [
        ['one round of gaps (every server once)', roundOf(lightRound)],
        ['one round of decrees and gaps', roundOf(fullRound)],
        ['drain', `${seconds(drainMs)} s`],
        [
          'migration up to the end of the drain',
          `${seconds(migrationMs)} s, ${cpuOfMigrationPercent.toFixed(0)} % of a core`,
        ],
        ['its largest resident size', `${peakRssMbOfMigration.toFixed(0)} MB`],
        ['with these rounds and the status in the same process', `${peakRssMb.toFixed(0)} MB`],
        ['table:migrate-status', `${statusMs.toFixed(0)} ms`],
      ],
    ),
  ]
}

/** (e) */
export function startUpLines(costs: StartupCosts, dependencies: Dependencies): string[] {
  const ms = (value: number) => `${value.toFixed(1)} ms`
  return [
    `Medians of ${costs.rounds} rounds in turn:`,
    ...table(
      ['', ''],
      [
        ['pegasus --help without the plugin', ms(costs.helpMs)],
        ['longer with it', ms(costs.helpAddedMs)],
        ['of it the init hook, 20 journals', ms(costs.hookMs)],
        ['a command that does nothing', ms(costs.emptyCommandMs)],
        ['table:migrate --help', `${ms(costs.migrateHelpMs)}, ${costs.migrateHelpRatio.toFixed(2)} times that`],
        ['production dependencies', `${dependencies.packages} packages, ${dependencies.mb.toFixed(1)} MB`],
      ],
    ),
  ]
}
