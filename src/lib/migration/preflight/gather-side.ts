import type {PegasusClient} from '../../pegasus/client.js'
import type {Cluster} from '../../pegasus/cluster.js'
import type {MigrationRequest} from '../request.js'
import type {AddressBook} from './addresses.js'
import {askMeta, askMetas, type MetaAnswers} from './ask-metas.js'
import {ServerInterview, type ServerRole, serversOf} from './ask-servers.js'
import {forEachBounded} from './bounded.js'
import type {Generation, MetaFacts, ServerFacts} from './check.js'

/** For finding a meta leader, and for each of its answers. */
const LEADER_MS = 5000
/** Servers asked at the same time whether they are there; in advance, so that no large answer delays these. */
const CONTACTS_AT_ONCE = 64
/** Servers asked at the same time for everything else, each one question at a time. */
export const SERVERS_AT_ONCE = 16

export interface SideFacts extends Omit<MetaAnswers, 'listsDuplications'> {
  cluster: Cluster
  generation: Generation
  /** Of every living server, to go on asking them. */
  interviews: ServerInterview[]
  metas: MetaFacts[]
  /** Every server that the cluster or the table's configuration names. */
  servers: ServerFacts[]
}

/** Asks one cluster: its leader first, then each meta and each living server by itself. */
export async function gatherSide(
  side: 'source' | 'target',
  client: PegasusClient,
  request: MigrationRequest,
  book: AddressBook,
  signal: AbortSignal,
): Promise<SideFacts> {
  const given = side === 'source' ? request.sourceMetas : request.targetMetas
  const cluster = client.cluster(given)
  const leaderLimits = {patienceMs: LEADER_MS, signal, timeoutMs: LEADER_MS}
  const answers = await askMetas(side, cluster, request.table, leaderLimits)
  const servers = serversOf(answers.nodes, answers.configuration)
  const about = {appId: answers.table?.appId ?? 0, isMaster: answers.listsDuplications === true}
  const interviews = servers
    .filter(({unreachable}) => unreachable === undefined)
    .map((facts) => new ServerInterview(client, cluster.server(facts.address), facts, signal, about))
  const [metas] = await Promise.all([
    namedMetas(given, answers.info.metaServers, book).then((named) =>
      Promise.all(named.map((meta) => askMeta(cluster, meta, signal))),
    ),
    forEachBounded(interviews, CONTACTS_AT_ONCE, (interview) => interview.contact()).then(() =>
      forEachBounded(interviews, SERVERS_AT_ONCE, (interview) => interview.run(roleOf(side, interview.facts))),
    ),
  ])
  const generation = generationOf(answers.listsDuplications, [...metas, ...servers])
  return {...answers, cluster, generation, interviews, metas, servers}
}

function roleOf(side: 'source' | 'target', {replicaOf}: ServerFacts): ServerRole {
  if (side === 'target') return 'target'
  return replicaOf.length > 0 ? 'source-host' : 'source-other'
}

/** The metas that were given, and those that the cluster names beside them. */
async function namedMetas(
  given: string[],
  named: string[],
  book: AddressBook,
): Promise<Array<{address: string; given: boolean}>> {
  const addresses = await book.resolveAll([...given, ...named])
  const ofGiven = new Set(given.map((address) => addresses.get(address) ?? address))
  const others = named.filter((address) => !ofGiven.has(addresses.get(address) ?? address))
  return [
    ...given.map((address) => ({address, given: true})),
    ...others.map((address) => ({address: addresses.get(address) ?? address, given: false})),
  ]
}

/** `2.5.0` → 2.5; undefined for a version that was not told. */
export function releaseOf(version: string): number | undefined {
  const match = /^v?(\d+\.\d+)/.exec(version)
  return match ? Number(match[1]) : undefined
}

/**
 * Which servers these are. Only master knows RPC_CM_LIST_DUPLICATION; between 2.4 and 2.5 the versions decide, and where
 * nobody told one, the generation that can do least.
 */
function generationOf(listsDuplications: boolean | undefined, told: Array<{version: string}>): Generation {
  if (listsDuplications) return 'master'
  const releases = told.map(({version}) => releaseOf(version)).filter((release) => release !== undefined)
  if (releases.length === 0 || releases.some((release) => release < 2.5)) return '2.4'
  return listsDuplications === undefined && releases.every((release) => release > 2.5) ? 'master' : '2.5'
}
