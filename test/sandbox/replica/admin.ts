import {serverCalls} from '../../../src/lib/rpc/calls.js'
import {PartitionStatus} from '../../../src/lib/rpc/structs/replica.js'
import type {AppInfo} from '../../../src/lib/rpc/structs/table.js'
import {reply, type WireServer} from '../rpc-dispatch.js'
import {runReplicaCommand} from './commands.js'
import type {Replica} from './replica.js'
import type {ReplicaServer} from './server.js'

/** The decree that a replica calls committed: a secondary learns it with the next prepare (protocol.md §4.6). */
export function knownCommitted(replica: Replica): number {
  const {committed, committedOnDisk} = replica.partition
  return replica.role === PartitionStatus.PS_PRIMARY ? committed : committedOnDisk
}

/** What a replica server answers to admins (protocol.md §4.5, §7.1). */
export function registerAdmin(server: ReplicaServer, wire: WireServer): void {
  wire.on(serverCalls.queryReplicaInfo, () =>
    reply({
      err: 'ERR_OK',
      replicas: server.replicas.map((replica) => ({
        appType: 'pegasus',
        ballot: replica.ballot,
        diskTag: 'default',
        lastCommittedDecree: knownCommitted(replica),
        lastDurableDecree: replica.durable,
        lastPreparedDecree: replica.partition.prepared,
        manualCompactStatus: 0,
        pid: replica.pid,
        status: replica.status,
      })),
    }),
  )
  wire.on(serverCalls.queryReplicaDecree, ({pid}) => {
    const replica = server.replica(pid)
    return replica
      ? reply({err: 'ERR_OK', lastDecree: replica.partition.committed})
      : reply({err: 'ERR_OBJECT_NOT_FOUND', lastDecree: 0})
  })
  wire.on(serverCalls.queryAppInfo, () => {
    // The copy that was stored when the replica was opened: envs in it are never refreshed (protocol.md §3).
    const apps = new Map<number, AppInfo>(server.replicas.map((r) => [r.app.appId, r.app]))
    return reply({apps: [...apps.values()], err: 'ERR_OK'})
  })
  wire.on(serverCalls.remoteCommand, ({args, cmd}) => reply(runReplicaCommand(server, cmd, args)))
}
