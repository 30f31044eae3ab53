import {MigratorError} from '../../errors.js'
import type {PegasusClient} from '../../pegasus/client.js'
import {type CallLimits, DEFAULT_TIMEOUT_MS} from '../../pegasus/env.js'
import type {ReplicaServer} from '../../pegasus/replica-server.js'
import {type MetricEntity, parseMetrics} from '../../pegasus/server-text.js'
import type {Activity} from './check.js'

/*
 * Figures that servers keep: perf counters on 2.4 and 2.5 (protocol.md §4.7), metrics on master (§4.8). All of these
 * exist as long as the server holds a replica, so that none at all means that they are not known, and not that they are 0.
 */

/** Which server is asked for the figures of which table. */
export interface FigureSource {
  appId: number
  client: PegasusClient
  isMaster: boolean
  limits: CallLimits
  server: ReplicaServer
}

/** Kind of request → its counter and its metric. */
const requestKinds = new Map([
  ['check_and_mutate', {counter: 'check_and_mutate_qps', metric: 'check_and_mutate_requests'}],
  ['check_and_set', {counter: 'check_and_set_qps', metric: 'check_and_set_requests'}],
  ['duplicate', {counter: 'duplicate_qps', metric: 'dup_requests'}],
  ['incr', {counter: 'incr_qps', metric: 'incr_requests'}],
])

/**
 * Requests for the table on one server: per second on 2.4 and 2.5, since its start on master.
 * @param primaryOf the partitions that count: a write is applied, and counted, by the secondaries as well
 */
export async function requestFigures(source: FigureSource, primaryOf: readonly number[]): Promise<Activity> {
  const {appId, isMaster, limits, server} = source
  if (primaryOf.length === 0) return new Map([...requestKinds.keys()].map((kind) => [kind, 0]))
  if (isMaster) {
    const names = [...requestKinds.values()].map(({metric}) => metric)
    const entities = (await server.metrics(appId, names, limits)) ?? []
    const values = valuesOf(
      entities.filter(({attributes}) => primaryOf.includes(Number(attributes.get('partition_id')))),
    )
    return summed(
      source,
      [...requestKinds].map(([kind, {metric}]) => [kind, values.get(metric) ?? []]),
    )
  }

  // One question for all kinds; the server matches substrings, so the names are compared exactly here.
  const counters = await server.counters(`_qps@${appId}.`, limits)
  const figureOf = (counter: string, partition: number) =>
    counters.get(`replica*app.pegasus*${counter}@${appId}.${partition}`) ?? []
  return summed(
    source,
    [...requestKinds].map(([kind, {counter}]) => [
      kind,
      primaryOf.flatMap((partition) => figureOf(counter, partition)),
    ]),
  )
}

/** Size of the table's files on one server, MB. */
export async function tableSizeMb(source: FigureSource): Promise<number> {
  const {appId, isMaster, limits, server} = source
  const metric = 'rdb_total_sst_size_mb'
  const figures = isMaster
    ? (valuesOf(await server.metrics(appId, [metric], limits)).get(metric) ?? [])
    : [...(await server.counters(`*disk.storage.sst(MB)@${appId}.`, limits)).values()]
  if (figures.length === 0) throw noFigures(source, 'the size of the table')
  return sum(figures)
}

/** Free room on all disks of one server together, MB. */
export async function freeSpaceMb(source: FigureSource): Promise<number> {
  const {client, isMaster, limits, server} = source
  const metric = 'disk_capacity_avail_mb'
  let figures: number[]
  if (isMaster) {
    const path = `/metrics?types=disk&metrics=${metric}&with_metric_fields=name,value`
    const {body} = await client.http.get(server.address, path, {timeoutMs: DEFAULT_TIMEOUT_MS, ...limits})
    figures = valuesOf(parseMetrics(body)).get(metric) ?? []
  } else {
    figures = [...(await server.counters('*disk.available.total(MB)', limits)).values()]
  }

  if (figures.length === 0) throw noFigures(source, 'its free room')
  return sum(figures)
}

function valuesOf(entities: MetricEntity[] | undefined): Map<string, number[]> {
  const values = new Map<string, number[]>()
  for (const [name, figure] of (entities ?? []).flatMap((entity) => [...entity.values])) {
    values.set(name, [...(values.get(name) ?? []), figure])
  }

  return values
}

function summed(source: FigureSource, figures: Array<[string, number[]]>): Activity {
  if (figures.every(([, values]) => values.length === 0)) throw noFigures(source, 'the requests for the table')
  return new Map(figures.map(([kind, values]) => [kind, sum(values)]))
}

const sum = (figures: number[]) => figures.reduce((total, figure) => total + figure, 0)

function noFigures({appId, server}: FigureSource, what: string): MigratorError {
  const facts = {address: server.address, appId}
  return new MigratorError('preflight.no_figures', `${server.address} keeps no figure of ${what}`, {facts})
}
