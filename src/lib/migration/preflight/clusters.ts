import type {DuplicationEntry} from '../../rpc/structs/duplication.js'
import type {MetaFacts, PreflightFacts, ServerFacts} from './check.js'
import {namesTarget} from '../names-target.js'
import {duplicationNameIn} from './settings.js'

/** What duplication calls a cluster: by the configuration of its metas, else the name that it reports. */
export function duplicationName(cluster: {info: {clusterName: string}; metas: MetaFacts[]}): string {
  const names = cluster.metas.map(({dump}) => dump && duplicationNameIn(dump))
  return names.find(Boolean) ?? cluster.info.clusterName
}

/** Every name that the cluster goes by. */
export function namesOf(cluster: {info: {clusterName: string}; metas: MetaFacts[]}): string[] {
  return [...new Set([cluster.info.clusterName, duplicationName(cluster)])].filter(Boolean)
}

/** Addresses of a cluster's metas, as given and as it names them. */
export function metaAddresses(cluster: {info: {metaServers: string[]}; metas: MetaFacts[]}): string[] {
  return [...new Set([...cluster.metas.map(({address}) => address), ...cluster.info.metaServers])]
}

/** Source servers that could be asked; a dead one is told by `source-servers` alone. */
export function askedServers(facts: PreflightFacts): ServerFacts[] {
  return facts.source.servers.filter(({unreachable}) => unreachable === undefined)
}

/** Duplications of the source's table to the target cluster. */
export function duplicationsToTarget(facts: PreflightFacts): DuplicationEntry[] {
  const names = new Set([facts.request.targetCluster, ...namesOf(facts.target)])
  return facts.source.duplications.filter(({remote}) => names.has(remote))
}

/** The duplication that the journal claims, if it is there. */
export function ownDuplication(facts: PreflightFacts): DuplicationEntry | undefined {
  return duplicationsToTarget(facts).find(({dupid}) => dupid === facts.ownDupid)
}

/** Whether this machine's journal tells of an earlier run that has not ended. */
export function isResume(facts: PreflightFacts): boolean {
  return facts.ownDupid !== undefined || facts.ownDeny !== undefined || facts.ownHandOver === true
}

/** Whether the metaproxy node names the target: the commit point is behind us. */
export function nodeNamesTarget(facts: PreflightFacts): boolean {
  const data = facts.metaproxy?.node?.data
  return data !== undefined && (namesTarget(data, facts.request) || namesOf(facts.target).includes(data.clusterName))
}

/** Why the applications may be on the target already, or undefined: whoever drops its table then drops what serves. */
export function whyTargetMayServe(facts: PreflightFacts): string | undefined {
  if (nodeNamesTarget(facts)) return 'the metaproxy node names the target'
  if (!facts.request.metaproxy && facts.ownFinished)
    return "this machine's journal says that the applications were moved there"
  return undefined
}
