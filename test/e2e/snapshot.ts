import {createClient, type Exception} from 'node-zookeeper-client'

import {PartitionStatus} from '../../src/lib/rpc/structs/replica.js'
import type {SimulatedCluster} from '../sandbox/index.js'
import type {Scene} from './scene.js'

/**
 * Everything that can be changed by anybody but time: tables, duplications, rows, settings of every server of both
 * clusters, and every node of ZooKeeper. Decrees are left out, because empty writes raise them.
 */
export async function snapshot(scene: Scene): Promise<unknown> {
  return {
    source: clusterState(scene.source),
    target: clusterState(scene.target),
    zookeeper: await nodesBelow(scene.bed.zookeeper, scene.bed.root),
  }
}

function clusterState(cluster: SimulatedCluster) {
  return {
    level: cluster.leader?.level,
    servers: cluster.processes.map((process) => ({
      address: process.address,
      alive: process.alive,
      flags: Object.fromEntries([...process.config.flags].map(([name, {value}]) => [name, value])),
      startedWallMs: process.startedWallMs,
    })),
    tables: [...cluster.state.tables.values()].map(({info, memberships, partitions}) => ({
      duplications: cluster.state.duplications.of(info.appId).map(({dupid, status}) => ({dupid, status})),
      info: {...info, envs: Object.fromEntries(info.envs)},
      memberships,
      partitions: partitions.map(({clientWrites, rows}) => ({
        clientWrites,
        rows: rows.snapshot().map(({key, value}) => `${key.toString('hex')}=${value.toString('hex')}`),
      })),
      replicas: cluster.servers.flatMap(({address, replicas}) =>
        replicas
          .filter(({pid}) => pid.appId === info.appId)
          .map(({ballot, deny, duplicators, pid, role}) => ({
            address,
            ballot,
            deny,
            duplicators: duplicators.size,
            partition: pid.partitionIndex,
            role: PartitionStatus[role],
          })),
      ),
    })),
  }
}

/** Path → data and version of every node below a root, the nodes of locks included. */
async function nodesBelow(zookeeper: string, root: string): Promise<Record<string, string>> {
  const client = createClient(zookeeper)
  const call = <T>(start: (done: (error: Error | Exception | null, value: T) => void) => void) =>
    new Promise<T>((resolve, reject) => {
      start((error, value) => (error ? reject(error) : resolve(value)))
    })
  const found: Record<string, string> = {}
  const visit = async (path: string): Promise<void> => {
    const {data, version} = await call<{data: string; version: number}>((done) => {
      client.getData(path, (error, bytes: Buffer | null, stat) => {
        done(error, {data: bytes?.toString() ?? '', version: stat?.version})
      })
    })
    found[path] = `${data} at version ${version}`
    const children = await call<string[]>((done) => client.getChildren(path, (error, names) => done(error, names)))
    for (const child of children.sort()) await visit(`${path}/${child}`)
  }

  client.connect()
  try {
    await visit(root.slice(0, root.lastIndexOf('/')) || root)
    return found
  } finally {
    client.close()
  }
}
