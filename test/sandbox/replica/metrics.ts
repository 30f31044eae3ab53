import type {SimulatedProcess} from '../process.js'
import type {HttpReply, HttpRequest} from '../http.js'
import {counterName} from './counters.js'
import {gpidText} from './gate.js'
import type {Replica} from './replica.js'
import {ReplicaServer} from './server.js'

/* `/metrics` of master (protocol.md §4.8, golden http-master.jsonl). */

interface Entity {
  attributes: Record<string, string>
  id: string
  metrics: {name: string; value: number}[]
  type: string
}

const KNOWN_ARGS = new Set(['attributes', 'detail', 'ids', 'metrics', 'types', 'with_metric_fields'])

function pretty(status: 200 | 400, value: unknown): HttpReply {
  return {body: JSON.stringify(value, null, 4), status}
}

export function metricsHttp(server: SimulatedProcess, {args}: HttpRequest): HttpReply {
  for (const [name, value] of args) {
    if (!KNOWN_ARGS.has(name)) return pretty(400, {error_message: `unknown field ${name}=${value}`})
  }

  const list = (name: string) => (args.get(name) ?? '').split(',').filter((v) => v !== '')
  const attributes = list('attributes')
  if (attributes.length % 2 === 1) {
    const message =
      'the number of arguments for attributes should be even, since each attribute name always pairs with a value'
    return pretty(400, {error_message: message})
  }

  // One pair that matches is enough (protocol.md §4.8).
  const pairs = attributes.flatMap((name, i) => (i % 2 === 0 ? [[name, attributes[i + 1]!] as const] : []))
  const wanted = (values: string[], value: string) => values.length === 0 || values.includes(value)
  const ofReplicas = server instanceof ReplicaServer ? [diskEntity(server), ...server.replicas.map(replicaEntity)] : []
  const entities = [serverEntity(server), ...ofReplicas]
    .filter((e) => wanted(list('types'), e.type) && wanted(list('ids'), e.id))
    .filter((e) => pairs.length === 0 || pairs.some(([name, value]) => e.attributes[name] === value))
    .map((e) => ({...e, metrics: e.metrics.filter((m) => wanted(list('metrics'), m.name))}))
    .filter((e) => e.metrics.length > 0)
  return pretty(200, {
    cluster: server.cluster.name,
    role: server instanceof ReplicaServer ? 'replica' : 'meta',
    host: 'localhost',
    port: Number(server.address.split(':')[1]),
    timestamp_ns: server.wallNow * 1_000_000,
    entities,
  })
}

function serverEntity(server: SimulatedProcess): Entity {
  const failed = (['read', 'write'] as const).map((kind) => ({
    name: `${kind}_failed_requests`,
    value:
      server instanceof ReplicaServer ? server.counters.total(`replica*eon.replica_stub*recent.${kind}.fail.count`) : 0,
  }))
  const metrics = [{name: 'network_server_sessions', value: 1}, ...(server instanceof ReplicaServer ? failed : [])]
  return {attributes: {}, id: 'server', metrics, type: 'server'}
}

function diskEntity({diskAvailableMb}: ReplicaServer): Entity {
  const metrics = [{name: 'disk_capacity_avail_mb', value: diskAvailableMb}]
  return {attributes: {data_dir: '/data', tag: 'default'}, id: 'disk@default', metrics, type: 'disk'}
}

/** Requests since the server started, by metric; master has no rates (measured-master.md §4). */
const REQUESTS = {
  batch_get_requests: 'batch_get_qps',
  check_and_mutate_requests: 'check_and_mutate_qps',
  check_and_set_requests: 'check_and_set_qps',
  dup_requests: 'duplicate_qps',
  get_requests: 'get_qps',
  incr_requests: 'incr_qps',
  multi_get_requests: 'multi_get_qps',
  multi_put_requests: 'multi_put_qps',
  multi_remove_requests: 'multi_remove_qps',
  put_requests: 'put_qps',
  remove_requests: 'remove_qps',
  scan_requests: 'scan_qps',
} as const

function replicaEntity(replica: Replica): Entity {
  const gpid = gpidText(replica)
  const requests = Object.entries(REQUESTS).map(([name, kind]) => {
    const value = replica.server.counters.total(counterName(kind, gpid))
    return {name, value}
  })
  const metrics = [
    {name: 'dup_pending_mutations', value: 0},
    {
      name: 'dup_rejected_non_idempotent_write_requests',
      value: replica.server.counters.total(counterName('dup_disabled_non_idempotent_write_count', gpid)),
    },
    {name: 'rdb_total_sst_size_mb', value: Math.floor(replica.partition.rows.bytes / (1 << 20))},
    ...requests,
  ]
  for (const duplicator of replica.duplicators.values()) {
    metrics[0]!.value += duplicator.notDuplicated
    metrics.push(
      {name: 'dup_confirmed_mutations', value: Math.max(0, duplicator.confirmed)},
      {name: 'dup_log_file_load_failed_count', value: 0},
      {name: 'dup_log_read_mutations', value: duplicator.readMutations},
      {name: 'dup_recent_lost_mutations', value: duplicator.lost},
      {name: 'dup_shipped_bytes', value: duplicator.shipping.figures.bytes},
      {name: 'dup_shipped_failed_requests', value: duplicator.shipping.figures.failed},
      {name: 'dup_shipped_successful_requests', value: duplicator.shipping.figures.shipped},
    )
  }

  const attributes = {partition_id: String(replica.pid.partitionIndex), table_id: String(replica.pid.appId)}
  return {attributes, id: `replica@${gpid}`, metrics, type: 'replica'}
}
