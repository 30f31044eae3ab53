import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import type {MigrationContext} from '../../../src/lib/migration/context.js'
import {etaMs, slowStage} from '../../../src/lib/migration/phases/slow-stage.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {PartitionStatus} from '../../../src/lib/rpc/structs/replica.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'

const TARGETS = ['10.0.0.1:35801', '10.0.0.2:35801']
/** Not alive: nobody asks it. */
const DEAD = '10.0.0.3:35801'
/** Of other tables, or held as a secondary: never the ones that are waited for. */
const OTHER_REPLICAS = [
  {lastCommittedDecree: 0, pid: {appId: 9, partitionIndex: 2}, status: PartitionStatus.PS_PRIMARY},
  {lastCommittedDecree: 0, pid: {appId: 2, partitionIndex: 2}, status: PartitionStatus.PS_SECONDARY},
]

interface Situation {
  /** Bytes that a target server has copied: lately on 2.5, since its start on master. */
  copied?(address: string, look: number): number
  generation?: '2.5' | 'master'
  /** Hears of every question to a server of the target. */
  onAsk?(question: string): void
  /** Primaries on one source server. */
  primaries?: number
  /** Source partitions that were never written to. */
  unwritten?: number[]
}

const clock = new VirtualClock()
const forward = new AbortController()
const slow = (...[context, ...rest]: Parameters<typeof slowStage>) => clock.run(slowStage(context, ...rest), 60_000)

