import {DuplicationFailMode} from '../../../src/lib/rpc/structs/duplication.js'
import {commonHttp, tableIdArg, unknownPath} from '../common-http.js'
import {type HttpReply, type HttpRequest, json, notFound, ok} from '../http.js'
import {gpidText} from './gate.js'
import {metricsHttp} from './metrics.js'
import type {ReplicaServer} from './server.js'

const PATHS = ['/replica/data_version', '/replica/duplication', '/replica/manual_compaction']

/** HTTP of a replica server (protocol.md §4.4, §5, §7.4). */
export function replicaHttp(server: ReplicaServer, request: HttpRequest): HttpReply {
  const common = commonHttp(server, request, PATHS)
  if (common) return common
  const {isMaster} = server.cluster.spec.traits
  if (request.path === 'replica/duplication') return duplicationStates(server, request)
  if (request.path === 'replica/data_version') return dataVersions(server, request)
  if (request.path === 'perfCounter' && !isMaster) return perfCounter(server, request)
  if (request.path === 'metrics' && isMaster) return metricsHttp(server, request)
  return unknownPath(request)
}

/** Live figures of the primaries on this server; no absolute decrees. */
function duplicationStates(server: ReplicaServer, request: HttpRequest): HttpReply {
  const appId = tableIdArg(request, 'appid')
  if (typeof appId !== 'number') return appId
  if (!server.config.boolean('duplication_enabled')) {
    return notFound('duplication is not enabled [FLAGS_duplication_enabled=false]')
  }

  const primaries = server.replicas.filter((r) => r.pid.appId === appId && r.isPrimary)
  if (primaries.length === 0) return notFound(`no primary for app [appid=${appId}]`)
  const states: Record<string, Record<string, unknown>> = {}
  for (const replica of primaries) {
    for (const duplicator of replica.duplicators.values()) {
      states[duplicator.dupid] ??= {}
      const ofDuplication = states[duplicator.dupid]!
      ofDuplication[gpidText(replica)] = {
        duplicating: duplicator.duplicating,
        fail_mode: DuplicationFailMode[duplicator.failMode],
        not_confirmed_mutations_num: duplicator.notConfirmed,
        not_duplicated_mutations_num: duplicator.notDuplicated,
        ...(server.cluster.spec.traits.isMaster ? {remote_app_name: duplicator.remoteTable} : {}),
      }
    }
  }

  return Object.keys(states).length === 0
    ? notFound(`no duplication assigned for app [appid=${appId}]`)
    : ok(JSON.stringify(states))
}

function dataVersions(server: ReplicaServer, request: HttpRequest): HttpReply {
  const appId = tableIdArg(request, 'app_id')
  if (typeof appId !== 'number') return appId
  const replicas = server.replicas.filter((r) => r.pid.appId === appId)
  if (replicas.length === 0) return notFound(`app_id=${appId} not found`)
  const version = (r: (typeof replicas)[number]) => String(server.cluster.state.dataVersion(r.pid))
  const entries = replicas.map((r) => [r.pid.partitionIndex, {data_version: version(r)}] as const)
  return ok(JSON.stringify(Object.fromEntries(entries)))
}

function perfCounter(server: ReplicaServer, {args}: HttpRequest): HttpReply {
  const [found] = server.counters.find((name) => name === args.get('name'))
  if (!found) return json({})
  return json({name: found.name, value: found.value.toFixed(2), type: found.type, description: found.name})
}
