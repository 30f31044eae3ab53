import {malformed} from '../rpc/memory-transport.js'
import {excerpt} from '../rpc/rpc-errors.js'
import {arrayOf, booleanIn, numberIn, objectOf, parseJson, textIn} from './json.js'

/* What replica servers answer as text: HTTP bodies and remote commands (protocol.md §4.4, §4.7, §4.8, §5). */

export interface DuplicationState {
  /** Whether the pipeline runs: false in DS_PREPARE, DS_APP and DS_PAUSE. */
  duplicating: boolean
  dupid: number
  failMode: string
  /** max(0, C − K); K is what meta has stored. */
  notConfirmedMutations: number
  /** max(0, C − L); L is what the target has acknowledged. */
  notDuplicatedMutations: number
  partitionIndex: number
}

function integer(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw malformed(`${excerpt(text)} is no number`)
  return Number(text)
}

/** Body of `/replica/duplication`, status 200. @throws MigratorError rpc.malformed */
export function parseDuplicationStates(body: string, appId: number): DuplicationState[] {
  const result: DuplicationState[] = []
  for (const [dupid, partitions] of Object.entries(objectOf(parseJson(body, 'duplication state'), 'body'))) {
    for (const [pid, value] of Object.entries(objectOf(partitions, 'partitions'))) {
      const state = objectOf(value, pid)
      const [, app, index] = /^(\d+)\.(\d+)$/.exec(pid) ?? []
      if (Number(app) !== appId) continue
      result.push({
        duplicating: booleanIn(state, 'duplicating'),
        dupid: integer(dupid),
        failMode: textIn(state, 'fail_mode'),
        notConfirmedMutations: numberIn(state, 'not_confirmed_mutations_num'),
        notDuplicatedMutations: numberIn(state, 'not_duplicated_mutations_num'),
        partitionIndex: Number(index),
      })
    }
  }

  return result.sort((a, b) => a.partitionIndex - b.partitionIndex || a.dupid - b.dupid)
}

/** Body of `/replica/data_version`, status 200: partition index → version. @throws MigratorError rpc.malformed */
export function parseDataVersions(body: string): Map<number, string> {
  const entries = Object.entries(objectOf(parseJson(body, 'data version'), 'body'))
  return new Map(entries.map(([index, value]) => [integer(index), textIn(objectOf(value, index), 'data_version')]))
}

/** Answer of `perf-counters-by-substr`: name → value. @throws MigratorError rpc.malformed */
export function parseCounters(text: string): Map<string, number> {
  const {counters} = objectOf(parseJson(text, 'perf counters'), 'answer')
  return new Map(
    arrayOf(counters, 'counters').map((counter) => {
      const fields = objectOf(counter, 'counter')
      return [textIn(fields, 'name'), numberIn(fields, 'value')]
    }),
  )
}

export interface MetricEntity {
  attributes: Map<string, string>
  id: string
  /** Gauges and counters; percentiles are left out. */
  values: Map<string, number>
  type: string
}

/** Body of master's `/metrics`. @throws MigratorError rpc.malformed */
export function parseMetrics(body: string): MetricEntity[] {
  const {entities} = objectOf(parseJson(body, 'metrics'), 'body')
  return arrayOf(entities, 'entities').map((value) => {
    const entity = objectOf(value, 'entity')
    const attributes = Object.entries(objectOf(entity.attributes ?? {}, 'attributes'))
    const values = new Map<string, number>()
    for (const metric of arrayOf(entity.metrics ?? [], 'metrics').map((m) => objectOf(m, 'metric'))) {
      if (typeof metric.value === 'number') values.set(textIn(metric, 'name'), metric.value)
    }

    return {
      attributes: new Map(attributes.map(([name, text]) => [name, String(text)])),
      id: textIn(entity, 'id'),
      type: textIn(entity, 'type'),
      values,
    }
  })
}
