import {MigratorError} from '../../errors.js'
import type {Cluster} from '../../pegasus/cluster.js'
import {forEachBounded} from '../preflight/bounded.js'
import {byServer, ownPrimaries, readPrimaries} from '../proof/primaries.js'
import {readShipping} from '../proof/shipping.js'
import {mayPass} from '../wait.js'
import type {Sides} from './sides.js'
import {shortestRereadLimitMs} from './suspects.js'
import type {PartitionProgress, ReadProgress} from './types.js'

/** The default of the code (protocol.md §12), where a server does not tell. */
const groupCheckDefaultMs = 10_000
/** A mutation ships at the latest two group checks after it was written (measured.md §3), and some margin. */
const shipMarginMs = 20_000
const serversAtOnce = 16

/** Committed decrees by partition, as the primaries tell them. @throws as `readPrimaries` and `ownPrimaries` */
export async function readDecrees(cluster: Cluster, table: string, signal: AbortSignal): Promise<Map<number, number>> {
  const {configuration, primaries} = await readPrimaries(cluster, table, signal)
  const decrees = new Map<number, number>()
  await forEachBounded([...byServer(primaries.values())], serversAtOnce, async ([address, expected]) => {
    const replicas = await cluster.server(address).replicas({signal})
    const own = ownPrimaries(replicas, configuration.appId, expected)
    for (const [partition, {lastCommittedDecree}] of own) decrees.set(partition, lastCommittedDecree)
  })
  return decrees
}

/**
 * How far the duplication is. Where there is none nothing is on its way: then what the rounds must see is that a row
 * stands still on both sides, and that is so for certain where neither side's decree has moved by more than one.
 */
export function progressOf({duplication, generation, source, target}: Sides, table: string): ReadProgress {
  if (!duplication) {
    return async (signal) => {
      const [here, there] = await Promise.all([source, target].map(({cluster}) => readDecrees(cluster, table, signal)))
      return Array.from({length: source.table.partitionCount}, (_, index): PartitionProgress | undefined => {
        const [a, b] = [here!.get(index), there!.get(index)]
        if (a === undefined || b === undefined) return undefined
        return {committedDecree: a + b, shippedDecree: a + b}
      })
    }
  }

  return async (signal) => {
    const {cluster} = source
    const view = await readShipping({cluster, decrees: true, dupid: duplication.dupid, generation, signal, table})
    return Array.from({length: view.partitionCount}, (_, index) => view.partitions.get(index))
  }
}

/** The longest time that the newest mutation may need to reach the target. */
export async function rereadLimitOf(sides: Sides, signal: AbortSignal): Promise<number> {
  if (!sides.duplication || sides.generation === 'master') return shortestRereadLimitMs
  const {cluster, configuration} = sides.source
  const addresses = new Set(configuration.partitions.map(({primary}) => primary).filter((primary) => primary !== null))
  let groupCheckMs = 0
  await forEachBounded([...addresses], serversAtOnce, async (address) => {
    const told = await readGroupCheck(cluster, address, signal)
    groupCheckMs = Math.max(groupCheckMs, told > 0 ? told : groupCheckDefaultMs)
  })
  return Math.max(shortestRereadLimitMs, 2 * groupCheckMs + shipMarginMs)
}

/** @returns NaN when the server does not tell */
async function readGroupCheck(cluster: Cluster, address: string, signal: AbortSignal): Promise<number> {
  const name = 'group_check_interval_ms'
  const server = cluster.server(address)
  try {
    // On 2.4 it is no flag, and only the configuration file says it.
    const value = await server.config(name, {signal})
    return Number(value ?? (await server.configDump({signal})).get('replication', name) ?? Number.NaN)
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof MigratorError)) throw error
    return Number.NaN
  }
}

/** Reads decrees when it begins and when it ends, to tell how much was written meanwhile. */
export class WriteWatch {
  private before: Map<number, number> | undefined

  constructor(
    private readonly cluster: Cluster,
    private readonly table: string,
    private readonly signal: AbortSignal,
  ) {}

  async begin(): Promise<void> {
    this.before = await this.read()
  }

  /** Mutations committed since `begin`, empty ones of the servers' own included; undefined: nobody could tell. */
  async end(): Promise<number | undefined> {
    const now = await this.read()
    if (!this.before || !now) return undefined
    let sum = 0
    for (const [partition, decree] of now) sum += Math.max(0, decree - (this.before.get(partition) ?? decree))
    return sum
  }

  private async read(): Promise<Map<number, number> | undefined> {
    try {
      return await readDecrees(this.cluster, this.table, this.signal)
    } catch (error) {
      this.signal.throwIfAborted()
      if (!mayPass(error)) throw error
      return undefined
    }
  }
}
