import {ux} from '@oclif/core'
import {ExitCode} from '../exit-codes.js'
import type {Difference, RowDigest} from '../migration/verify/types.js'
import type {VerifyOutcome, VerifyResult} from '../migration/verify/run.js'
import {errorLines, type StopSignal, signalExitCodes} from './outcome.js'
import {formatCount, formatDuration, paragraph, plural, printable} from './text.js'

const exitCodes: Record<VerifyOutcome, ExitCode> = {
  // A copy that shipping will not mend: somebody must look.
  different: ExitCode.needsOperator,
  failed: ExitCode.failed,
  same: ExitCode.ok,
  // A program that stops itself, by whatever abort, can be gone on from.
  stopped: ExitCode.resumable,
  unproved: ExitCode.resumable,
}

export function verifyExitCode({outcome}: VerifyResult, signal?: StopSignal): ExitCode {
  return outcome === 'stopped' && signal ? signalExitCodes[signal] : exitCodes[outcome]
}

function headline({mode, outcome, source, table, target}: VerifyResult): string {
  const both = `${table} on ${source.cluster} and ${target.cluster}`
  switch (outcome) {
    case 'different': {
      return `${both}: DIFFERENT.`
    }

    case 'failed': {
      return `${both}: could not be compared to the end.`
    }

    case 'same': {
      if (mode === 'full') return `${both}: the same.`
      return `${both}: ${mode === 'count' ? 'as many rows' : 'the same in all rows of the sample'}.`
    }

    case 'stopped': {
      return `${both}: stopped before everything was compared.`
    }

    case 'unproved': {
      return `${both}: not proved to be the same.`
    }
  }
}

function countLines({mode, partitions, rows, rowsPerSecond, tookMs}: VerifyResult): string[] {
  const earlier = partitions.earlier > 0 ? `, and ${formatCount(partitions.earlier)} by an earlier run,` : ''
  const lines = [
    `${formatCount(partitions.compared)}${earlier} of ${plural(partitions.count, 'partition')}, ${plural(rows.rowsCompared, 'row')} compared in ${formatDuration(tookMs)} (${formatCount(rowsPerSecond)} a second): ${formatCount(rows.equal)} equal, ${formatCount(rows.different)} different, ${formatCount(rows.missingOnTarget)} missing on the target, ${formatCount(rows.missingOnSource)} missing on the source.`,
  ]
  if (rows.expiring > 0) lines.push(`${plural(rows.expiring, 'row')} expired about now on one side, and no difference.`)
  if (rows.hot > 0)
    lines.push(`${plural(rows.hot, 'row')} kept changing and could not be judged; that is no difference.`)
  if (rows.unresolved > rows.hot) lines.push(`${plural(rows.unresolved - rows.hot, 'row')} left open.`)
  if (mode !== 'sample')
    lines.push(`${plural(rows.onSource, 'row')} on the source, ${formatCount(rows.onTarget)} on the target.`)
  return lines
}

function stoppedLine({stoppedBy}: VerifyResult): string[] {
  if (stoppedBy === 'signal') return ['A signal stopped it; nothing was changed on either side.']
  if (stoppedBy === 'differences') return ['It ended early: there are so many differences that more tell nothing.']
  return stoppedBy === 'time' ? ['Its time was over before everything was compared.'] : []
}

function digestText(name: string, digest: RowDigest | undefined): string {
  if (!digest) return `${name}: none`
  const {bytes, expireTsSeconds, hash, value} = digest
  const expiry = expireTsSeconds === 0 ? 'no expiry' : `expiry ${expireTsSeconds}`
  return `${name}: ${value ?? `${bytes} bytes, sha256 ${hash}`}, ${expiry}`
}

function differenceLines(differences: readonly Difference[], total: number, width: number): string[] {
  if (differences.length === 0) return []
  const shown = differences.length < total ? `the first ${differences.length} of ${formatCount(total)}` : 'all of them'
  const lines = ['', `Differences (${shown}):`]
  for (const {key, kind, partition, source, target} of differences) {
    lines.push(printable(`  partition ${partition}  ${kind}  ${key}`))
    lines.push(...paragraph(digestText('source', source), ' '.repeat(6), width, '    '))
    lines.push(...paragraph(digestText('target', target), ' '.repeat(6), width, '    '))
  }

  return lines
}

/** What is said when it is over: the verdict, the figures, the differences, what it proves, what is next. */
export function verifySummaryLines(result: VerifyResult, commandLine: string, width: number): string[] {
  const {differences, error, next, outcome, proves, rows, unresolvedRows} = result
  const color = {different: 'red', failed: 'red', same: 'green', stopped: 'magenta', unproved: 'magenta'}[outcome]
  const lines = [ux.colorize(color, printable(headline(result)))]
  if (error) lines.push(...errorLines(error, undefined, width))
  const said = [...countLines(result), ...stoppedLine(result), ...proves]
  lines.push('', ...said.flatMap((sentence) => paragraph(sentence, '  ', width, '')))
  const total = rows.different + rows.missingOnSource + rows.missingOnTarget
  lines.push(...differenceLines(differences, total, width))
  const open = unresolvedRows.filter(({reason}) => reason === 'unproved').slice(0, 10)
  if (open.length > 0) {
    lines.push('', 'Left open, among others:')
    lines.push(...open.map(({key, partition}) => printable(`  partition ${partition}  ${key}`)))
  }

  if (next !== undefined) lines.push('', 'Next:', ...paragraph(next, '  ', width))
  if (outcome === 'failed' || outcome === 'stopped' || outcome === 'unproved') lines.push(`  ${commandLine}`)
  return lines
}
