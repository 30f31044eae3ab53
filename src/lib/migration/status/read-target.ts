import {type AppInfo, AppStatus} from '../../rpc/structs/table.js'
import type {TableConfiguration} from '../../pegasus/cluster.js'
import type {ConfigDump} from '../../pegasus/config-dump.js'
import {DENY_ENV} from '../effects-live.js'
import {splitAddresses} from '../preflight/addresses.js'
import {configuredMetas} from '../preflight/settings.js'
import {droppedTable} from '../target-health.js'
import type {DuplicationFacts, JournalFacts, TargetFacts} from './facts.js'
import type {NodeReading} from './read-metaproxy.js'
import type {StatusQuery} from './query.js'

const FOLLOWER_PREFIX = 'duplication.'

/** Which cluster is the target, and who says so. */
export type TargetLocation = Pick<TargetFacts, 'cluster' | 'knownFrom' | 'metas'>

export interface TargetClues {
  duplications: readonly DuplicationFacts[]
  journal?: JournalFacts
  node?: NodeReading
  query: StatusQuery
  sourceCluster: string
  /** `config-dump` of a meta of the source; it is long, and asked for only where nothing else tells. */
  sourceDump(): Promise<ConfigDump | undefined>
  /** By them a node names the source, whatever it calls it: master duplicates by another name than its cluster's. */
  sourceMetas: readonly string[]
}

/**
 * Finds the target: what the operator named, else the journal, else a duplication's remote in the source's
 * `[pegasus.clusters]` (protocol.md §13), else what the node names when that is not the source.
 */
export async function locateTarget(clues: TargetClues): Promise<TargetLocation | undefined> {
  const {duplications, journal, node, query, sourceCluster, sourceMetas} = clues
  const cluster = query.targetCluster ?? journal?.targetCluster ?? duplications[0]?.remote
  if (query.targetMetas && cluster !== undefined) return {cluster, knownFrom: 'flags', metas: query.targetMetas}
  if (journal?.targetMetas && journal.targetCluster === cluster) {
    return {cluster, knownFrom: 'journal', metas: journal.targetMetas}
  }

  const named = node?.record?.data
  const isSource =
    named?.clusterName === sourceCluster || named?.metaAddresses.some((meta) => sourceMetas.includes(meta))
  const byNode = isSource ? undefined : named
  if (cluster === undefined) {
    return byNode && {cluster: byNode.clusterName, knownFrom: 'node', metas: byNode.metaAddresses}
  }

  const dump = await clues.sourceDump()
  const metas = splitAddresses((dump && configuredMetas(dump, cluster)) ?? '')
  if (metas.length > 0) return {cluster, knownFrom: 'duplication', metas}
  return byNode?.clusterName === cluster ? {cluster, knownFrom: 'node', metas: byNode.metaAddresses} : undefined
}

/** The table of this name that is not dropped. */
export function tableNamed(tables: readonly AppInfo[], name: string): AppInfo | undefined {
  const named = tables.filter(({appName}) => appName === name)
  return (
    named.find(({status}) => status === AppStatus.AS_AVAILABLE) ??
    named.find(({status}) => status !== AppStatus.AS_DROPPED)
  )
}

export function withoutPrimary(configuration?: TableConfiguration): number[] {
  return (configuration?.partitions ?? []).filter(({primary}) => primary === null).map(({pid}) => pid.partitionIndex)
}

export function targetFacts(
  {name, nowMs, ...location}: TargetLocation & {name: string; nowMs: number},
  tables: readonly AppInfo[] | undefined,
  configuration?: TableConfiguration,
): TargetFacts {
  const table = tables && tableNamed(tables, name)
  const dropped = table ? undefined : droppedTable(tables ?? [], name, nowMs)
  const deny = table?.envs.get(DENY_ENV)
  return {
    ...location,
    ...(dropped ? {dropped} : {}),
    reached: tables !== undefined,
    ...(table
      ? {
          table: {
            appId: table.appId,
            ...(deny === undefined ? {} : {deny}),
            followerEnvs: Object.fromEntries([...table.envs].filter(([key]) => key.startsWith(FOLLOWER_PREFIX))),
            partitionCount: table.partitionCount,
          },
        }
      : {}),
    withoutPrimary: withoutPrimary(configuration),
  }
}
