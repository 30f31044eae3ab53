import {type JournalRecord, readJournal} from '../../src/lib/migration/journal.js'
import type {LoadReport, LoadVerification} from './load-client.js'

export interface DemoAccount {
  exitCode: number
  /** The journal of the run. */
  journalPath: string
  report: LoadReport
  /** What the tool said about the write-deny window, in its words. */
  saidWindow: string | undefined
  seconds: number
  targetCluster: string
  verification: LoadVerification
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`
const count = (value: number) => value.toLocaleString('en-US')

function clientsSaw({failed, longestGapMs, windowMs}: LoadReport): string {
  if (failed === 0) return 'no write failed'
  return `${seconds(windowMs)}; longest for one partition ${seconds(longestGapMs)}`
}

/** Name and duration of each phase that was finished, in order. */
export function phaseTimes(journal: readonly JournalRecord[]): [phase: string, durationMs: number][] {
  const started = new Map<string, number>()
  const times: [string, number][] = []
  for (const record of journal) {
    if (record.kind !== 'phase') continue
    const atMs = Date.parse(record.at)
    if (record.state === 'started') started.set(record.phase, atMs)
    else times.push([record.phase, atMs - (started.get(record.phase) ?? atMs)])
  }

  return times
}

/** Not 0 when anything was lost, whatever the command says. */
export function demoExitCode({exitCode, verification}: Pick<DemoAccount, 'exitCode' | 'verification'>): number {
  const wrong = verification.lost.length + verification.stale.length
  return wrong > 0 && exitCode === 0 ? 1 : exitCode
}

/** The closing lines of the demo. */
export async function accountLines(account: DemoAccount): Promise<string[]> {
  const {report, verification} = account
  const {checked, lost, stale} = verification
  const wrong = [...lost, ...stale].slice(0, 5)
  const phases = phaseTimes(await readJournal(account.journalPath))
  const rows: [string, string][] = [
    ...phases.map(([phase, durationMs]): [string, string] => [phase, seconds(durationMs)]),
    ['the whole migration', seconds(account.seconds * 1000)],
    ['write-deny window, as the tool says', account.saidWindow ?? 'it said none'],
    ['as the clients saw it', clientsSaw(report)],
    [
      'acknowledged writes',
      `${count(report.acknowledged)} (${count(report.failed)} more were refused or not answered)`,
    ],
    [`keys compared on ${account.targetCluster}`, count(checked)],
    ['lost writes', count(lost.length + stale.length)],
  ]
  const width = Math.max(...rows.map(([label]) => label.length))
  return [
    ...rows.map(([label, value]) => `  ${label.padEnd(width)}  ${value}`),
    ...wrong.map(({acceptable, found, key}) => `  ${key}: found ${String(found)}, may be ${acceptable.join(' or ')}`),
  ]
}
