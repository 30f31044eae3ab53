import type {Cluster, TableConfiguration} from '../../pegasus/cluster.js'
import type {ReplicaServer} from '../../pegasus/replica-server.js'
import type {Effect} from '../effects.js'
import {forEachBounded} from '../preflight/bounded.js'
import type {ServerFacts} from '../preflight/check.js'
import {BATCH_BYTES, BATCH_BYTES_WANTED, SYNC_INTERVAL} from '../settings.js'
import {type Asking, early, serverLimits} from './asking.js'
import type {PartitionLag, SettingFacts, ShippingFacts} from './facts.js'

/** Servers asked at the same time. */
const SERVERS_AT_ONCE = 64
const timerNames = [SYNC_INTERVAL, 'group_check_interval_ms']

/** Servers that host a replica of the table, with the partitions they are primary of. */
function hostsOf({partitions}: TableConfiguration): Map<string, number[]> {
  const hosts = new Map<string, number[]>()
  for (const {pid, primary, secondaries} of partitions) {
    for (const address of secondaries) if (address !== null && !hosts.has(address)) hosts.set(address, [])
    if (primary === null) continue
    const primaryOf = hosts.get(primary)
    if (primaryOf) primaryOf.push(pid.partitionIndex)
    else hosts.set(primary, [pid.partitionIndex])
  }

  return hosts
}

/** Reads how far a duplication has shipped from every primary, and whether the hosts ship in order. */
export async function readShippingFacts(
  asking: Asking,
  cluster: Cluster,
  configuration: TableConfiguration,
  dupid: number,
  signal: AbortSignal,
): Promise<ShippingFacts> {
  const batching: string[] = []
  const partitions: PartitionLag[] = []
  const unreported: number[] = []
  await forEachBounded([...hostsOf(configuration)], SERVERS_AT_ONCE, async ([address, primaryOf]) => {
    const server = cluster.server(address)
    const batchBytes = early(asking.ask(`server ${address}`, () => server.config(BATCH_BYTES, serverLimits(signal))))
    if (primaryOf.length > 0) {
      const lags = await asking.ask(`server ${address}`, () => readLag(server, configuration.appId, dupid, signal))
      for (const partitionIndex of lags ? primaryOf : []) {
        const lag = lags!.get(partitionIndex)
        if (lag) partitions.push(lag)
        else unreported.push(partitionIndex)
      }
    }

    const value = await batchBytes
    if (value !== undefined && value !== BATCH_BYTES_WANTED) batching.push(address)
  })
  return {
    batching: batching.sort(),
    dupid,
    partitions: partitions.sort((a, b) => b.lagMutations - a.lagMutations || a.partitionIndex - b.partitionIndex),
    unreported: unreported.sort((a, b) => a - b),
  }
}

async function readLag(server: ReplicaServer, appId: number, dupid: number, signal: AbortSignal) {
  const {states} = await server.duplicationStates(appId, serverLimits(signal))
  return new Map(
    states
      .filter((state) => state.dupid === dupid)
      .map(({duplicating, failMode, notDuplicatedMutations, partitionIndex}): [number, PartitionLag] => [
        partitionIndex,
        {duplicating, failMode, lagMutations: notDuplicatedMutations, partitionIndex, server: server.address},
      ]),
  )
}

/** What `predictWindow` reads of a server. */
export type TimerFacts = Pick<ServerFacts, 'address' | 'config' | 'dump'>

/**
 * The timers that decide the write-deny window, from every host. Where they are no flags (2.4) the configuration file
 * says them; it is long, and cannot change without a restart, so it is read once per server.
 */
export async function readTimers(
  asking: Asking,
  cluster: Cluster,
  configuration: TableConfiguration,
  dumps: Map<string, TimerFacts['dump']>,
  signal: AbortSignal,
): Promise<TimerFacts[]> {
  const facts: TimerFacts[] = []
  await forEachBounded([...hostsOf(configuration).keys()], SERVERS_AT_ONCE, async (address) => {
    const server = cluster.server(address)
    const values = await Promise.all(
      timerNames.map((name) => asking.ask(`server ${address}`, () => server.config(name, serverLimits(signal)))),
    )
    if (values.includes(undefined) && !dumps.has(address)) {
      const dump = await asking.ask(`server ${address}`, () => server.configDump(serverLimits(signal)))
      if (dump) dumps.set(address, dump)
    }

    const config = new Map(timerNames.map((name, index) => [name, values[index]]))
    facts.push({address, config, dump: dumps.get(address)})
  })
  return facts
}

/** What the settings are now that the journal says were changed. */
export async function readSettings(
  asking: Asking,
  changed: readonly Effect[],
  clusters: {
    metaLevel(side: 'source' | 'target'): Promise<string | undefined>
    of(side: 'source' | 'target'): Cluster | undefined
  },
  signal: AbortSignal,
): Promise<SettingFacts[]> {
  const settings: SettingFacts[] = []
  await forEachBounded(changed, SERVERS_AT_ONCE, async (effect) => {
    if (effect.kind === 'set-meta-level') {
      const {before, level, side} = effect
      const now = await clusters.metaLevel(side)
      settings.push({
        before,
        left: now === level && level !== before,
        name: 'meta level',
        ...(now === undefined ? {} : {now}),
        side,
      })
    }

    // Without a value from before there is nothing to put back.
    if (effect.kind !== 'set-server-config' || effect.before === '') return
    const {before, name, server, side, value} = effect
    const cluster = clusters.of(side)
    const now =
      cluster && (await asking.ask(`server ${server}`, () => cluster.server(server).config(name, serverLimits(signal))))
    settings.push({
      before,
      left: now === value && value !== before,
      name,
      ...(now === undefined ? {} : {now}),
      server,
      side,
    })
  })
  return settings.sort((a, b) => `${a.side} ${a.name} ${a.server}`.localeCompare(`${b.side} ${b.name} ${b.server}`))
}
