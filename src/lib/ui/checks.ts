import {ux} from '@oclif/core'
import type {CheckResult, Severity} from '../migration/preflight/check.js'
import {paragraph, plural, printable} from './text.js'

/** The worst first; `ok` and `skipped` are only counted. */
const labels: [Severity, {color: string; label: string; noun: string}][] = [
  ['error', {color: 'red', label: 'STOPS', noun: 'error'}],
  ['confirm', {color: 'magenta', label: 'CONFIRM', noun: 'to confirm'}],
  ['warning', {color: 'yellow', label: 'WARNING', noun: 'warning'}],
]

function countLine(checks: readonly CheckResult[]): string {
  const count = (severity: Severity) => checks.filter((check) => check.severity === severity).length
  const parts = [`${count('ok')} ok`]
  if (count('error') > 0) parts.push(`${count('error')} that stop${count('error') === 1 ? 's' : ''} it`)
  if (count('confirm') > 0) parts.push(`${count('confirm')} to confirm`)
  if (count('warning') > 0) parts.push(plural(count('warning'), 'warning'))
  if (count('skipped') > 0) parts.push(`${count('skipped')} not made`)
  return `Preflight: ${plural(checks.length, 'check')}, ${parts.join(', ')}.`
}

/** Count of all checks, then every finding that is not ok: what was seen, and what to do about it. */
export function checkLines(checks: readonly CheckResult[], width: number): string[] {
  const lines = [countLine(checks)]
  for (const [severity, {color, label}] of labels) {
    for (const check of checks.filter((candidate) => candidate.severity === severity)) {
      lines.push('', `  ${ux.colorize(color, label.padEnd(7))}  ${printable(check.id)}: ${printable(check.title)}`)
      lines.push(...paragraph(check.evidence, ' '.repeat(11), width))
      if (check.remedy) lines.push(...paragraph(check.remedy, ' '.repeat(13), width, `${' '.repeat(11)}> `))
    }
  }

  return lines
}
