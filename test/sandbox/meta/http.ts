import {DuplicationFailMode, DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {AppStatus} from '../../../src/lib/rpc/structs/table.js'
import {commonHttp, unknownPath} from '../common-http.js'
import {badRequest, type HttpReply, type HttpRequest, json, notFound, ok} from '../http.js'
import {metricsHttp} from '../replica/metrics.js'
import {formatTime} from '../world.js'
import {clusterInfo} from './cluster-info.js'
import {knownEnvs} from './envs.js'
import type {MetaServer} from './server.js'
import type {Table} from './state.js'

const PATHS = ['/meta/app', '/meta/app/duplication', '/meta/app_envs', '/meta/apps', '/meta/cluster', '/meta/nodes']

/** HTTP of a meta (protocol.md §7.3): asked of a follower of 2.4/2.5 it lies, or kills it (measured.md §0). */
export function metaHttp(meta: MetaServer, request: HttpRequest): 'die' | HttpReply {
  const common = commonHttp(meta, request, PATHS)
  if (common) return common
  const {isMaster} = meta.cluster.spec.traits
  if (isMaster && request.path === 'metrics') return metricsHttp(meta, request)
  if (isMaster && request.path === 'envs/list') return envsList()
  if (!request.path.startsWith('meta/')) return unknownPath(request)
  if (!meta.leads && isMaster) return redirect(meta, request)
  // The empty state of a follower that takes itself for the leader.
  const tables = meta.leads ? [...meta.cluster.state.tables.values()].filter(isAvailable) : []
  const named = tables.find((t) => t.info.appName === request.args.get('name'))
  switch (request.path) {
    case 'meta/app': {
      return app(meta, request, named)
    }

    case 'meta/apps': {
      return apps(request, tables)
    }

    case 'meta/nodes': {
      return nodes(meta, request)
    }

    case 'meta/cluster': {
      if (!meta.leads) return 'die'
      const {keys, values} = clusterInfo(meta)
      const entries = keys.map((key, i) => [key, values[i]] as const).filter(([key]) => key !== 'cluster_name')
      return json(Object.fromEntries(entries))
    }

    case 'meta/app_envs': {
      return json(Object.fromEntries(named?.info.envs ?? []))
    }

    case 'meta/app/duplication': {
      return duplication(meta, request, named)
    }

    default: {
      return unknownPath(request)
    }
  }
}

const isAvailable = (t: Table) => t.info.status === AppStatus.AS_AVAILABLE

function envsList(): HttpReply {
  const entries = knownEnvs(true).map((name) => [name, {limitation: '', sample: '', type: 'string'}])
  return {body: JSON.stringify(Object.fromEntries(entries), null, 2), status: 200}
}

function redirect(meta: MetaServer, {args, path}: HttpRequest): HttpReply {
  const query = [...args].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => `${name}=${value}`)
  const suffix = query.length > 0 ? `?${query.join('&')}` : ''
  return {body: '', location: `http://${meta.cluster.knownLeader.name}/${path}${suffix}`, status: 307}
}

function app(meta: MetaServer, {args}: HttpRequest, table: Table | undefined): HttpReply {
  if ([...args.keys()].some((name) => name !== 'name' && name !== 'detail') || !args.has('name')) return badRequest('')
  if (!table) return notFound(`table not found: "${args.get('name')}"`)
  const {info, memberships} = table
  const general = {
    app_name: info.appName,
    app_id: String(info.appId),
    partition_count: String(info.partitionCount),
    max_replica_count: String(info.maxReplicaCount),
  }
  if (!args.has('detail')) return json({general})
  const name = (address: string) => meta.cluster.nameOf(address)
  const counts = memberships.map((m) => (m.primary ? 1 : 0) + m.secondaries.length)
  const replicas = memberships.map((m, index) => [
    index,
    {
      pidx: String(index),
      ballot: String(m.ballot),
      replica_count: `${counts[index]}/${info.maxReplicaCount}`,
      primary: m.primary ? name(m.primary) : '-',
      secondaries: `[${m.secondaries.map((s) => name(s)).join(',')}]`,
    },
  ])
  const row = (node: string, primary: number, secondary: number) => ({
    node,
    primary: String(primary),
    secondary: String(secondary),
    total: String(primary + secondary),
  })
  const perNode = meta.cluster.servers
    .map(({address}) => ({
      address,
      primary: memberships.filter((m) => m.primary === address).length,
      secondary: memberships.filter((m) => m.secondaries.includes(address)).length,
    }))
    .filter(({primary, secondary}) => primary + secondary > 0)
  const sum = (pick: (n: (typeof perNode)[number]) => number) => perNode.reduce((s, n) => s + pick(n), 0)
  const full = counts.filter((c) => c >= info.maxReplicaCount).length
  const unreadable = memberships.filter((m) => !m.primary).length
  return json({
    general,
    replicas: Object.fromEntries(replicas),
    nodes: {
      ...Object.fromEntries(perNode.map((n) => [name(n.address), row(name(n.address), n.primary, n.secondary)])),
      total: row(
        'total',
        sum((n) => n.primary),
        sum((n) => n.secondary),
      ),
    },
    healthy: {
      fully_healthy_partition_count: String(full),
      unhealthy_partition_count: String(memberships.length - full),
      write_unhealthy_partition_count: String(unreadable),
      read_unhealthy_partition_count: String(unreadable),
    },
  })
}

