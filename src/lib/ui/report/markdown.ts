import {formatDuration, formatTimeOfDay} from '../text.js'
import {headlineOf, keyFigures, surroundings, verificationSentences} from './parts.js'
import type {MigrationReport} from './record.js'
import {windowsOf} from './timeline.js'
import {shownParts} from './window.js'

/** Text that Markdown takes as it is: neither HTML nor a column of a table. */
function plain(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\p{Cf}]/gu, (character) => (character === '\n' ? ' ' : '�'))
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(/[\\`*_[\]|#~]/g, (character) => `\\${character}`)
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    line(columns),
    line(columns.map(() => '---')),
    ...rows.map((row) => line(row.map((cell) => plain(cell)))),
  ].join('\n')
}

const list = (items: readonly string[]) => items.map((item) => `- ${plain(item)}`).join('\n')

/** The report as Markdown: everything but the pictures. */
export function markdownPage(report: MigrationReport): string {
  const {failure, remarks, result, spans} = report
  const error = failure ?? result?.error
  const next = result?.next ?? failure?.next
  const windows = windowsOf(result)
  const parts = windows.flatMap((window) => shownParts(window, result?.plan))
  const checks = (result?.checks ?? []).filter(({severity}) => severity !== 'ok')
  const sections: [string, string][] = [
    ['Figures', table(['', ''], keyFigures(report))],
    ['What went wrong', error ? `${plain(error.message)}\n\n(${plain(error.code)})` : ''],
    ['Next', next ? plain(next) : ''],
    [
      'Phases',
      table(
        ['phase', 'begun', 'took', ''],
        spans.map(({endMs, phase, startMs, state, text}) => [
          phase,
          formatTimeOfDay(startMs),
          endMs === undefined ? '' : formatDuration(endMs - startMs),
          state === 'done' ? text : `${state}: ${text}`,
        ]),
      ),
    ],
    [
      'Writes denied',
      parts.length > 0
        ? table(
            ['part', 'took', 'the servers needed', "by the servers' timers"],
            parts.map(({floorMs, name, predicted, tookMs}) => [
              name,
              formatDuration(tookMs),
              floorMs === undefined ? '' : formatDuration(floorMs),
              predicted,
            ]),
          )
        : 'Never.',
    ],
    ['Verification', result ? list(verificationSentences(result)) : ''],
    ['Warnings', list(result?.warnings ?? [])],
    [
      'Checks before the begin that were not simply in order',
      checks.length > 0
        ? table(
            ['', 'check', 'what was seen'],
            checks.map(({evidence, id, severity}) => [severity, id, evidence]),
          )
        : '',
    ],
    [
      'What was changed',
      remarks.length > 0
        ? table(
            ['time', '', 'what'],
            remarks.map(({atMs, kind, text}) => [formatTimeOfDay(atMs), kind, text]),
          )
        : 'Nothing.',
    ],
    ['Settings put back', list(result?.settingsPutBack ?? [])],
    ['Where and with what', table(['', ''], surroundings(report))],
  ]
  const body = sections.filter(([, text]) => text !== '').map(([title, text]) => `## ${title}\n\n${text}\n`)
  return `# ${plain(headlineOf(report).text)}\n\n${body.join('\n')}`
}
