import type {MigrationResult} from '../../migration/result.js'
import {headline, isGood} from '../summary.js'
import {formatCount, formatDuration, plural} from '../text.js'
import type {MigrationReport} from './record.js'
import {deniedSpan} from './timeline.js'

/** What the report says first; a run that broke says so. */
export function headlineOf({failure, result, table}: MigrationReport): {good: boolean; text: string} {
  if (result) return {good: isGood(result), text: headline(result)}
  return {good: false, text: `The run that was to move ${table} broke: ${failure?.message ?? 'nobody knows why'}`}
}

/** `2026-11-22 08:00:12 UTC` */
export function formatMoment(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** The figures that matter, for the top of the page. */
export function keyFigures(report: MigrationReport): [string, string][] {
  const {endedAtMs, result, samples, startedAtMs} = report
  const figures: [string, string][] = [['the whole run', formatDuration(endedAtMs - startedAtMs)]]
  if (!result) return figures
  const denied = deniedSpan(result.writeDeny, endedAtMs)
  figures.push(['writes denied', denied ? formatDuration(denied.endMs - denied.startMs) : 'never'])
  const lags = samples.flatMap(({lagMutations}) => lagMutations ?? [])
  if (lags.length > 0) figures.push(['largest lag seen', plural(Math.max(...lags), 'mutation')])
  const {verification} = result
  if (verification) figures.push(['rows compared', formatCount(verification.rowsCompared)])
  const {switchedAtMs, sourceClosedAtMs} = result.writeDeny
  if (switchedAtMs !== undefined && sourceClosedAtMs !== undefined)
    figures.push(['stale reads possible', formatDuration(Math.max(0, sourceClosedAtMs - switchedAtMs))])
  return figures
}

/** Both sides, the versions of everything, when and by what. */
export function surroundings({
  command,
  endedAtMs,
  exitCode,
  result,
  startedAtMs,
  tool,
}: MigrationReport): [string, string][] {
  const side = ({cluster, metas, tableId}: MigrationResult['source'], versions: string[] = []) =>
    `${cluster || 'a cluster that was not reached'}, metas ${metas.join(', ')}${tableId === undefined ? '' : `, table id ${tableId}`}${versions.length > 0 ? `, servers ${versions.join(', ')}` : ''}`
  const {plan} = result ?? {}
  return [
    ...(result
      ? ([
          ['source', side(result.source, plan?.source.versions)],
          ['target', side(result.target, plan?.target.versions)],
        ] as [string, string][])
      : []),
    ...(plan
      ? ([['table', `${plural(plan.partitionCount, 'partition')} of ${plural(plan.replicaCount, 'replica')}`]] as [
          string,
          string,
        ][])
      : []),
    ['began', formatMoment(startedAtMs)],
    ['ended', `${formatMoment(endedAtMs)}, exit code ${exitCode}`],
    ['tool', `${tool.name} ${tool.version}, Node.js ${tool.node}`],
    ['command', command],
  ]
}

export function verificationSentences({lastLook, verification}: MigrationResult): string[] {
  if (!verification) return ['No rows were compared.']
  const {partitions, rowsCompared, rowsCountedSource, rowsCountedTarget} = verification
  const counted =
    rowsCountedSource + rowsCountedTarget === 0
      ? ''
      : `; ${formatCount(rowsCountedSource)} counted on the source, ${formatCount(rowsCountedTarget)} on the target`
  const look = lastLook
    ? [
        `While writes were denied: ${formatCount(lastLook.counted)} of ${plural(lastLook.partitions, 'partition')} counted on both sides, ${plural(lastLook.keysRead, 'row')} written lately read on both, in ${formatDuration(lastLook.tookMs)}.`,
        ...(lastLook.leftOut ? [`Left out then: ${lastLook.leftOut}.`] : []),
      ]
    : []
  return [
    `${plural(rowsCompared, 'row')} of ${plural(partitions, 'partition')} compared while the table was live${counted}.`,
    ...look,
  ]
}
