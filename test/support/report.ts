import {systemClock, scaledClock} from '../../src/lib/clock.js'
import type {MigrationEvent} from '../../src/lib/migration/events.js'
import {defaultLimits, type MigrationRequest} from '../../src/lib/migration/request.js'
import {type MigrationReport, Recorder} from '../../src/lib/ui/report/record.js'
import {type Plot, rehearse} from './rehearsal.js'

export const requestOf = (table: string): MigrationRequest => ({
  accepted: [],
  afterDrain: 'ask',
  denyMode: 'reconfig',
  limits: defaultLimits,
  maxWriteDenyMs: 120_000,
  metaproxy: {hosts: 'zk:2181', root: '/pegasus-metaproxy'},
  proxies: [],
  sourceMetas: ['a:1'],
  table,
  targetCluster: 'onebox2',
  targetMetas: ['c:3'],
  thresholdMutations: 10_000,
  verify: 'sample',
  verifySampleRows: 10_000,
})

/** The report of a whole rehearsed migration, a thousand times faster than life. */
export async function rehearsedReport(plot: Plot, table = 'users'): Promise<MigrationReport> {
  const clock = scaledClock(1000, systemClock)
  const recorder = new Recorder()
  const startedAtMs = clock.wallMs()
  const result = await rehearse(plot)(
    requestOf(table),
    {clock, journalDirectory: '', random: Math.random, transport: undefined as never},
    {
      askMoved: async () => 'moved',
      confirm: async () => true,
      emit: (event: MigrationEvent) => recorder.onEvent(event),
    },
    {dryRun: false, signal: new AbortController().signal},
  )
  return {
    command: `pegasus table:migrate -t '${table}'`,
    endedAtMs: clock.wallMs(),
    exitCode: 0,
    remarks: recorder.remarks,
    result,
    samples: recorder.samples,
    schema: 1,
    spans: recorder.spans,
    startedAtMs,
    table,
    tool: {name: '@org/table-migrator', node: '20.19.0', version: '0.1.0'},
  }
}
