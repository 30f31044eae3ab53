import {plural} from '../../plural.js'
import type {DuplicationState, VerifyRequest} from './run-types.js'

/** How often an idle primary makes an empty write (protocol.md §4.2): what nobody wrote still commits so much. */
const emptyWriteMs = 10_000

export interface Known {
  dupid?: number
  /** Expiries may differ by so much, because the table has a `default_ttl`. */
  expiryToleranceSeconds: number
  mode: VerifyRequest['mode']
  partitionCount: number
  state: DuplicationState
  tookMs: number
  /** Mutations committed meanwhile, empty ones included; where nothing ships. */
  writes?: {source?: number; target?: number}
}

/** What a comparison proves and what it cannot, in sentences. */
export function provedBy(known: Known): string[] {
  const {dupid, expiryToleranceSeconds, mode, state} = known
  const sentences = [modeSentence(mode)]
  if (state === 'shipping') {
    sentences.push(
      `Duplication ${dupid} ships: a difference counts once the target had acknowledged everything that the source held when the row was read, so a lag is no difference.`,
    )
  } else {
    sentences.push(
      state === 'paused'
        ? `Duplication ${dupid} is paused: a row that differs may be one that is still to be shipped, so it stays unproved until shipping goes on.`
        : 'No duplication ships between the two: what was written to either side since it ended differs, and rightly so.',
      ...quietSentences(known),
    )
  }

  if (expiryToleranceSeconds > 0) {
    sentences.push(
      `The table has a default_ttl, which each side applies by its own clock: expiries may differ by ${expiryToleranceSeconds} s.`,
    )
  }

  return sentences
}

function modeSentence(mode: VerifyRequest['mode']): string {
  if (mode === 'full') return 'Every row of both sides was to be read: key, value and expiry.'
  if (mode === 'sample') return 'Only a sample was read: a few wrong rows of a large table mostly are not in it.'
  return 'Rows were only counted, except where counts differ: changed values are not seen.'
}

function quietSentences({partitionCount, tookMs, writes}: Known): string[] {
  const own = partitionCount * (Math.ceil(tookMs / emptyWriteMs) + 1)
  return (['source', 'target'] as const).map((side) => {
    const count = writes?.[side]
    if (count === undefined) return `Whether anybody wrote to the ${side} meanwhile could not be read.`
    return count <= own
      ? `The ${side} was quiet meanwhile (${plural(count, 'mutation')}, no more than the servers make by themselves).`
      : `The ${side} was written to meanwhile (${plural(count, 'mutation')}): only rows that stood still are judged.`
  })
}
