import type {NodeData} from '../metaproxy/node-data.js'

/** The target as a command knows it. */
export interface KnownTarget {
  targetCluster: string
  targetMetas?: readonly string[]
}

/** Whether a node sends clients to the target: by its name, or, whatever somebody has called it there, by one of its metas. */
export function namesTarget(
  {clusterName, metaAddresses}: NodeData,
  {targetCluster, targetMetas = []}: KnownTarget,
): boolean {
  return clusterName === targetCluster || metaAddresses.some((address) => targetMetas.includes(address))
}
