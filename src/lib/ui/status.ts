import {ux} from '@oclif/core'
import {clockTime} from '../migration/cutover-window.js'
import {phaseTitles} from '../migration/events.js'
import {type Level, states} from '../migration/status/states.js'
import type {Since, StatusReport, TableStatus} from '../migration/status/report.js'
import {deniesLine, duplicationLines, journalLines, proxyLines, settingLines, unreadLines} from './status-parts.js'
import {formatDuration, formatTimeOfDay, paragraph, plural, printable} from './text.js'
import {shellQuote} from '../shell-quote.js'

const LABEL_WIDTH = 14

/** None that cannot be read on a light or on a dark terminal: no cyan, no blue, yellow for labels only. */
const colors: Record<Level, string> = {
  'in-progress': 'bold',
  'needs-person': 'red',
  ok: 'green',
  unknown: 'magenta',
}

function labelled(label: string, text: string, width: number): string[] {
  const indent = ' '.repeat(LABEL_WIDTH + 2)
  return paragraph(text, indent, width, `  ${label.padEnd(LABEL_WIDTH)}`)
}

/** `08:00:12 UTC (4 min 10 s)` */
export function sinceText({atMs, from}: Since, nowMs: number): string {
  const far = nowMs - atMs > 24 * 3_600_000 ? `${new Date(atMs).toISOString().slice(0, 10)} ` : ''
  return `${far}${formatTimeOfDay(atMs)} (${formatDuration(nowMs - atMs)}), says the ${from === 'journal' ? 'journal' : 'source'}`
}

function headline({level, source, state, table, target}: TableStatus): string {
  const route = `${source.cluster ?? source.metas.join(',')}${target ? ` -> ${target.cluster}` : ''}`
  return `${printable(table)}: ${ux.colorize(colors[level], states[state].title)}  ${printable(route)}`
}

function phaseLine({phase}: TableStatus, nowMs: number): string | undefined {
  if (!phase) return undefined
  return `${phaseTitles[phase.id]}${phase.since ? ` since ${sinceText(phase.since, nowMs)}` : ', nobody here knows since when'}`
}

/** Since when it waits, what for, and what ends that. */
function holdLine({opening, release, sinceMs}: NonNullable<TableStatus['hold']>, nowMs: number): string {
  const since = `since ${formatTimeOfDay(sinceMs)} (${formatDuration(nowMs - sinceMs)}), writes are allowed`
  const isClosed = opening !== undefined && opening.opensAtMs > nowMs
  const parts = [
    release.length > 0 && `cuts over after: ${release.join(', or: ')}`,
    isClosed && `not before its cutover window opens at ${clockTime(opening.opensAtMs)} local time`,
  ].filter((part) => part !== false)
  return [since, ...parts].join('; ')
}

function targetLine({target}: TableStatus): string | undefined {
  if (!target) return 'unknown: say -c and -m'
  const {cluster, knownFrom, metas, reached, tableId, withoutPrimary} = target
  const where = `${cluster} (${metas.join(',')}; from the ${knownFrom === 'duplication' ? "source's [pegasus.clusters]" : knownFrom})`
  if (!reached) return `${where}: its metas do not answer`
  if (tableId === undefined) return `${where}: no such table there`
  const without = withoutPrimary.length > 0 ? `, ${plural(withoutPrimary.length, 'partition')} without a primary` : ''
  return `${where}: table id ${tableId}${without}`
}

function nodeLine({metaproxy}: TableStatus): string {
  if (!metaproxy) return 'not looked at: say its root with -r'
  const {cluster, path, problem, side, version} = metaproxy
  if (problem) return `${path}: ${problem.message}`
  const whose = side === 'other' ? 'neither source nor target' : `the ${side}`
  return `${path} names ${cluster} (${whose}), version ${version}`
}

function predictionLine({prediction}: TableStatus): string | undefined {
  if (!prediction) return undefined
  const {fast, parts, sumMs} = prediction
  const range = (window: {maxMs: number; minMs: number}) =>
    `${formatDuration(window.minMs)} to ${formatDuration(window.maxMs)}`
  const shortened = fast
    ? ` With the config sync shortened first: ${range(fast)}, and ${formatDuration(fast.sumMs)} to be allowed.`
    : ''
  return `writes would be denied for ${range(prediction)} once caught up; --max-write-deny must allow ${formatDuration(sumMs)}: ${parts.join('; ')}.${shortened}`
}

