import {deadline} from '../../clock.js'
import {messageOf, MigratorError} from '../../errors.js'
import {DuplicationStatus} from '../../rpc/structs/duplication.js'
import {factsOf, type MigrationContext} from '../context.js'
import {listed} from '../proof/shipping.js'
import {hostingServers} from '../settings.js'
import {targetTrouble} from '../target-health.js'

/** Writes are denied while these questions are asked. */
const ASK_LIMIT_MS = 3000
/** Flags without which the last mutation of each partition never ships on 2.4/2.5 (protocol.md §4.2). */
const STOPPING_FLAGS = ['empty_write_disabled', 'group_check_disabled'] as const

/** What of servers, duplication and target keeps a drain from its end, in sentences; empty: nothing was found. */
export function whyNotDrained(context: MigrationContext): Promise<string> {
  return shortly(context, async (asking) => {
    const found = await Promise.allSettled([stoppedWrites(asking), skipping(asking), targetTrouble(asking)])
    context.signal.throwIfAborted()
    return found
      .map((result) =>
        result.status === 'fulfilled' ? result.value : `not everything could be asked: ${messageOf(result.reason)}`,
      )
      .filter((sentence) => sentence !== undefined)
      .join('; ')
  })
}

/** What became of the duplication, as far as the metas tell in time: without a leader nobody waits for one here. */
export function statusInWords(context: MigrationContext): Promise<string> {
  return shortly(context, async ({request, signal, source, state}) => {
    try {
      const entries = await source.duplications(request.table, {signal, timeoutMs: ASK_LIMIT_MS})
      const entry = entries.find(({dupid}) => dupid === state.dupid)
      return entry
        ? `duplication ${entry.dupid} is in ${DuplicationStatus[entry.status]}`
        : `duplication ${state.dupid} is gone`
    } catch (error) {
      context.signal.throwIfAborted()
      return `what became of duplication ${state.dupid} could not be read (${messageOf(error)})`
    }
  })
}

async function shortly<T>(context: MigrationContext, ask: (asking: MigrationContext) => Promise<T>): Promise<T> {
  const reason = () => new MigratorError('drain.reasons_late', `no answer within ${ASK_LIMIT_MS / 1000} s`)
  const limit = deadline(context.clock, ASK_LIMIT_MS, reason, context.signal)
  try {
    return await ask({...context, signal: limit.signal})
  } finally {
    limit.dispose()
  }
}

async function stoppedWrites(context: MigrationContext): Promise<string | undefined> {
  if (factsOf(context).source.generation === 'master') return undefined
  const servers = await hostingServers(context)
  const found = await Promise.all(
    STOPPING_FLAGS.map(async (flag) => {
      const values = await Promise.all(
        servers.map((address) => context.source.server(address).config(flag, {signal: context.signal})),
      )
      const on = servers.filter((_, index) => values[index] === 'true')
      return on.length === 0 ? undefined : `${flag} is true on ${shortServers(on)}`
    }),
  )
  const named = found.filter((sentence) => sentence !== undefined)
  if (named.length === 0) return undefined
  return `${named.join(', ')}: the last mutation of each partition there never ships; set it to false`
}

/** A pipeline that leaves out what it cannot read is no proof of anything (doubt.ts). */
async function skipping({signal, source, state, request}: MigrationContext): Promise<string | undefined> {
  const {appId, partitions} = await source.configuration(request.table, {signal})
  const servers = [...new Set(partitions.map(({primary}) => primary))].filter((address) => address !== null)
  const states = await Promise.all(
    servers.map(async (address) => (await source.server(address).duplicationStates(appId, {signal})).states),
  )
  const skip = states
    .flat()
    .filter(({dupid, failMode}) => dupid === state.dupid && /skip/i.test(failMode))
    .map(({partitionIndex}) => partitionIndex)
  return skip.length === 0 ? undefined : `the fail mode of ${listed('partition', skip)} is FAIL_SKIP: somebody set it`
}

function shortServers(servers: readonly string[]): string {
  return servers.length > 3 ? `${servers.slice(0, 3).join(', ')} and ${servers.length - 3} more` : servers.join(', ')
}
