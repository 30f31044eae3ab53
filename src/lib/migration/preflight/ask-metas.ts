import {isMigratorError, MigratorError} from '../../errors.js'
import type {Cluster, ClusterInfo, NodeStatusInfo, TableConfiguration} from '../../pegasus/cluster.js'
import type {CallLimits} from '../../pegasus/env.js'
import type {DuplicationEntry} from '../../rpc/structs/duplication.js'
import {type AppInfo, AppStatus} from '../../rpc/structs/table.js'
import {CONTACT_MS, QUESTION_MS, versionIn} from './ask-servers.js'
import type {FactName, MetaFacts} from './check.js'
import {judgedPartOf} from './settings.js'

/** What the metas of one cluster told; a member that is named in `unread` holds an empty value. */
export interface MetaAnswers {
  configuration: TableConfiguration
  duplications: DuplicationEntry[]
  info: ClusterInfo
  /** Whether the cluster knows RPC_CM_LIST_DUPLICATION, which only master does; undefined: not known. */
  listsDuplications: boolean | undefined
  nodes: NodeStatusInfo[]
  table: AppInfo | undefined
  unread: Map<FactName, Error>
}

const noInfo: ClusterInfo = {
  clusterName: '',
  metaFunctionLevel: '',
  metaServers: [],
  primaryMetaServer: '',
  raw: new Map(),
  zookeeperHosts: '',
  zookeeperRoot: '',
}

const noConfiguration: TableConfiguration = {appId: 0, partitionCount: 0, partitions: []}

/** Code of the error that stands for a table that is not there: its checks have nothing to judge. */
export const NO_TABLE = 'preflight.no_table'

/** One question after the other, because they all go to the leader; once nobody answers, none is asked any more. */
class Questions {
  readonly unread = new Map<FactName, Error>()
  private silent: Error | undefined

  constructor(private readonly side: 'source' | 'target') {}

  async ask<T>(fact: string, empty: T, question: () => Promise<T>): Promise<T> {
    if (this.silent) return this.fail(fact, empty, this.silent)
    try {
      return await question()
    } catch (error) {
      if (!(error instanceof MigratorError)) throw error
      const answered = isMigratorError(error, 'meta.error', 'meta.bad_answer', 'rpc.server_error', NO_TABLE)
      if (!answered) this.silent = error
      return this.fail(fact, empty, error)
    }
  }

  fail<T>(fact: string, empty: T, error: Error): T {
    this.unread.set(`${this.side}.${fact}` as FactName, error)
    return empty
  }
}

/** Reads everything about `table` from the leader of one cluster. Throws only what is no failure of the cluster. */
export async function askMetas(
  side: 'source' | 'target',
  cluster: Cluster,
  table: string,
  limits: CallLimits,
): Promise<MetaAnswers> {
  const questions = new Questions(side)
  const info = await questions.ask('info', noInfo, () => cluster.info(limits))
  const nodes = await questions.ask('nodes', [], () => cluster.nodes(limits))
  const tables = await questions.ask('table', [], () => cluster.tables(limits))
  const named = tables.filter(({appName}) => appName === table)
  const found =
    named.find(({status}) => status === AppStatus.AS_AVAILABLE) ??
    named.find(({status}) => status !== AppStatus.AS_DROPPED)
  let listsDuplications: boolean | undefined
  try {
    if (questions.unread.size === 0) listsDuplications = (await cluster.listDuplications(table, limits)) !== undefined
  } catch (error) {
    if (!(error instanceof MigratorError)) throw error // else the versions tell the generation
  }

  if (!found && side === 'source' && !questions.unread.has('source.table')) {
    const error = noTable(table, info.clusterName, named)
    for (const fact of ['table', 'configuration', 'duplications']) questions.fail(fact, undefined, error)
  }

  const asked = found && (side === 'source' || found.status === AppStatus.AS_AVAILABLE)
  const configuration =
    asked && side === 'source'
      ? await questions.ask('configuration', noConfiguration, () => cluster.configuration(table, limits))
      : noConfiguration
  const duplications = asked ? await questions.ask('duplications', [], () => cluster.duplications(table, limits)) : []
  return {configuration, duplications, info, listsDuplications, nodes, table: found, unread: questions.unread}
}

function noTable(table: string, clusterName: string, named: AppInfo[]): MigratorError {
  const dropped = named.filter(({status}) => status === AppStatus.AS_DROPPED).map(({appId}) => appId)
  const past = dropped.length > 0 ? `; it was dropped (table id ${dropped.join(', ')}) and may be recalled` : ''
  return new MigratorError(NO_TABLE, `cluster ${clusterName} has no table ${table}${past}`)
}

/** Reads the version and configuration of one meta, leader or not (protocol.md §7.1): each has a file of its own. */
export async function askMeta(
  cluster: Cluster,
  meta: {address: string; given: boolean},
  signal: AbortSignal,
): Promise<MetaFacts> {
  const server = cluster.server(meta.address)
  const facts: MetaFacts = {...meta, version: ''}
  try {
    // Never by HTTP: on a follower of 2.4 and 2.5 it is dangerous (product.md, lesson 6).
    facts.version = versionIn(await server.command('server-info', [], {signal, timeoutMs: CONTACT_MS}))
    facts.dump = judgedPartOf(await server.configDump({signal, timeoutMs: QUESTION_MS}))
  } catch (error) {
    if (!(error instanceof MigratorError)) throw error
    facts.error = error
  }

  return facts
}