function nextLines({next}: TableStatus, width: number): string[] {
  const {command, sentence} = next
  if (!command) return sentence === '' ? [] : labelled('Next', sentence, width)
  // The command stays in one piece, to be copied.
  const line = printable(command.map((word) => shellQuote(word)).join(' '))
  return [...labelled('Next', sentence, width), `${' '.repeat(LABEL_WIDTH + 2)}${line}`]
}

/** Everything about one table. */
export function tableLines(status: TableStatus, nowMs: number, width: number): string[] {
  const {because, deniedSince, guard, hold, lock, meaning, source} = status
  const without = source.withoutPrimary
  const lines: Array<[string, string | undefined]> = [
    ['What is so', because],
    ['What it means', meaning],
    ['Phase', phaseLine(status, nowMs)],
    ['Held', hold && holdLine(hold, nowMs)],
    [
      'Source',
      without.length > 0
        ? `${plural(without.length, 'partition')} without a primary: ${without.slice(0, 10).join(', ')}`
        : undefined,
    ],
    ['Target', targetLine(status)],
    ...duplicationLines(status, nowMs).map((line, index): [string, string] => [index === 0 ? 'Duplication' : '', line]),
    ['Deny', deniesLine(status)],
    ['Denied since', deniedSince && sinceText(deniedSince, nowMs)],
    ['Metaproxy', nodeLine(status)],
    ...proxyLines(status).map((line, index): [string, string] => [index === 0 ? 'Proxies' : '', line]),
    ...settingLines(status).map((line, index): [string, string] => [index === 0 ? 'Settings' : '', line]),
    [
      'Guard',
      guard &&
        `${guard.state}${guard.alive === false ? ' (its process is gone)' : ''} since ${formatTimeOfDay(guard.sinceMs)}, process ${guard.pid}: ${guard.text}`,
    ],
    [
      'Lock',
      lock &&
        (lock.held
          ? `held by ${lock.holder ?? 'somebody'}${lock.sinceMs === undefined ? '' : ` since ${formatTimeOfDay(lock.sinceMs)}`}`
          : lock.scope === 'everywhere'
            ? 'nobody holds it'
            : 'nobody on this machine holds it'),
    ],
    ...journalLines(status, nowMs),
    ['Cut over now', predictionLine(status)],
    ...unreadLines(status.unread).map((line, index): [string, string] => [index === 0 ? 'Not read' : '', line]),
  ]
  const shown = lines.filter((line): line is [string, string] => line[1] !== undefined)
  return [
    headline(status),
    ...shown.flatMap(([label, text]) => labelled(label, text, width)),
    ...nextLines(status, width),
  ]
}

function briefLines(status: TableStatus, width: number): string[] {
  return [headline(status), ...labelled('What is so', status.because, width), ...nextLines(status, width)]
}

/**
 * The whole report as lines.
 * @param detailed whether one table was asked for: then everything about it
 */
export function statusLines(report: StatusReport, detailed: boolean, width: number): string[] {
  const {readAtMs, source, tables, tookMs, unread} = report
  const cluster = source.cluster ?? 'a cluster that does not answer'
  const read = `read from ${cluster} (${source.metas.join(',')}) at ${formatTimeOfDay(readAtMs)} in ${formatDuration(tookMs)}`
  if (detailed) return [...tables.flatMap((table) => tableLines(table, readAtMs, width)), '', printable(read)]
  const none =
    source.cluster === undefined
      ? unreadLines(unread)
      : ['No table is being migrated, duplicated or denied, and no journal is here.']
  const body =
    tables.length === 0
      ? none.flatMap((line) => paragraph(line, '', width))
      : tables.flatMap((table) => [...briefLines(table, width), ''])
  const counted = tables.length === 0 ? '' : `${plural(tables.length, 'table')}, `
  return [...body, printable(`${counted}${read}`)]
}
