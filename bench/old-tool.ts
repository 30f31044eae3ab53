import {type Clock, sleep} from '../src/lib/clock.js'
import {formatNodeData} from '../src/lib/metaproxy/node-data.js'
import type {MetaproxyStore} from '../src/lib/metaproxy/store.js'
import type {Cluster} from '../src/lib/pegasus/cluster.js'
import {DuplicationStatus} from '../src/lib/rpc/structs/duplication.js'

const DENY = 'replica.deny_client_request'
/** Its waits (protocol.md §10). */
const STEP_MS = 10_000
const LAST_WAIT_MS = 30_000
const POLL_MS = 1000

export interface OldToolOptions {
  clock: Clock
  source: Cluster
  store: MetaproxyStore
  table: string
  target: Cluster
  targetCluster: string
  threshold: number
}

/**
 * The sequence of the table migrator of admin-cli, where it goes well: the duplication set up by hand before and waited for
 * (measured.md §15; by itself it denies writes before anything ships). Its waits and its tests, nothing of ours.
 */
export async function runOldTool({
  clock,
  source,
  store,
  table,
  target,
  targetCluster,
  threshold,
}: OldToolOptions): Promise<void> {
  const {appId} = await source.addDuplication({checkpoint: true, remoteCluster: targetCluster, table})
  await untilShipping(clock, source, table)
  const servers = (await source.nodes()).map(({address}) => source.server(address))
  const figures = (substring: string) => Promise.all(servers.map((server) => server.counters(substring)))
  for (let pending = true; pending;) {
    await sleep(clock, STEP_MS)
    pending = (await figures('pending_mutations_count')).some((counters) =>
      [...counters.values()].some((value) => value > threshold),
    )
  }

  await sleep(clock, STEP_MS)
  await source.setEnvs(table, {[DENY]: 'timeout*write'})
  for (let shipping = true; shipping;) {
    await sleep(clock, STEP_MS)
    shipping = (await figures(`dup_shipped_ops@${appId}`)).some((counters) =>
      [...counters.values()].some((value) => value > 0),
    )
  }

  await sleep(clock, LAST_WAIT_MS)
  const node = await store.read(table)
  await store.compareAndSet(table, formatNodeData(targetCluster, target.metas), node.version)
  await source.setEnvs(table, {[DENY]: 'reconfig*all'})
}

async function untilShipping(clock: Clock, source: Cluster, table: string): Promise<void> {
  const {appId} = await source.configuration(table)
  for (;;) {
    await sleep(clock, POLL_MS)
    const [entry] = await source.duplications(table)
    if (entry?.status !== DuplicationStatus.DS_LOG) continue
    const {partitions} = await source.configuration(table)
    const primaries = [...new Set(partitions.flatMap(({primary}) => (primary === null ? [] : [primary])))]
    const states = await Promise.all(primaries.map((address) => source.server(address).duplicationStates(appId)))
    const duplicating = states.flatMap((state) => state.states).filter((state) => state.duplicating)
    if (duplicating.length === partitions.length) return
  }
}
