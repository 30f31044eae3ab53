import type {StatusQuery, StatusWorld} from './query.js'
import {StatusReader} from './reader.js'
import type {StatusReport} from './report.js'

export {classify, type NamedState} from './classify.js'
export type {GuardFacts, LockFacts, StatusFacts} from './facts.js'
export type {StatusQuery, StatusWorld} from './query.js'
export {StatusReader} from './reader.js'
export type {StatusReport, TableStatus} from './report.js'
export {exitCodeOfLevel, type Level, type StateId, stateIds, states} from './states.js'

/**
 * Where one table, or every table of interest, stands; read-only. What could not be read is told in `unread` and
 * hides nothing else.
 * @throws the signal's reason once it is aborted
 */
export async function readStatus(query: StatusQuery, world: StatusWorld, signal?: AbortSignal): Promise<StatusReport> {
  const reader = new StatusReader(query, world)
  try {
    return await reader.read(signal)
  } finally {
    await reader.close()
  }
}
