import type {MigrationResult} from '../migration/result.js'
import {plural} from './text.js'

/** Whether somebody still asks the source, as far as its servers' counters can tell; undefined when they told nothing. */
export function remainingClientsSentence({remainingClients, source, table}: MigrationResult): string | undefined {
  if (!remainingClients) return undefined
  const {counted, mayBeOurs, refused, silent} = remainingClients
  const when = counted === 'since-closed' ? 'since it was closed' : 'in the last seconds'
  const unknown = silent.length > 0 ? ` (${plural(silent.length, 'server')} did not tell)` : ''
  const asking = refused.filter(({reads, writes}) => reads + writes > 0)
  if (asking.length === 0) {
    return `No request failed on the servers of ${source.cluster} that hold ${table}, ${when}${unknown}: nobody seems to ask there any more.`
  }

  const figures = asking.map(
    ({reads, server, writes}) => `${server} ${plural(reads, 'read')} and ${plural(writes, 'write')}`,
  )
  const ours = mayBeOurs ? ', the last probes of this tool perhaps among them' : ''
  const id = source.tableId === undefined ? '' : ` that begin with ${source.tableId}.`
  return `Requests that failed ${when}, of all tables${ours}${unknown}: ${figures.join('; ')}. Whoever still asks ${source.cluster} for ${table} is named in those servers' logs: lines${id} with "fail: client =" and ERR_INVALID_STATE.`
}
