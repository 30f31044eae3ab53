import type {Cluster} from '../pegasus/cluster.js'
import type {CallLimits} from '../pegasus/env.js'
import type {Effect} from './effects.js'
import {forEachBounded} from './preflight/bounded.js'
import {ownValues, sameSetting} from './settings.js'
import {mayPass} from './wait.js'

const SERVERS_AT_ONCE = 8

export interface SettingsClues {
  /** What a journal has of them already. */
  known: readonly Effect[]
  /** Whether other tables of the cluster are duplicated: they may rely on the same setting. */
  othersDuplicate: boolean
  servers: string[]
}

/**
 * What no journal here knows of: settings of the source's servers that look as a migration leaves them and are configured otherwise
 * (protocol.md §13). Nothing is looked for where another table is duplicated, whose migration may need them; with none that is,
 * nobody needs the first of them, and the second only makes work for the metas.
 * @returns as effects that were done, with the configured value as `before`
 */
export async function findSettings(source: Cluster, clues: SettingsClues, limits: CallLimits): Promise<Effect[]> {
  const {known, othersDuplicate, servers} = clues
  if (othersDuplicate) return []
  const settings: Effect[] = []
  await forEachBounded(servers, SERVERS_AT_ONCE, async (address) => {
    try {
      const server = source.server(address)
      const unknown = [...ownValues]
        .map(
          ([name, value]) =>
            ({before: '', kind: 'set-server-config', name, server: address, side: 'source', value}) as const,
        )
        .filter((effect) => !known.some((other) => sameSetting(other, effect)))
      const values = await Promise.all(unknown.map(({name}) => server.config(name, limits)))
      const set = unknown.filter(({value}, index) => values[index] === value)
      if (set.length === 0) return
      const dump = await server.configDump(limits)
      for (const effect of set) {
        const before = dump.get('replication', effect.name)?.trim()
        if (before !== undefined && before !== effect.value) settings.push({...effect, before})
      }
    } catch (error) {
      limits.signal?.throwIfAborted()
      if (!mayPass(error)) throw error
    }
  })
  return settings.sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))
}