function apps({args}: HttpRequest, tables: Table[]): HttpReply {
  const general = tables.map(({info}) => [
    info.appId,
    {
      app_id: String(info.appId),
      status: 'AVAILABLE',
      app_name: info.appName,
      app_type: info.appType,
      partition_count: String(info.partitionCount),
      replica_count: String(info.maxReplicaCount),
      is_stateful: 'true',
      create_time: `${formatTime(info.createSecond * 1000)}.0`,
      drop_time: '-',
      drop_expire: '-',
      envs_count: String(info.envs.size),
    },
  ])
  const summary = {total_app_count: String(tables.length)}
  if (!args.has('detail')) return json({general_info: Object.fromEntries(general), summary})
  const healthy = tables.map(({info, memberships}) => {
    const full = memberships.filter((m) => m.primary && 1 + m.secondaries.length >= info.maxReplicaCount).length
    const dead = memberships.filter((m) => !m.primary).length
    return {dead, full, info, sick: memberships.length - full}
  })
  const rows = healthy.map(({dead, full, info, sick}) => [
    info.appId,
    {
      app_id: String(info.appId),
      app_name: info.appName,
      partition_count: String(info.partitionCount),
      fully_healthy: String(full),
      unhealthy: String(sick),
      write_unhealthy: String(dead),
      read_unhealthy: String(dead),
    },
  ])
  return json({
    general_info: Object.fromEntries(general),
    healthy_info: Object.fromEntries(rows),
    summary: {
      ...summary,
      fully_healthy_app_count: String(healthy.filter((h) => h.sick === 0).length),
      unhealthy_app_count: String(healthy.filter((h) => h.sick > 0).length),
      write_unhealthy_app_count: String(healthy.filter((h) => h.dead > 0).length),
      read_unhealthy_app_count: String(healthy.filter((h) => h.dead > 0).length),
    },
  })
}

function nodes(meta: MetaServer, {args}: HttpRequest): HttpReply {
  const {cluster} = meta
  const servers = meta.leads ? cluster.servers : []
  const alive = servers.filter((s) => cluster.guardian.isListedAlive(s.address)).length
  const details = servers.map((server) => {
    const primaries = server.replicas.filter((r) => r.isPrimary).length
    const counts = {
      replica_count: String(server.replicas.length),
      primary_count: String(primaries),
      secondary_count: String(server.replicas.length - primaries),
    }
    const status = cluster.guardian.isListedAlive(server.address) ? 'ALIVE' : 'UNALIVE'
    return [server.name, {address: server.name, status, ...(args.has('detail') ? counts : {})}]
  })
  return json({
    details: Object.fromEntries(details),
    summary: {
      total_node_count: String(servers.length),
      alive_node_count: String(alive),
      unalive_node_count: String(servers.length - alive),
    },
  })
}

function duplication(meta: MetaServer, {args}: HttpRequest, table: Table | undefined): HttpReply {
  if (!meta.leads) return notFound('duplication is not enabled [FLAGS_duplication_enabled=false]')
  if (!args.get('name')) return badRequest('name should not be empty')
  if (!table) return notFound('ERR_APP_NOT_EXIST')
  const {isMaster} = meta.cluster.spec.traits
  const duplications = meta.cluster.state.duplications.of(table.info.appId)
  if (duplications.length === 0) return ok('null')
  const entries = duplications.map((d, i) => {
    const states = d.progress.map((p, index) => [
      index,
      {confirmed_decree: p.stored, last_committed_decree: p.lastCommitted},
    ])
    const entry = {
      create_ts: formatTime(d.createTsMs),
      dupid: d.dupid,
      fail_mode: DuplicationFailMode[d.failMode],
      ...(isMaster ? {partition_states: Object.fromEntries(states)} : {}),
      remote: d.remote.cluster,
      ...(isMaster ? {remote_app_name: d.remote.table, remote_replica_count: d.remote.replicaCount} : {}),
      status: DuplicationStatus[d.status],
    }
    return [String(i + 1), entry] as const
  })
  return ok(JSON.stringify({...Object.fromEntries(entries), appid: table.info.appId}))
}
