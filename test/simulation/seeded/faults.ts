import {MigratorError} from '../../../src/lib/errors.js'
import {formatNodeData} from '../../../src/lib/metaproxy/node-data.js'
import {DuplicationFailMode, DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import type {SimulatedCluster} from '../../sandbox/index.js'
import {dropApp} from '../../sandbox/meta/tables.js'
import {DENY_ENV} from '../../sandbox/replica/deny.js'
import {NODE, TABLE} from '../simulation.js'
import type {Fault} from './plan.js'
import type {Stage} from './stage.js'

/** Makes a fault happen. @returns what ends it, if it ends; `undefined` where there was nothing to do it to */
type Begin = (stage: Stage, fault: Fault, side: SimulatedCluster) => Promise<End> | End
type End = (() => Promise<void> | void) | void

/** What another operator denies: no migration's own value. */
export const FOREIGN_DENY = 'timeout*read'

/** Until somebody starts a server that went down. */
const NOTICED_MS = 90_000

function pickFrom<T>({pick}: Fault, of: readonly T[]): T | undefined {
  return of[pick % of.length]
}

const serverOf = (fault: Fault, {servers}: SimulatedCluster) => pickFrom(fault, servers)!

/** Half of the time the one that matters; `heir`: one that leads no partition of the table, and may come to. */
function victimOf(fault: Fault, cluster: SimulatedCluster) {
  if (fault.what === 'heir') {
    const leading = new Set(cluster.state.tableNamed(TABLE)?.memberships.map(({primary}) => primary))
    const heir = cluster.servers.find(({address}) => !leading.has(address))
    if (heir) return heir
  }

  const primary = fault.pick % 2 === 0 && cluster.state.tableNamed(TABLE) ? cluster.primaryOf(TABLE, 0) : undefined
  return (primary === undefined ? undefined : cluster.serverAt(primary)) ?? serverOf(fault, cluster)
}

function duplicationOf({simulation: {source}}: Stage) {
  const table = source.state.tableNamed(TABLE)
  return table && source.state.duplications.of(table.info.appId)[0]
}

function alter(stage: Stage, change: {failMode?: DuplicationFailMode; status?: DuplicationStatus}): void {
  const duplication = duplicationOf(stage)
  if (!duplication) return
  stage.simulation.source.state.duplications.modify({appName: TABLE, dupid: duplication.dupid, ...change})
}

/** Servers that somebody's hand takes down (a pipeline that is stopped while it ships) are not left down for an hour. */
function startAgainLater({simulation: {clock, source}}: Stage): void {
  clock.setTimer(NOTICED_MS, () => {
    for (const {aborted, address, alive} of source.servers)
      if (!alive && aborted !== undefined) void source.startServer(address)
  })
}

export const beginOf: Record<string, Begin> = {
  'batching-by-another'({simulation: {source}}, fault) {
    const server = victimOf(fault, source)
    if (server.alive) source.setFlag(server.address, 'duplicate_log_batch_bytes', '4096')
  },
  blackhole({sky}, fault, cluster) {
    const targets = [...cluster.metas, ...cluster.servers.map(({address}) => address)]
    return sky.swallow(fault.what!, pickFrom(fault, targets)!)
  },
  call(_, fault, cluster) {
    const [how, ...name] = fault.what!.split(' ')
    const call = name.join(' ')
    const filter = {count: fault.count ?? 1}
    if (how === 'lose-answer') cluster.loseAnswer(call, filter)
    if (how === 'ignore') cluster.ignoreCalls(call, filter)
    if (how === 'close-after') cluster.closeAfter(call, filter)
    if (how === 'delay') cluster.delayReplies(call, fault.ms!, filter)
    if (how === 'late') cluster.delayCalls(call, fault.ms!, filter)
    if (how === 'fail') {
      const refusal = call.startsWith('GET')
        ? 'out of luck'
        : call.includes('RRDB')
          ? 'ERR_TIMEOUT'
          : 'ERR_INVALID_STATE'
      cluster.failCall(call, refusal, filter)
    }
  },
  'ctrl-c'(stage) {
    stage.commands.workingDriver()?.driver.signal.abort(new MigratorError('run.interrupted', 'Ctrl-C'))
  },
  cut({sky}, {what}) {
    sky.cut(what!)
  },
  'deny-by-another'(stage) {
    stage.overseer.meddled('deny')
    stage.simulation.source.state.tableNamed(TABLE)?.info.envs.set(DENY_ENV, FOREIGN_DENY)
  },
  'deny-taken-off'(stage) {
    stage.overseer.meddled('lift')
    stage.simulation.source.state.tableNamed(TABLE)?.info.envs.delete(DENY_ENV)
  },
  disconnected(_, fault, cluster) {
    const {address} = victimOf(fault, cluster)
    cluster.disconnect(address)
    return () => {
      if (cluster.serverAt(address)!.alive && cluster.leader) cluster.reconnect(address)
    }
  },
  'disk-full'({simulation}, {what}) {
    simulation.disk().full = what === 'all' ? () => true : (path) => path.endsWith('.jsonl')
    return () => {
      simulation.disk().full = undefined
    }
  },
  'fail-skip'(stage) {
    stage.overseer.meddled('skip')
    alter(stage, {failMode: DuplicationFailMode.FAIL_SKIP})
  },
  hook({commands: {hooks}}, {what}) {
    const [how, moment] = what!.split(' ')
    hooks.set(moment!, how as 'fail' | 'hang')
  },
  kill(stage) {
    stage.commands.workingDriver()?.driver.life.kill()
  },
  'kill-guard'({simulation}) {
    simulation.guards.find(({life}) => life.isAlive)?.life.kill()
  },
  'log-unreadable'(_, fault, cluster) {
    const {address} = victimOf(fault, cluster)
    cluster.setLogUnreadable(address, true)
    return () => cluster.setLogUnreadable(address, false)
  },
  async 'meta-dies'(_, __, cluster) {
    const {leader} = cluster
    if (!leader) return
    const index = cluster.metaServers.indexOf(leader)
    await cluster.killMeta(index)
    return () => cluster.startMeta(index)
  },
  async 'metas-away'(_, __, cluster) {
    const dead = cluster.metaServers.map(({alive}, index) => (alive ? index : -1)).filter((index) => index !== -1)
    for (const index of dead) await cluster.killMeta(index)
    return async () => {
      for (const index of dead) await cluster.startMeta(index)
    }
  },
  'no-ticks'(_, fault, cluster) {
    const {address} = victimOf(fault, cluster)
    cluster.stopTicks(address)
    return () => cluster.resumeTicks(address)
  },
  'node-garbage'({simulation: {proxy, zookeeper}}) {
    const {bytes} = zookeeper.getData(NODE)
    zookeeper.put(NODE, '{"cluster_name": "one')
    return async () => {
      // A metaproxy dies of it (measured.md §8), and is started again.
      if (proxy.died !== undefined) await proxy.restart()
      if (zookeeper.getData(NODE).bytes.toString() === '{"cluster_name": "one') zookeeper.put(NODE, bytes)
    }
  },
  'node-rewritten'(stage) {
    const {source, target, zookeeper} = stage.simulation
    const names = [source, target].find(({name}) => zookeeper.getData(NODE).bytes.includes(`"${name}"`))
    if (names) zookeeper.put(NODE, formatNodeData(names.name, [...names.metas].reverse()))
  },
  'nothing-ships'({simulation: {target}, sky}) {
    const ends = target.servers.map(({address}) => sky.swallow('servers', address))
    return () => {
      for (const end of ends) end()
    }
  },
  'pause-by-another'(stage) {
    stage.overseer.meddled('pause')
    alter(stage, {status: DuplicationStatus.DS_PAUSE})
    startAgainLater(stage)
  },
  'primary-moves'(_, fault, cluster) {
    const table = cluster.state.tableNamed(TABLE)
    if (!table) return
    const index = fault.pick % table.partitions.length
    const heir = pickFrom(fault, table.memberships[index]!.secondaries)
    if (heir !== undefined && cluster.serverAt(heir)?.alive) cluster.movePrimary(TABLE, index, heir)
  },
  async 'proxy-stale'({simulation}) {
    await simulation.proxy.expireSession()
    // Somebody restarts it, sooner or later.
    return () => simulation.proxy.restart()
  },
  'remove-by-another'(stage) {
    stage.overseer.meddled('remove')
    alter(stage, {status: DuplicationStatus.DS_REMOVED})
    startAgainLater(stage)
  },
  'resume-by-another'(stage) {
    if (duplicationOf(stage)?.status !== DuplicationStatus.DS_PAUSE) return
    stage.overseer.meddled('resume')
    alter(stage, {status: DuplicationStatus.DS_LOG})
  },
  second(stage, fault) {
    const [command, where] = fault.what!.split(' ')
    stage.commands.begin(command as 'migrate' | 'rollback', where as 'here' | 'there')
  },
  async 'server-dies'(_, fault, cluster) {
    const {address} = victimOf(fault, cluster)
    await cluster.killServer(address)
    return () => cluster.startServer(address)
  },
  async 'server-restarts'(_, fault, cluster) {
    const {address} = victimOf(fault, cluster)
    await cluster.killServer(address)
    return () => cluster.startServer(address)
  },
  'silent-server'(_, fault, cluster) {
    const {address} = victimOf(fault, cluster)
    cluster.setSilent(address, true)
    return () => cluster.setSilent(address, false)
  },
  'slow-writes'(_, fault, cluster) {
    const {address} = victimOf(fault, cluster)
    cluster.setPrepareDelay(address, fault.ms!)
    return () => cluster.setPrepareDelay(address, 0)
  },
  stop(stage) {
    const life = stage.commands.workingDriver()?.driver.life
    life?.stop()
    return () => life?.resume()
  },
  storm({sky}, fault) {
    return sky.storm(fault)
  },
  'target-denied'(stage) {
    stage.overseer.meddled('target')
    stage.simulation.target.state.tableNamed(TABLE)?.info.envs.set(DENY_ENV, 'reconfig*write')
  },
  'target-dropped'(stage) {
    if (!stage.simulation.target.state.tableNamed(TABLE) || stage.overseer.serves === 'target') return
    stage.overseer.meddled('drop')
    dropCopy(stage)
  },
  'zookeeper-away'({simulation: {zookeeper}}) {
    zookeeper.down = true
    return () => {
      zookeeper.down = false
    }
  },
  'zookeeper-cut'({simulation}, fault) {
    const [how, operation] = fault.what!.split(' ')
    let left = fault.count ?? 1
    simulation.sessionFault = (asked) =>
      asked === operation && left-- > 0 ? (how as 'cut-after' | 'cut-before') : undefined
    return () => {
      simulation.sessionFault = undefined
    }
  },
  'zookeeper-expires'({simulation: {zookeeper}}) {
    zookeeper.expireAll()
  },
}

/** Kinds that make sense only where there is a node. */
export const needsRoot = new Set([
  'node-garbage',
  'node-rewritten',
  'proxy-stale',
  'zookeeper-away',
  'zookeeper-cut',
  'zookeeper-expires',
])

/** In the Pegasus shell on the target. */
export function dropCopy({simulation: {target}}: Stage): void {
  target.hazards.crashOnEarlyDrop = false
  if (target.leader) dropApp(target.leader, {appName: TABLE, options: {successIfNotExist: true}})
}
