import {sleep} from '../clock.js'
import {MigratorError} from '../errors.js'
import {factsOf, type MigrationContext} from './context.js'
import {byServer, readPrimaries} from './proof/primaries.js'

/** Counters of client writes; what arrives by duplication is counted apart (`duplicate_qps`) and not in these. */
const WRITE_COUNTERS = new Set([
  'put_qps',
  'multi_put_qps',
  'remove_qps',
  'multi_remove_qps',
  'incr_qps',
  'check_and_set_qps',
  'check_and_mutate_qps',
])

/** What a probe of ours counts as: the copy is not duplicating, so that its servers carry the probe out. */
const PROBE_COUNTER = 'check_and_set_qps'
/** How long a counter shows what was: snapshots are taken every 10 s, of what came since the one before. */
const COUNTERS_AGE_MS = 25_000
const LOOK_AGAIN_MS = 2000

/**
 * Refuses to go on while somebody writes to the target's copy: nothing on the servers can forbid it (I3), and a
 * duplicated write overwrites whatever is there (protocol.md §4.11).
 * @throws MigratorError `target.foreign_writes`
 */
export async function refuseForeignWrites(context: MigrationContext): Promise<void> {
  const {generation} = factsOf(context).target
  const rates = generation === 'master' ? await masterGrowth(context) : await lastingRates(context)
  const busy = [...rates].filter(([, rate]) => rate > 0)
  if (busy.length === 0) return
  throw new MigratorError(
    'target.foreign_writes',
    `clients write to ${context.request.table} on ${context.request.targetCluster} already (${busy
      .slice(0, 3)
      .map(([name, rate]) => `${name} = ${rate}`)
      .join(', ')}): what they write is lost or mixed with what is shipped`,
    {next: 'Find those clients and stop them. Then compare the table in full before you go on: --verify full.'},
  )
}

/** Of a cutover that was taken back a moment ago the probes may still be counted: they are gone at a later look. */
async function lastingRates(context: MigrationContext): Promise<Map<string, number>> {
  const {clock, signal} = context
  const startMs = clock.nowMs()
  for (;;) {
    const rates = await counterRates(context)
    const mayBeOurs = rates.size > 0 && [...rates.keys()].every((name) => name.startsWith(`${PROBE_COUNTER} `))
    if (!mayBeOurs || clock.nowMs() - startMs > COUNTERS_AGE_MS) return rates
    await sleep(clock, LOOK_AGAIN_MS, signal)
  }
}

async function counterRates(context: MigrationContext): Promise<Map<string, number>> {
  const {request, signal, target} = context
  const {configuration, primaries} = await readPrimaries(target, request.table, signal)
  const rates = new Map<string, number>()
  await Promise.all(
    [...byServer(primaries.values()).keys()].map(async (address) => {
      // One request: every counter of the table ends with this; the exact name is checked below, because it is a substring.
      // Secondaries count a write too, but only when the next one, or a group check, tells them that it is committed.
      const counters = await target.server(address).counters(`_qps@${configuration.appId}.`, {signal})
      for (const [name, value] of counters) {
        const match = /\*(\w+)@(\d+)\.(\d+)$/.exec(name)
        if (!match || Number(match[2]) !== configuration.appId || !WRITE_COUNTERS.has(match[1]!)) continue
        const isPrimary = primaries.get(Number(match[3]))?.server === address
        if (isPrimary && value > 0) rates.set(`${match[1]} of partition ${match[3]}`, value)
      }
    }),
  )
  return rates
}

const MASTER_METRICS = [
  'put_requests',
  'multi_put_requests',
  'remove_requests',
  'multi_remove_requests',
  'incr_requests',
  'check_and_set_requests',
  'check_and_mutate_requests',
]
const MASTER_SAMPLE_MS = 1000

/** master counts requests from the start: only growth between two looks is somebody writing now. */
async function masterGrowth(context: MigrationContext): Promise<Map<string, number>> {
  const before = await masterCounts(context)
  await sleep(context.clock, MASTER_SAMPLE_MS, context.signal)
  const after = await masterCounts(context)
  return new Map([...after].map(([name, value]) => [name, value - (before.get(name) ?? value)]))
}

async function masterCounts(context: MigrationContext): Promise<Map<string, number>> {
  const {request, signal, target} = context
  const {configuration, primaries} = await readPrimaries(target, request.table, signal)
  const counts = new Map<string, number>()
  await Promise.all(
    [...byServer(primaries.values()).keys()].map(async (address) => {
      const entities = await target.server(address).metrics(configuration.appId, MASTER_METRICS, {signal})
      for (const {attributes, id, values} of entities ?? []) {
        if (primaries.get(Number(attributes.get('partition_id')))?.server !== address) continue
        for (const [name, value] of values) counts.set(`${name} of ${id}`, value)
      }
    }),
  )
  return counts
}
