import type {Cluster} from '../../pegasus/cluster.js'
import type {CallLimits} from '../../pegasus/env.js'
import type {Effect} from '../effects.js'
import {forEachBounded} from '../preflight/bounded.js'
import {BATCH_BYTES, BATCH_BYTES_WANTED} from '../settings.js'
import {mayPass} from '../wait.js'

const SERVERS_AT_ONCE = 8

export interface SettingsClues {
  duplications: readonly unknown[]
  /** Whether other tables of the cluster are duplicated: they may rely on the same setting. */
  othersDuplicate: boolean
  servers: string[]
}

/**
 * Without a journal: settings of the source's servers that look as a migration leaves them and are configured otherwise
 * (protocol.md §13). Nothing is looked for where another table is duplicated, whose migration may need them.
 * @returns as effects that were done, with the configured value as `before`
 */
export async function findSettings(source: Cluster, clues: SettingsClues, limits: CallLimits): Promise<Effect[]> {
  if (clues.othersDuplicate) return []
  const settings: Effect[] = []
  await forEachBounded(clues.servers, SERVERS_AT_ONCE, async (address) => {
    try {
      const server = source.server(address)
      if ((await server.config(BATCH_BYTES, limits)) !== BATCH_BYTES_WANTED) return
      const before = (await server.configDump(limits)).get('replication', BATCH_BYTES)?.trim()
      if (before === undefined || before === BATCH_BYTES_WANTED) return
      settings.push({
        before,
        kind: 'set-server-config',
        name: BATCH_BYTES,
        server: address,
        side: 'source',
        value: BATCH_BYTES_WANTED,
      })
    } catch (error) {
      limits.signal?.throwIfAborted()
      if (!mayPass(error)) throw error
    }
  })
  return settings.sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))
}