function contextOf({
  copied = () => 0,
  generation = '2.5',
  onAsk = () => {},
  primaries = 4,
  unwritten = [],
}: Situation): MigrationContext {
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
    clock,
    request: {table: 'users'},
    signal: forward.signal,
    source: {
      configuration: async () => ({appId: 2, partitionCount: primaries, partitions}),
      server: () => ({
        replicas: async () => [
          ...OTHER_REPLICAS,
          ...partitions.map(({pid}) => ({
            lastCommittedDecree: unwritten.includes(pid.partitionIndex) ? 0 : 7,
            pid,
            status: PartitionStatus.PS_PRIMARY,
          })),
        ],
      }),
    },
    state: {facts: {target: {generation}}, timers: {configSyncMs: 30_000, groupCheckMs: 100_000}},
    target: {
      nodes: async () => [...TARGETS.map((address) => ({address, alive: true})), {address: DEAD, alive: false}],
      server: (address: string) => ({
        async counters(prefix: string) {
          onAsk(`${address} ${prefix}`)
          return new Map([['replica*eon.nfs_client*recent_copy_data_size', bytes(address)]])
        },
        async get(path: string) {
          onAsk(`${address} ${path}`)
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
    assert.match(String(await slow(context, DS_APP, 180_000, [2, 3])), waits)
    assert.equal(await slow(context, DS_APP, 180_000, [2]), undefined, 'that one was written to')
    assert.equal(await slow(context, DS_APP, 330_000, [2, 3]), undefined, 'not for ever')
  })

  it('is slow, and not stuck, while the checkpoints of many partitions are made ten at a time', async () => {
    const context = contextOf({primaries: 200})
    assert.match(String(await slow(context, DS_PREPARE, 180_000)), /10 checkpoints at a time, one of them has 200/)
    assert.equal(await slow(context, DS_PREPARE, 600_000), undefined)
    assert.equal(await slow(contextOf({}), DS_PREPARE, 180_000), undefined)
  })

  it('is slow while a server of the target takes data', async () => {
    const busy = contextOf({copied: (address, look) => (address === TARGETS[1] && look === 1 ? 4096 : 0)})
    assert.match(String(await slow(busy, DS_APP, 180_000)), new RegExp(`${TARGETS[1]} take data`))
    assert.equal(await slow(contextOf({}), DS_APP, 180_000), undefined)
  })

  it('is slow on master while what a server has taken since its start grows', async () => {
    const grown = contextOf({copied: (_, look) => 1000 + look, generation: 'master'})
    assert.match(String(await slow(grown, DS_APP, 180_000)), /take data/)
    assert.equal(await slow(contextOf({copied: () => 1000, generation: 'master'}), DS_APP, 180_000), undefined)
  })

  it('is stuck when nobody can tell, and in any other status', async () => {
    const copied = () => {
      throw new MigratorError('rpc.timeout', 'no answer')
    }

    assert.equal(await slow(contextOf({copied}), DS_APP, 180_000), undefined)
    assert.equal(await slow(contextOf({copied: () => 1}), DS_LOG, 180_000), undefined)
    const unread = {...contextOf({}), source: {configuration: copied}} as unknown as MigrationContext
    assert.equal(await slow(unread, DS_PREPARE, 180_000), undefined)
  })

  it('is judged by the servers that can tell, where others cannot', async () => {
    const copied = (address: string) => {
      if (address === TARGETS[0]) throw new MigratorError('rpc.timeout', 'no answer')
      return 4096
    }

    assert.equal(
      await slow(contextOf({copied}), DS_APP, 180_000),
      `DS_APP: the target copies the checkpoint: ${TARGETS[1]} take data`,
    )
  })

  it('asks each server that is alive twice, eleven seconds apart, for what its generation counts', async () => {
    const asked: string[] = []
    const startMs = clock.nowMs()
    const onAsk = (question: string) => asked.push(`${Math.round((clock.nowMs() - startMs) / 1000)} ${question}`)
    await slow(contextOf({onAsk}), DS_APP, 180_000)
    const counter = 'eon.nfs_client*recent_copy_data_size'
    assert.deepEqual(
      asked,
      [0, 11].flatMap((second) => TARGETS.map((address) => `${second} ${address} ${counter}`)),
    )
    asked.length = 0
    await slow(contextOf({generation: 'master', onAsk}), DS_APP, 180_000)
    assert.equal(asked.length, 4)
    for (const question of asked)
      assert.match(question, /\/metrics\?types=server&metrics=nfs_client_copy_bytes&with_metric_fields=name,value$/)
  })

  it('is slow where a server took data just before, and the counter is renewed since', async () => {
    const before = contextOf({copied: (address, look) => (address === TARGETS[0] && look === 0 ? 4096 : 0)})
    assert.match(String(await slow(before, DS_APP, 180_000)), new RegExp(`: ${TARGETS[0]} take data`))
  })

  it('makes its checkpoints within a minute and twenty seconds for each ten of a server', async () => {
    assert.notEqual(await slow(contextOf({primaries: 10}), DS_PREPARE, 80_000), undefined)
    assert.equal(await slow(contextOf({primaries: 10}), DS_PREPARE, 80_001), undefined)
    assert.notEqual(await slow(contextOf({primaries: 11}), DS_PREPARE, 100_000), undefined)
    assert.equal(await slow(contextOf({primaries: 11}), DS_PREPARE, 100_001), undefined)
  })

  it('waits for first writes for two group checks and two minutes', async () => {
    assert.notEqual(await slow(contextOf({unwritten: [2]}), DS_APP, 320_000, [2]), undefined)
    assert.equal(await slow(contextOf({unwritten: [2]}), DS_APP, 320_001, [2]), undefined)
    assert.equal(
      await slow(contextOf({unwritten: [2]}), DS_APP, 180_000),
      undefined,
      'no partition is without a primary',
    )
  })

  it('hides no bug, and ends with the operator', async () => {
    const broken = {...contextOf({}), source: {configuration: () => Promise.reject(new TypeError('a bug'))}}
    await assert.rejects(slow(broken as unknown as MigrationContext, DS_PREPARE, 0), /a bug/)
    const copied = () => {
      throw new TypeError('another bug')
    }

    await assert.rejects(slow(contextOf({copied}), DS_APP, 180_000), /another bug/)
    const leaving = new AbortController()
    const context = contextOf({
      copied() {
        leaving.abort(new Error('Ctrl-C'))
        throw new MigratorError('rpc.timeout', 'no answer')
      },
    })
    await assert.rejects(slow({...context, signal: leaving.signal}, DS_APP, 180_000), /Ctrl-C/)
  })

  it('takes as long as each stage usually does, and those after it', () => {
    assert.equal(etaMs(DS_PREPARE, 0), 80_000)
    assert.equal(etaMs(DS_PREPARE, 30_000), 50_000)
    assert.equal(etaMs(DS_APP, 0), 35_000)
    assert.equal(etaMs(DS_APP, 90_000), 11_000, 'one second at least for the stage itself')
    assert.equal(etaMs(DS_LOG, 4000), 6000)
    assert.equal(etaMs(DuplicationStatus.DS_INIT, 0), 125_000)
  })
})
