import assert from 'node:assert/strict'

import {scaledClock} from '../../../src/lib/clock.js'
import {isMigratorError} from '../../../src/lib/errors.js'
import type {MigrationContext} from '../../../src/lib/migration/context.js'
import {refuseForeignWrites} from '../../../src/lib/migration/foreign-writes.js'
import type {MetricEntity} from '../../../src/lib/pegasus/server-text.js'

const [FIRST, SECOND] = ['10.0.0.1:34801', '10.0.0.2:34801']
const counter = (kind: string, gpid: string) => `replica*app.pegasus*${kind}@${gpid}`

interface Answers {
  /** What a server's counters are at the n-th look. */
  counters?(address: string, look: number): Record<string, number>
  metrics?(address: string, look: number): MetricEntity[]
}

/** A target with table 2: partition 0 has its primary on the first server, partition 1 on the second. */
function contextOf({counters, metrics}: Answers): MigrationContext {
  const looks = new Map<string, number>()
  const next = (address: string) => {
    const look = looks.get(address) ?? 0
    looks.set(address, look + 1)
    return look
  }

  const target = {
    configuration: async () => ({
      appId: 2,
      partitionCount: 2,
      partitions: [FIRST, SECOND].map((primary, partitionIndex) => ({
        ballot: 3,
        pid: {appId: 2, partitionIndex},
        primary,
      })),
    }),
    server: (address: string) => ({
      counters: async () => new Map(Object.entries(counters?.(address, next(address)) ?? {})),
      metrics: async () => metrics?.(address, next(address)),
    }),
  }
  return {
    clock: scaledClock(200),
    request: {table: 'users', targetCluster: 'b'},
    signal: new AbortController().signal,
    state: {facts: {target: {generation: metrics ? 'master' : '2.5'}}},
    target,
  } as unknown as MigrationContext
}

const refused = (context: MigrationContext) =>
  assert.rejects(refuseForeignWrites(context), (error) => isMigratorError(error, 'target.foreign_writes'))

describe('foreign writes on the target', () => {
  it('are none while writes arrive by duplication, or other tables are written', async () => {
    await refuseForeignWrites(
      contextOf({
        counters: () => ({
          [counter('duplicate_qps', '2.0')]: 900,
          [counter('get_qps', '2.0')]: 5,
          [counter('put_qps', '2.0')]: 0,
          [counter('put_qps', '22.0')]: 70,
        }),
      }),
    )
  })

  it('are refused where a primary counts them', async () => {
    await refused(contextOf(putsOn(SECOND)))
  })

  it('are not judged by secondaries, which count a write when the next one tells them that it is committed', async () => {
    await refuseForeignWrites(contextOf(putsOn(FIRST)))
  })

  it('are not what our own probes of a moment ago leave in the counters', async () => {
    await refuseForeignWrites(
      contextOf({counters: (_, look) => ({[counter('check_and_set_qps', '2.0')]: look < 3 ? 0.1 : 0})}),
    )
  })

  it('are refused when they are atomic ones that do not end', async () => {
    await refused(contextOf({counters: () => ({[counter('check_and_set_qps', '2.0')]: 0.1})}))
  })

  it('are what a primary of master counts between two looks', async () => {
    const grows = (where: string) =>
      contextOf({
        metrics: (address, look) => [
          {
            attributes: new Map([
              ['partition_id', '0'],
              ['table_id', '2'],
            ]),
            id: 'replica@2.0',
            type: 'replica',
            values: new Map([['put_requests', address === where ? 100 + look : 500]]),
          },
        ],
      })
    await refused(grows(FIRST))
    await refuseForeignWrites(grows(SECOND))
  })
})

/** One server counts writes of partition 1. */
function putsOn(wanted: string): Answers {
  return {counters: (address) => (address === wanted ? {[counter('put_qps', '2.1')]: 0.1} : {})}
}
