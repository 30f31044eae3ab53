import {PartitionStatus} from '../../../src/lib/rpc/structs/replica.js'
import {type Command, commonCommands, runCommand} from '../commands.js'
import {knownCommitted} from './admin.js'
import {gpidText} from './gate.js'
import type {Replica} from './replica.js'
import type {ReplicaServer} from './server.js'

const HELP: Record<string, string> = {
  'replica.deny-client': '<true|false>',
  'replica.query-app-envs': "[id1,id2,...] (where id is 'app_id' or 'app_id.partition_id')",
  'replica.query-compact': "[id1,id2,...] (where id is 'app_id' or 'app_id.partition_id')",
  'replica.query-progress': "[id1,id2,...] (where id is 'app_id' or 'app_id.partition_id')",
  'replica.trigger-checkpoint': "[id1,id2,...] (where id is 'app_id' or 'app_id.partition_id')",
}

export function runReplicaCommand(server: ReplicaServer, cmd: string, args: string[]): string {
  const {isMaster} = server.cluster.spec.traits
  // master has the commands and no counters any more (measured-master.md §4).
  const none = '{"result":"OK","timestamp":0,"timestamp_str":"1970-01-01 00:00:00","counters":[]}'
  const commands = commonCommands(server, (wanted) => (isMaster ? none : server.counters.text(wanted)))
  const own: [string, Command][] = [
    [
      'replica.deny-client',
      ([value]) => {
        if (value !== 'true' && value !== 'false') return `ERR: invalid arguments`
        server.denyAll = value === 'true'
        return 'OK'
      },
    ],
    [
      'replica.query-app-envs',
      // Only rocksdb's options: the deny flag is never shown (protocol.md §6.3).
      (ids) =>
        perReplica(
          server,
          ids,
          () => 'rocksdb.num_levels=6,rocksdb.usage_scenario=normal,rocksdb.write_buffer_size=67108864',
        ),
    ],
    ['replica.query-compact', (ids) => perReplica(server, ids, () => 'last finish at [-]')],
    [
      'replica.trigger-checkpoint',
      (ids) =>
        perReplica(server, ids, (replica) => {
          replica.takeCheckpoint({evenEmpty: true})
          return 'triggered'
        }),
    ],
  ]
  if (isMaster) own.push(['replica.query-progress', (ids) => perReplica(server, ids, progressText)])
  for (const [name, command] of own) commands.set(name, command)
  return runCommand(commands, HELP, cmd, args)
}

/** `N processed, M not found`, then a line per replica (protocol.md §4.6). */
function perReplica(server: ReplicaServer, args: string[], run: (replica: Replica) => string): string {
  const ids = args.flatMap((arg) => arg.split(',')).filter((id) => id !== '')
  const found = server.replicas.filter(
    (r) => ids.length === 0 || ids.includes(String(r.pid.appId)) || ids.includes(gpidText(r)),
  )
  const missing = ids.filter((id) => !found.some((r) => String(r.pid.appId) === id || gpidText(r) === id))
  const lines = found
    .sort((a, b) => a.pid.appId - b.pid.appId || a.pid.partitionIndex - b.pid.partitionIndex)
    .map((replica) => {
      const role = replica.status === PartitionStatus.PS_PRIMARY ? 'P' : 'S'
      return `\n    ${gpidText(replica)}@${server.name}@${role} : ${run(replica)}`
    })
  return `${found.length} processed, ${missing.length} not found${lines.join('')}`
}

function progressText(replica: Replica): string {
  const {partition} = replica
  const committed = knownCommitted(replica)
  const duplications = [...replica.duplicators.values()].map((d) => ({
    dupid: d.dupid,
    remote_cluster_name: d.remote,
    remote_app_name: d.remoteTable,
    replica_confirmed_decree: d.last,
    meta_persisted_decree: d.confirmed,
  }))
  return JSON.stringify(
    {
      max_prepared_decree: partition.prepared,
      max_plog_decree: partition.prepared,
      max_plog_decree_on_disk: partition.prepared,
      max_plog_commit_on_disk: partition.committedOnDisk,
      last_committed_decree: committed,
      last_applied_decree: committed,
      last_flushed_decree: replica.durable,
      last_durable_decree: replica.durable,
      max_gc_decree: 0,
      ...(duplications.length > 0 ? {duplications} : {}),
    },
    null,
    4,
  )
}
