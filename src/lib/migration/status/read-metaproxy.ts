import {queryProxy} from '../../metaproxy/proxy.js'
import type {MetaproxyStore, NodeRecord} from '../../metaproxy/store.js'
import type {TableConfiguration} from '../../pegasus/cluster.js'
import type {ConnectionPool} from '../../rpc/pool.js'
import {problemOf, serverLimits} from './asking.js'
import type {NodeFacts, ProxyFacts, Side} from './facts.js'

/** A node as it was read, before it is known which cluster is the target. */
export type NodeReading = Pick<NodeFacts, 'hosts' | 'path' | 'problem'> & {record?: NodeRecord}

export interface NodeLocation {
  hosts: string
  root: string
  table: string
}

export async function readNode(
  store: MetaproxyStore,
  {hosts, root, table}: NodeLocation,
  signal: AbortSignal,
  stop?: AbortSignal,
): Promise<NodeReading> {
  const path = `${root === '/' ? '' : root}/${table}`
  try {
    const record = await store.read(table, signal)
    return {hosts, path, record}
  } catch (error) {
    return {hosts, path, problem: problemOf(error, stop)}
  }
}

/** A cluster as a node may name it: every name and meta address that it goes by. */
export interface Names {
  metas: string[]
  names: string[]
}

/** Which side a cluster name with its metas means: the name decides, else a meta address that it shares. */
export function sideOf(named: {clusterName: string; metaAddresses: string[]}, source: Names, target?: Names): Side {
  if (source.names.includes(named.clusterName)) return 'source'
  if (target?.names.includes(named.clusterName)) return 'target'
  const shares = (side?: Names) => named.metaAddresses.some((address) => side?.metas.includes(address))
  if (shares(source)) return 'source'
  return shares(target) ? 'target' : 'other'
}

export function nodeFacts({hosts, path, problem, record}: NodeReading, source: Names, target?: Names): NodeFacts {
  if (!record) return {hosts, path, ...(problem ? {problem} : {})}
  const {data, version} = record
  return {cluster: data.clusterName, hosts, path: record.path, side: sideOf(data, source, target), version}
}

/** Asks one metaproxy where it leads clients. */
export async function readProxy(
  pool: ConnectionPool,
  address: string,
  table: string,
  sides: {source?: TableConfiguration; target?: TableConfiguration},
  signal: AbortSignal,
  stop?: AbortSignal,
): Promise<ProxyFacts> {
  try {
    const answer = await queryProxy(pool, address, table, serverLimits(signal))
    const leadsTo = (side?: TableConfiguration) => {
      const primaries = new Set(side?.partitions.map(({primary}) => primary))
      // One is enough: others may have moved between the two answers.
      const known = answer.primaries.length === 0 || answer.primaries.some((primary) => primaries.has(primary))
      return side?.appId === answer.appId && known
    }

    const side: Side = leadsTo(sides.source) ? 'source' : leadsTo(sides.target) ? 'target' : 'other'
    return {address, side}
  } catch (error) {
    return {address, problem: problemOf(error, stop)}
  }
}
