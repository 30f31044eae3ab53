import type {ClusterInfo, TableConfiguration} from '../../pegasus/cluster.js'
import {type Asking, early, metaLimits} from './asking.js'
import type {DuplicationFacts, JournalFacts, NodeFacts, TargetFacts} from './facts.js'
import type {StatusQuery} from './query.js'
import {type Names, nodeFacts, type NodeReading, readNode} from './read-metaproxy.js'
import {locateTarget, tableNamed, targetFacts, type TargetLocation} from './read-target.js'
import type {Reading} from './reader.js'

/** What is known of a table before its target is looked for. */
export interface SideTask {
  duplications: DuplicationFacts[]
  info: ClusterInfo | undefined
  journal: JournalFacts | undefined
  name: string
}

/** The target and the node, which are found by each other. */
export interface TargetSide {
  configuration?: TableConfiguration
  facts?: TargetFacts
  location?: TargetLocation
  node?: NodeFacts
}

/** Where the table's node is; undefined when nobody tells a root. */
export function metaproxyPlace(
  query: StatusQuery,
  info: ClusterInfo | undefined,
  journal: JournalFacts | undefined,
): {hosts: string; root: string} | undefined {
  const root = query.zooKeeperRoot ?? journal?.root
  const hosts = query.zooKeeperHosts ?? journal?.metaproxyHosts ?? info?.zookeeperHosts
  return root === undefined || !hosts ? undefined : {hosts, root}
}

/** Reads the node and, in parallel where something else tells which it is, the target. */
export async function readTargetSide(reading: Reading, asking: Asking, task: SideTask): Promise<TargetSide> {
  const {duplications, info, journal, name} = task
  const {reader, signal, source, stop} = reading
  const place = metaproxyPlace(reader.query, info, journal)
  const reads = early(
    place
      ? readNode(reader.storeOf(place.hosts, place.root), {...place, table: name}, signal, stop)
      : Promise.resolve(undefined),
  )
  const clues = {
    duplications,
    ...(journal ? {journal} : {}),
    query: reader.query,
    sourceCluster: info?.clusterName ?? '',
    sourceDump: () => reader.sourceDump(source.cluster, asking, signal),
    sourceMetas: [...reader.query.sourceMetas, ...(info?.metaServers ?? [])],
  }
  const location = (await locateTarget(clues)) ?? (await locateByNode(clues, reads))
  if (!location) return withNode(await reads, reading, info)
  const {cluster, info: ownInfo, tables: ownTables} = reading.clusterReading(location.metas, 'target', asking)
  const tables = await ownTables
  const there = tables && tableNamed(tables, name)
  const configuration = there && (await asking.ask('target', () => cluster.configuration(name, metaLimits(signal))))
  const own = await ownInfo
  const names: Names = {
    metas: [...location.metas, ...(own?.metaServers ?? [])],
    names: [location.cluster, ...(own ? [own.clusterName] : [])],
  }
  return {
    ...withNode(await reads, reading, info, names),
    ...(configuration ? {configuration} : {}),
    facts: targetFacts({...location, name, nowMs: reading.nowMs}, tables, configuration),
    location,
  }
}

async function locateByNode(clues: Parameters<typeof locateTarget>[0], reads: Promise<NodeReading | undefined>) {
  const node = await reads
  return node && locateTarget({...clues, node})
}

function withNode(
  node: NodeReading | undefined,
  {reader}: Reading,
  info: ClusterInfo | undefined,
  target?: Names,
): {node?: NodeFacts} {
  const {sourceMetas} = reader.query
  const source = {metas: [...sourceMetas, ...(info?.metaServers ?? [])], names: info ? [info.clusterName] : []}
  return node ? {node: nodeFacts(node, source, target)} : {}
}
