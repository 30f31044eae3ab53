import type {CheckResult, Severity} from '../../migration/preflight/check.js'
import {formatDuration, formatTimeOfDay} from '../text.js'
import {confirmedPicture, lagPicture} from './charts.js'
import {formatMoment, headlineOf, keyFigures, surroundings, verificationSentences} from './parts.js'
import {escape} from './picture.js'
import type {MigrationReport, Remark} from './record.js'
import {style} from './style.js'
import {timelinePicture, windowsOf} from './timeline.js'
import {clientsSentence, shownParts, windowPicture} from './window.js'

const order: Severity[] = ['error', 'confirm', 'warning', 'ok', 'skipped']

function section(title: string, ...parts: string[]): string {
  const body = parts.filter((part) => part !== '')
  return body.length === 0 ? '' : `<section><h2>${escape(title)}</h2>${body.join('\n')}</section>`
}

const paragraph = (text: string, kind = '') => `<p${kind && ` class="${kind}"`}>${escape(text)}</p>`

function list(items: readonly string[], tag: 'ol' | 'ul' = 'ul'): string {
  return items.length === 0 ? '' : `<${tag}>${items.map((item) => `<li>${escape(item)}</li>`).join('')}</${tag}>`
}

/** @param columns names; one that begins with `#` holds figures */
function table(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  kind: (cell: string, column: number) => string = escape,
): string {
  const attribute = (column: number) => {
    const name = columns[column]!
    if (name.startsWith('#')) return ' class="number"'
    return name === 'begun' || name === 'time' ? ' class="short"' : ''
  }

  const head = columns.map((name, column) => `<th${attribute(column)}>${escape(name.replace('#', ''))}</th>`)
  const body = rows.map(
    (row) => `<tr>${row.map((cell, column) => `<td${attribute(column)}>${kind(cell, column)}</td>`).join('')}</tr>`,
  )
  return `<table><thead><tr>${head.join('')}</tr></thead><tbody>${body.join('')}</tbody></table>`
}

function checksTable(checks: readonly CheckResult[]): string {
  const sorted = [...checks].sort((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity))
  const rows = (some: readonly CheckResult[]) =>
    table(
      ['', 'check', 'what was seen'],
      some.map(({evidence, id, remedy, severity, title}) => [
        severity,
        `${id}: ${title}`,
        remedy && severity !== 'ok' ? `${evidence} → ${remedy}` : evidence,
      ]),
      (cell, column) => (column === 0 ? `<span class="tag ${escape(cell)}">${escape(cell)}</span>` : escape(cell)),
    )
  const notable = sorted.filter(({severity}) => severity !== 'ok' && severity !== 'skipped')
  const quiet = sorted.filter(({severity}) => severity === 'ok' || severity === 'skipped')
  return [
    notable.length > 0 ? rows(notable) : paragraph('Nothing stood in the way.'),
    quiet.length > 0
      ? `<details><summary>${quiet.length} more that are in order or were not made</summary>${rows(quiet)}</details>`
      : '',
  ].join('')
}

function remarksTable(remarks: readonly Remark[]): string {
  const words: Record<Remark['kind'], string> = {
    'change-failed': 'failed',
    changed: 'changed',
    undo: 'taken back',
    warning: 'warning',
  }
  return table(
    ['time', '', 'what'],
    remarks.map(({atMs, kind, text}) => [formatTimeOfDay(atMs), words[kind], text]),
  )
}

function windowSection({endedAtMs, result}: MigrationReport): string {
  if (!result) return ''
  const windows = windowsOf(result)
  const ofEarlierRuns = result.windowsOfEarlierRuns?.length ?? 0
  const parts = windows.map((window, index) => {
    const whose = index < ofEarlierRuns ? `, of an earlier run, ${formatMoment(window.setAtMs!)}` : ''
    const name = windows.length > 1 ? `<h3>Cutover ${index + 1} of ${windows.length}${whose}</h3>` : ''
    const rows = shownParts(window, result.plan).map(({floorMs, name, predicted, tookMs}) => [
      name,
      formatDuration(tookMs),
      floorMs === undefined ? '' : formatDuration(floorMs),
      predicted,
    ])
    const columns = ['part', '#took', '#the servers needed', "#by the servers' timers"]
    const seen = clientsSentence(window)
    return name + windowPicture(window, endedAtMs) + (seen ? paragraph(seen) : '') + table(columns, rows)
  })
  return section('Writes denied, partition by partition', ...parts)
}

/** What the target got with the table, and what was set since on one side only. */
function differencesSection({result}: MigrationReport): string {
  const differences = result?.plan?.envDifferences ?? []
  const rows = differences.map(({key, source, target}) => [key, source ?? '(not set)', target ?? '(not set)'])
  return rows.length === 0
    ? ''
    : section('Settings of the table that are not the same on both sides', table(['setting', 'source', 'target'], rows))
}

function errorBlock({failure, result}: MigrationReport): string {
  const error = failure ?? result?.error
  if (!error) return ''
  const facts = result?.error ? Object.entries(result.error.facts).filter(([, value]) => value !== undefined) : []
  const said = facts.map(([key, value]) => `${key}: ${String(value)}`).join(', ')
  return `<div class="failure">${paragraph(error.message)}${said && paragraph(said, 'soft')}${paragraph(`(${error.code})`, 'soft')}</div>`
}

/** The whole page: one file, without scripts, which asks nobody for anything. */
export function htmlPage(report: MigrationReport): string {
  const {failure, remarks, result} = report
  const {good, text} = headlineOf(report)
  const next = result?.next ?? failure?.next
  const warnings = result?.warnings ?? []
  const body = [
    `<header class="outcome${good ? '' : ' bad'}"><h1>${escape(text)}</h1>${paragraph(`Migration of table ${report.table}`, 'soft')}</header>`,
    errorBlock(report),
    next ? `<p><b>Next:</b> ${escape(next)}</p><pre>${escape(report.command)}</pre>` : '',
    `<div class="figures">${keyFigures(report)
      .map(([name, figure]) => `<div><b>${escape(figure)}</b><span class="soft">${escape(name)}</span></div>`)
      .join('')}</div>`,
    section('Phases', timelinePicture(report), phasesTable(report)),
    windowSection(report),
    section('Lag: mutations not yet acknowledged by the target', lagPicture(report)),
    section('Mutations confirmed by the target, from the first reading on', confirmedPicture(report)),
    result ? section('Verification', list(verificationSentences(result))) : '',
    differencesSection(report),
    section('Warnings', list(warnings)),
    result && result.checks.length > 0 ? section('Checks before the begin', checksTable(result.checks)) : '',
    section('What was changed', remarks.length > 0 ? remarksTable(remarks) : paragraph('Nothing.')),
    result ? section('Settings put back', list(result.settingsPutBack)) : '',
    result?.outcome === 'dry-run' ? section('What it would do', list(result.effects, 'ol')) : '',
    section('Where and with what', table(['', ''], surroundings(report))),
  ]
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escape(text)}</title>
<style>${style}</style>
</head>
<body>
${body.filter((part) => part !== '').join('\n')}
</body>
</html>
`
}

function phasesTable({spans}: MigrationReport): string {
  if (spans.length === 0) return paragraph('It ended before the first of them.')
  return table(
    ['phase', 'begun', '#took', ''],
    spans.map(({endMs, phase, startMs, state, text}) => [
      phase === 'undo' ? 'take back' : phase,
      formatTimeOfDay(startMs),
      endMs === undefined ? '' : formatDuration(endMs - startMs),
      state === 'done' ? text : `${state}: ${text}`,
    ]),
  )
}
