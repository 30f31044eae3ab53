import assert from 'node:assert/strict'

import {scaledClock} from '../../../src/lib/clock.js'
import {MigratorError} from '../../../src/lib/errors.js'
import type {MigrationContext} from '../../../src/lib/migration/context.js'
import {slowStage} from '../../../src/lib/migration/phases/slow-stage.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {PartitionStatus} from '../../../src/lib/rpc/structs/replica.js'

const TARGETS = ['10.0.0.1:35801', '10.0.0.2:35801']

interface Situation {
  /** Bytes that a target server has copied: lately on 2.5, since its start on master. */
  copied?(address: string, look: number): number
  generation?: '2.5' | 'master'
  /** Primaries on one source server. */
  primaries?: number
  /** Source partitions that were never written to. */
  unwritten?: number[]
}

function contextOf({copied = () => 0, generation = '2.5', primaries = 4, unwritten = []}: Situation): MigrationContext {
  const looks = new Map<string, number>()
  const bytes = (address: string) => {
    const look = looks.get(address) ?? 0
    looks.set(address, look + 1)
    return copied(address, look)
  }

  const partitions = Array.from({length: primaries}, (_, partitionIndex) => ({
    ballot: 3,
    pid: {appId: 2, partitionIndex},
    primary: '10.0.1.1:34801',
  }))
  return {
    clock: scaledClock(200),
    request: {table: 'users'},
    signal: new AbortController().signal,
    source: {
      configuration: async () => ({appId: 2, partitionCount: primaries, partitions}),
      server: () => ({
        replicas: async () =>
          partitions.map(({pid}) => ({
            lastCommittedDecree: unwritten.includes(pid.partitionIndex) ? 0 : 7,
            pid,
            status: PartitionStatus.PS_PRIMARY,
          })),
      }),
    },
    state: {facts: {target: {generation}}, timers: {configSyncMs: 30_000, groupCheckMs: 100_000}},
    target: {
      nodes: async () => TARGETS.map((address) => ({address, alive: true})),
      server: (address: string) => ({
        counters: async () => new Map([['replica*eon.nfs_client*recent_copy_data_size', bytes(address)]]),
        async get() {
          const metrics = [{name: 'nfs_client_copy_bytes', value: bytes(address)}]
          return {
            body: JSON.stringify({entities: [{attributes: {}, id: 'server', metrics, type: 'server'}]}),
            status: 200,
          }
        },
      }),
    },
  } as unknown as MigrationContext
}

describe('a stage of a duplication in which no figure moves', () => {
  const {DS_APP, DS_LOG, DS_PREPARE} = DuplicationStatus

  it('is one that waits for the first empty write of a partition', async () => {
    const context = contextOf({unwritten: [1, 3]})
    const waits = /partitions 3 were never written to: .* \(group check each 100 s\)/
    assert.match(String(await slowStage(context, DS_APP, 180_000, [2, 3])), waits)
    assert.equal(await slowStage(context, DS_APP, 180_000, [2]), undefined, 'that one was written to')
    assert.equal(await slowStage(context, DS_APP, 330_000, [2, 3]), undefined, 'not for ever')
  })

  it('is slow, and not stuck, while the checkpoints of many partitions are made ten at a time', async () => {
    const context = contextOf({primaries: 200})
    assert.match(String(await slowStage(context, DS_PREPARE, 180_000)), /10 checkpoints at a time, one of them has 200/)
    assert.equal(await slowStage(context, DS_PREPARE, 600_000), undefined)
    assert.equal(await slowStage(contextOf({}), DS_PREPARE, 180_000), undefined)
  })

  it('is slow while a server of the target takes data', async () => {
    const busy = contextOf({copied: (address, look) => (address === TARGETS[1] && look === 1 ? 4096 : 0)})
    assert.match(String(await slowStage(busy, DS_APP, 180_000)), new RegExp(`${TARGETS[1]} take data`))
    assert.equal(await slowStage(contextOf({}), DS_APP, 180_000), undefined)
  })

  it('is slow on master while what a server has taken since its start grows', async () => {
    const grown = contextOf({copied: (_, look) => 1000 + look, generation: 'master'})
    assert.match(String(await slowStage(grown, DS_APP, 180_000)), /take data/)
    assert.equal(await slowStage(contextOf({copied: () => 1000, generation: 'master'}), DS_APP, 180_000), undefined)
  })

  it('is stuck when nobody can tell, and in any other status', async () => {
    const copied = () => {
      throw new MigratorError('rpc.timeout', 'no answer')
    }

    assert.equal(await slowStage(contextOf({copied}), DS_APP, 180_000), undefined)
    assert.equal(await slowStage(contextOf({copied: () => 1}), DS_LOG, 180_000), undefined)
  })
})
