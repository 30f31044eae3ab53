import type {SimulatedCluster} from '../../sandbox/index.js'
import {DENY_ENV} from '../../sandbox/replica/deny.js'
import type {Life} from '../life.js'
import {NODE, type Simulation, TABLE} from '../simulation.js'

/** Each partition's primary, where there is one and its server is alive. */
function primariesOf(cluster: SimulatedCluster) {
  const table = cluster.state.tableNamed(TABLE)
  return (table?.memberships ?? []).flatMap(({ballot, primary}, partitionIndex) => {
    const server = primary === undefined ? undefined : cluster.serverAt(primary)
    const replica = server?.alive ? server.replica({appId: table!.info.appId, partitionIndex}) : undefined
    return replica ? [{ballot, partition: partitionIndex, replica, server: server!}] : []
  })
}

/** Longest time between two config syncs of a server. */
const CONFIG_SYNC_MS = 30_000

/** Which primaries have hardly become it: they hear of a lifted deny with their next sync. */
export class NewPrimaries {
  private readonly seen = new Map<number, {atMs: number; ballot: number}>()

  has(partition: number, nowMs: number): boolean {
    const {atMs = -Infinity} = this.seen.get(partition) ?? {}
    return nowMs - atMs <= CONFIG_SYNC_MS
  }

  look(cluster: SimulatedCluster, nowMs: number): void {
    for (const {ballot, partition} of primariesOf(cluster)) {
      const before = this.seen.get(partition)
      if (before?.ballot !== ballot) this.seen.set(partition, {atMs: before ? nowMs : -Infinity, ballot})
    }
  }
}

/** Primaries of a side that refuse clients' writes, and its env. */
export function refusalsOf(
  side: 'source' | 'target',
  cluster: SimulatedCluster,
  isExcused: (partition: number) => boolean = () => false,
): string[] {
  const table = cluster.state.tableNamed(TABLE)
  if (!table) return [`${side} has no table`]
  const env = table.info.envs.get(DENY_ENV)
  const primaries = primariesOf(cluster)
    .filter(({partition, replica}) => replica.deny?.write && !isExcused(partition))
    .map(({partition, server}) => `${side}: ${server.address} refuses writes to partition ${partition}`)
  return env === undefined ? primaries : [`${side}: env ${env}`, ...primaries]
}

/** The deny of a migration, as the source's metas have it. */
export function ownDeny(source: SimulatedCluster): string | undefined {
  const env = source.state.tableNamed(TABLE)?.info.envs.get(DENY_ENV)
  return env?.endsWith('*write') ? env : undefined
}

/** Primaries of the source that take clients' writes. */
export function writablePrimaries(source: SimulatedCluster): {ballot: number; partition: number; text: string}[] {
  return primariesOf(source)
    .filter(({replica, server}) => !replica.deny?.write && server.connected)
    .map(({ballot, partition, server}) => ({
      ballot,
      partition,
      text: `the source's ${server.address} takes writes to partition ${partition}`,
    }))
}

const lockFileOf = (simulation: Simulation, {machine}: Life) =>
  simulation.disk(machine).paths.find((path) => path.endsWith('.lock'))

export function hasLockFile(simulation: Simulation, life: Life): boolean {
  return lockFileOf(simulation, life) !== undefined
}

/** Who holds the table's lock (`machine pid`), as the lock file of this process's machine and ZooKeeper say. */
export function lockNotes(simulation: Simulation, life: Life): string[] {
  const texts: string[] = []
  const path = lockFileOf(simulation, life)
  if (path !== undefined) texts.push(simulation.disk(life.machine).text(path)!)
  if (simulation.hasRoot) {
    const {zookeeper} = simulation
    const [lowest] = zookeeper.children(NODE).sort()
    if (lowest !== undefined) texts.push(zookeeper.getData(`${NODE}/${lowest}`).bytes.toString())
  }

  return texts.map((text) => {
    const {host, pid} = JSON.parse(text) as {host: string; pid: number}
    return `${host} ${pid}`
  })
}
