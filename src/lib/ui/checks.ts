import {ux} from '@oclif/core'
import type {CheckResult, Severity} from '../migration/preflight/check.js'
import {paragraph, plural} from './text.js'

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

interface Finding {
  evidence: string
  remedy: string
  /** `id: title`, or the ids of several that could not be judged for the same reason. */
  what: string
}

/** When a cluster does not answer, many checks cannot judge: that is one finding, not twenty. */
function findingsOf(checks: readonly CheckResult[]): Finding[] {
  const unjudged = new Map<string, CheckResult[]>()
  const findings: Finding[] = []
  for (const check of checks) {
    const cause = /^not judged, because .+? could not be read: (.+)$/s.exec(check.evidence)?.[1]
    const key = cause === undefined ? undefined : `${cause}\0${check.remedy}`
    const others = key === undefined ? undefined : unjudged.get(key)
    if (others) others.push(check)
    else {
      if (key !== undefined) unjudged.set(key, [check])
      findings.push({evidence: check.evidence, remedy: check.remedy, what: `${check.id}: ${check.title}`})
    }
  }

  for (const [key, same] of unjudged) {
    if (same.length === 1) continue
    const finding = findings.find(({what}) => what === `${same[0]!.id}: ${same[0]!.title}`)!
    finding.what = `${same.length} checks could not be made: ${same.map(({id}) => id).join(', ')}`
    finding.evidence = key.split('\0')[0]!
  }

  return findings
}

/** Count of all checks, then every finding that is not ok: what was seen, and what to do about it. */
export function checkLines(checks: readonly CheckResult[], width: number): string[] {
  const lines = paragraph(countLine(checks), '  ', width, '')
  const indent = ' '.repeat(11)
  for (const [severity, {color, label}] of labels) {
    for (const {evidence, remedy, what} of findingsOf(checks.filter((check) => check.severity === severity))) {
      const [first, ...rest] = paragraph(what, indent, width)
      lines.push('', `  ${ux.colorize(color, label.padEnd(7))}  ${first!.trimStart()}`, ...rest)
      lines.push(...paragraph(evidence, indent, width))
      if (remedy) lines.push(...paragraph(remedy, `${indent}  `, width, `${indent}> `))
    }
  }

  return lines
}
