import type {MigrationResult} from '../migration/result.js'
import {formatCount, formatDuration, plural} from './text.js'

/** What was compared while writes were denied, in a sentence or two; undefined when nothing was to be. */
export function lastLookLine({lastLook}: MigrationResult): string | undefined {
  if (!lastLook) return undefined
  const {counted, countsDiffer, keysRead, leftOut, partitions, rowsCompared, tookMs} = lastLook
  const parts = [
    counted > 0 && `${formatCount(counted)} of ${plural(partitions, 'partition')} counted on both sides`,
    countsDiffer > 0 && `${formatCount(countsDiffer)} of them differ, as rows that expire`,
    rowsCompared > 0 && `${plural(rowsCompared, 'row')} compared for it`,
    keysRead > 0 && `${plural(keysRead, 'row')} written lately ${keysRead === 1 ? 'is' : 'are'} the same`,
  ].filter((part) => part !== false)
  const seen = parts.length === 0 ? 'nothing was compared' : parts.join(', ')
  return `Last look, while writes were denied (${formatDuration(tookMs)}): ${seen}${leftOut === undefined ? '' : `; left out: ${leftOut}`}.`
}
