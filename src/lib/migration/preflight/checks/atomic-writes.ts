import {plural} from '../../../plural.js'
import type {Check, Finding, PreflightFacts} from '../check.js'
import {ownDuplication} from '../clusters.js'
import {confirm, named, ok, seconds, warning} from '../wording.js'

const kinds = ['incr', 'check_and_set', 'check_and_mutate'] as const

/** The largest figure of each kind: per second on 2.4 and 2.5, since the servers started on master. */
function seenOf({source}: PreflightFacts): Array<{figure: number; kind: string}> {
  const largest = (kind: string, activity: ReadonlyArray<ReadonlyMap<string, number>>) =>
    Math.max(0, ...activity.map((sample) => sample.get(kind) ?? 0))
  return kinds
    .map((kind) => ({figure: source.servers.reduce((total, {activity}) => total + largest(kind, activity), 0), kind}))
    .filter(({figure}) => figure > 0)
}

export const atomicWrites: Check = {
  id: 'atomic-writes',
  needs: ['source.table', 'source.configuration'],
  run(facts): Finding {
    const {samplesApartMs, source} = facts
    const isMaster = source.generation === 'master'
    if (isMaster && source.table.atomicIdempotent)
      return ok('the table is atomic_idempotent: its atomic writes are duplicated')
    if (ownDuplication(facts)) return ok('ours: the duplication is there, and atomic writes are refused since then')
    const unit = isMaster ? 'since the servers started' : 'per second'
    const seen = seenOf(facts)
    if (seen.length > 0) {
      const figures = seen.map(({figure, kind}) => `${kind} ${Math.round(figure * 10) / 10}`).join(', ')
      // What proves that writes are allowed (probe.ts) is counted like anybody's check_and_set, unless a duplication refuses it.
      const maybeOurs = seen.every(({kind}) => kind === 'check_and_set')
        ? ', the probes of an earlier run or rollback among them'
        : ''
      return confirm(
        `the table gets atomic writes (${unit}: ${figures}${maybeOurs}). They are refused from the begin of the duplication to its end, and those accepted in its` +
          ' first 30 s are lost on the target',
        'stop the applications that send them for the time of the migration' +
          (isMaster ? ', or make the table atomic_idempotent (set_atomic_idempotent)' : '') +
          ', then --accept atomic-writes',
      )
    }

    const silent = source.servers.filter(({activity}) => activity.length === 0)
    const apart = samplesApartMs > 0 ? `two samples ${seconds(samplesApartMs)} apart` : 'one sample'
    const staleness = isMaster ? 'counted since the servers started' : 'servers renew these figures every 10 s'
    const evidence = `no incr, check_and_set or check_and_mutate in ${apart} on ${plural(source.servers.length - silent.length, 'server')} (${staleness})`
    if (silent.length > 0) {
      return warning(
        `${evidence}; not known on ${named(silent)}`,
        'ask the owners of the applications whether they use atomic writes',
      )
    }

    return ok(`${evidence}; rare ones may not have been seen`)
  },
  title: 'no atomic writes, which a duplication refuses',
  unread: 'warning',
}
