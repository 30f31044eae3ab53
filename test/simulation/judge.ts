import assert from 'node:assert/strict'

import {parseNodeData} from '../../src/lib/metaproxy/node-data.js'
import {encodeKey} from '../../src/lib/pegasus/key-hash.js'
import type {SimulatedCluster} from '../sandbox/index.js'
import type {LoadReport} from '../sandbox/load-client.js'
import {MAX_WRITE_DENY_MS, NODE, type Simulation, TABLE} from './simulation.js'

const DENY_ENV = 'replica.deny_client_request'
type SideName = 'source' | 'target'

/** Waits until the application's writes succeed again on every partition. @throws when they do not within the limit */
export async function untilWritable(simulation: Simulation, limitMs = 120_000): Promise<void> {
  const {load, source} = simulation
  if (!load || simulation.isQuiet) return
  const from = load.ledger.history.length
  const {partitionCount} = source.table(TABLE).info
  const written = () => new Set(load.ledger.history.slice(from).map(({partitionIndex}) => partitionIndex)).size
  await simulation.until('acknowledged writes on every partition', () => written() === partitionCount, limitMs)
}

/** I1 to I4: the side serves, takes writes, holds every acknowledged one, and the other one does not. */
export async function assertServes(simulation: Simulation, side: SideName): Promise<void> {
  const {load, source, target, watch} = simulation
  const cluster = simulation[side]
  if (simulation.hasRoot) {
    assert.equal(parseNodeData(simulation.zookeeper.getData(NODE).bytes).clusterName, cluster.name, 'I4: the node')
  }

  await untilWritable(simulation)
  if (load && !simulation.isQuiet) assert.equal(watch.reigns.at(-1)?.side, side, 'I2: who takes writes')
  assert.equal(envOf(cluster), undefined, `I2: ${DENY_ENV} of the side that serves`)
  // Applications come back to the source only by a return.
  if (side === 'target') assert.equal(envOf(source), 'reconfig*all', 'I3: the source refuses everyone')
  watch.assertUnbroken()
  if (load) assertBound(load.report())
  await assertNothingLost(simulation, side)
  for (const {aborted, address} of [...source.servers, ...target.servers]) {
    assert.equal(aborted, undefined, `${address} went down: ${aborted}`)
  }
}

/** I7: what the application felt. */
function assertBound({outages, windowMs}: LoadReport): void {
  const seen = outages.map(({endMs, startMs}) => `${startMs} to ${endMs ?? 'the end'}`).join(', ')
  assert.ok(windowMs <= MAX_WRITE_DENY_MS, `I7: writes failed for ${windowMs} ms (${seen})`)
}

/** I1: reads every key that was ever written. The application goes on. */
export async function assertNothingLost(simulation: Simulation, side: SideName): Promise<void> {
  const {load} = simulation
  if (!load) return
  const rows = simulation[side].rows(TABLE)
  const {checked, lost, stale} = await load.verify(
    async ({hashKey, sortKey}) => rows.get(encodeKey(hashKey, sortKey).toString('hex'))?.value,
  )
  assert.ok(checked > 0, 'nothing was written')
  assert.deepEqual({lost, stale}, {lost: [], stale: []}, `I1 on the ${side}`)
}

/** I5, I6: nothing of a migration is left but what must stay. */
export function assertClean(simulation: Simulation, {duplicationKept = false, elsewhere = false} = {}): void {
  const {source, target, zookeeper} = simulation
  for (const server of source.servers.filter(({alive}) => alive)) {
    const {flags} = source.spec
    for (const name of ['config_sync_interval_ms', 'duplicate_log_batch_bytes'] as const) {
      // A duplication that goes on must go on shipping in order.
      if (duplicationKept && name === 'duplicate_log_batch_bytes') continue
      assert.equal(server.config.number(name), flags[name], `I5: ${name} of ${server.address}`)
    }
  }

  assert.deepEqual(zookeeper.children(NODE), [], 'I6: locks in ZooKeeper')
  const locks = simulation.disk().paths.filter((path) => path.endsWith('.lock'))
  if (!elsewhere) assert.deepEqual(locks, [], 'I6: locks on this machine')
  if (duplicationKept) return
  assert.equal(source.table(TABLE).info.duplicating, false, 'I5: the duplication is gone')
  const copy = target.state.tableNamed(TABLE)
  const follower = [...(copy?.info.envs.keys() ?? [])].filter((key) => key.startsWith('duplication.'))
  assert.deepEqual(follower, [], 'I5: envs of a follower')
}

/** Everything that a command could change, to see whether a second run changes anything. */
export function snapshot(simulation: Simulation): unknown {
  const {source, target, zookeeper} = simulation
  const of = (cluster: SimulatedCluster) => ({
    envs: Object.fromEntries([...(cluster.state.tableNamed(TABLE)?.info.envs ?? [])].sort()),
    flags: cluster.servers.map(
      ({alive, config}) =>
        alive && [config.number('config_sync_interval_ms'), config.number('duplicate_log_batch_bytes')],
    ),
    duplications: [...cluster.state.tables.values()].map(({info}) =>
      cluster.state.duplications.of(info.appId).map(({dupid, status}) => ({dupid, status})),
    ),
    level: cluster.leader?.level,
    tables: [...cluster.state.tables.values()].map(({info}) => [info.appName, info.appId, info.status]),
  })
  return {
    locks: zookeeper.children(NODE),
    node: zookeeper.getData(NODE).bytes.toString(),
    source: of(source),
    target: of(target),
  }
}

export function envOf(cluster: SimulatedCluster): string | undefined {
  return cluster.state.tableNamed(TABLE)?.info.envs.get(DENY_ENV)
}
