import assert from 'node:assert/strict'

import {FenceBook} from '../../../../src/lib/migration/proof/fence-book.js'
import {ServerPipeline} from '../../../../src/lib/migration/proof/server-pipeline.js'
import type {DuplicationState, ReplicaProgress} from '../../../../src/lib/pegasus/replica-server.js'
import {PartitionStatus, type ReplicaInfo} from '../../../../src/lib/rpc/structs/replica.js'
import {VirtualClock} from '../../../sandbox/virtual-clock.js'

/* One server, primary of partitions 0 and 1 of table 2, and of a partition of another table. */

const [APP, DUPID, SERVER] = [2, 7, 's:1']
const GROUP_CHECK_MS = 10_000
const RESTS_MS = 9000

class Scene {
  readonly asked: {atMs: number; what: string}[] = []
  /** Committed decrees by partition. */
  readonly committed = [100, 200]
  readonly clock = new VirtualClock()
  readonly book: FenceBook
  readonly leaving = new AbortController()
  /** Mutations that were not shipped, by partition. */
  readonly gaps = [0, 0]
  readonly prepared = [100, 200]
  tells = 0

  constructor(private readonly generation: '2.5' | 'master' = '2.5') {
    const denied = new Map(
      [0, 1].map((partitionIndex) => [partitionIndex, {ballot: 3, partitionIndex, server: SERVER, sinceMs: 0}]),
    )
    this.book = new FenceBook({clock: this.clock, denied, generation, groupCheckMs: GROUP_CHECK_MS})
  }

  run(look: <T>(read: () => Promise<T>) => Promise<T> = (read) => read()): Promise<void> {
    const {book, clock, generation, leaving} = this
    const pipeline = new ServerPipeline({
      appId: APP,
      book,
      clock,
      dupid: DUPID,
      expected: [0, 1].map((partitionIndex) => ({ballot: 3, partitionIndex, server: SERVER})),
      generation,
      server: this.server as never,
      signal: leaving.signal,
    })
    return clock.run(
      pipeline.run(look, () => {
        this.tells++
      }),
    )
  }

  timesOf(what: string): number[] {
    return this.asked.filter((one) => one.what === what).map(({atMs}) => atMs)
  }

  private note(what: string, appId: number | undefined, limits: {signal?: AbortSignal; timeoutMs?: number}): void {
    if (appId !== undefined) assert.equal(appId, APP)
    assert.deepEqual(limits, {signal: this.leaving.signal, timeoutMs: 4000})
    this.asked.push({atMs: this.clock.nowMs(), what})
  }

  private readonly server = {
    address: SERVER,
    duplicationStates: async (appId: number, limits: object) => {
      this.note('states', appId, limits)
      const states = this.gaps.flatMap((gap, partitionIndex) => [
        this.state(partitionIndex, DUPID, gap),
        // Of another duplication, which moves all the time.
        this.state(partitionIndex, 99, this.asked.length),
      ])
      return {states}
    },
    progress: async (appId: number, limits: object): Promise<ReplicaProgress[]> => {
      this.note('progress', appId, limits)
      return [
        ...this.gaps.map((gap, partitionIndex) => this.progressOf(partitionIndex, true, gap)),
        // A secondary, which moves all the time.
        this.progressOf(0, false, this.asked.length),
      ]
    },
    replicas: async (limits: object): Promise<ReplicaInfo[]> => {
      this.note('replicas', undefined, limits)
      return this.committed.map((lastCommittedDecree, partitionIndex) => ({
        appType: 'pegasus',
        ballot: 3,
        diskTag: '',
        lastCommittedDecree,
        lastDurableDecree: 0,
        lastPreparedDecree: this.prepared[partitionIndex]!,
        pid: {appId: APP, partitionIndex},
        status: PartitionStatus.PS_PRIMARY,
      }))
    },
  }

  private state(partitionIndex: number, dupid: number, gap: number): DuplicationState {
    return {
      duplicating: true,
      dupid,
      failMode: 'FAIL_SLOW',
      notConfirmedMutations: gap,
      notDuplicatedMutations: gap,
      partitionIndex,
    }
  }

  private progressOf(partitionIndex: number, isPrimary: boolean, gap: number): ReplicaProgress {
    const decree = this.committed[partitionIndex]!
    return {
      appId: APP,
      duplications: [
        {confirmedDecree: 1, dupid: 99, remoteClusterName: 'x', shippedDecree: this.asked.length},
        {confirmedDecree: decree - gap, dupid: DUPID, remoteClusterName: 'b', shippedDecree: decree - gap},
      ],
      isPrimary,
      lastAppliedDecree: decree,
      lastCommittedDecree: decree,
      maxPreparedDecree: decree,
      partitionIndex,
    }
  }
}

describe("a server's pipeline in the drain", () => {
  it('asks nothing of a server whose partitions are through', async () => {
    const scene = new Scene()
    scene.book.note([fence(0, 5), fence(1, 6)], RESTS_MS)
    scene.book.shipped({partitionIndex: 0, shippedDecree: 5})
    scene.book.shipped({partitionIndex: 1, shippedDecree: 6})
    await scene.run()
    assert.deepEqual([scene.asked, scene.tells], [[], 0])
  })

  it('ends once both partitions have come to rest and shipped all', async () => {
    const scene = new Scene()
    await scene.run()
    const tookMs = scene.clock.nowMs()
    assert.ok(tookMs >= RESTS_MS && tookMs < RESTS_MS + 200, String(tookMs))
    assert.deepEqual(scene.book.behind, [])
    assert.deepEqual([...scene.book.fences.values()], [fence(0, 100), fence(1, 200)])
  })

  it('looks at gaps every 150 ms, at replicas each second while nothing moves, and tells each time', async () => {
    const scene = new Scene()
    scene.gaps[0] = 3
    scene.clock.setTimer(5000, () => scene.leaving.abort(new Error('over')))
    await assert.rejects(scene.run(), /over/)
    const replicas = scene.timesOf('replicas')
    assert.deepEqual(replicas, [0, 1050, 2100, 3150, 4200])
    const states = scene.timesOf('states')
    // Each full reading asks for the gaps once more.
    assert.equal(states.length, 34 + replicas.length)
    assert.equal(scene.tells, 34)
    assert.deepEqual([...new Set(states)].slice(0, 4), [0, 150, 300, 450])
  })

  it('looks at replicas at once when a gap has changed', async () => {
    const scene = new Scene()
    scene.gaps[0] = 3
    scene.clock.setTimer(400, () => {
      scene.gaps[0] = 2
    })
    scene.clock.setTimer(3000, () => scene.leaving.abort(new Error('over')))
    await assert.rejects(scene.run(), /over/)
    assert.deepEqual(scene.timesOf('replicas').slice(0, 3), [0, 450, 1500])
  })

  it('looks at replicas as soon as a fence is final', async () => {
    const scene = new Scene()
    scene.gaps[0] = 3
    await scene.clock.advance(8500)
    scene.clock.setTimer(900, () => scene.leaving.abort(new Error('over')))
    await assert.rejects(scene.run(), /over/)
    // The other partition is through by then, which changes what the gaps are of.
    assert.deepEqual(scene.timesOf('replicas'), [8500, 9100, 9250])
  })

  it('is told of what was prepared and not committed', async () => {
    const scene = new Scene()
    scene.prepared[1] = 205
    scene.clock.setTimer(3000, () => scene.leaving.abort(new Error('over')))
    await assert.rejects(scene.run(), /over/)
    assert.deepEqual(scene.book.fences.get(1), fence(1, 205))
    assert.deepEqual(scene.book.behind, [0, 1])
  })

  it('no longer looks at a partition that is through', async () => {
    const scene = new Scene()
    scene.book.note([fence(0, 100), fence(1, 200)], RESTS_MS)
    scene.book.shipped({partitionIndex: 0, shippedDecree: 100})
    scene.gaps[1] = 4
    // The gap of the partition that is through moves, and nobody cares.
    for (const ms of [200, 400, 600, 800]) scene.clock.setTimer(ms, () => scene.gaps[0]!++)
    scene.clock.setTimer(950, () => scene.leaving.abort(new Error('over')))
    await assert.rejects(scene.run(), /over/)
    assert.deepEqual(scene.timesOf('replicas'), [0])
  })

  it('of master looks at what was shipped, and takes it as it is', async () => {
    const scene = new Scene('master')
    scene.gaps[0] = 2
    scene.clock.setTimer(400, () => {
      scene.gaps[0] = 0
    })
    await scene.run()
    const tookMs = scene.clock.nowMs()
    assert.ok(tookMs >= 1000 && tookMs < 1300, String(tookMs))
    assert.deepEqual(scene.timesOf('replicas').slice(0, 2), [0, 450])
    assert.deepEqual(scene.timesOf('progress').slice(0, 4), [0, 0, 150, 300])
  })

  it('has every look borne by its caller', async () => {
    const scene = new Scene()
    let looks = 0
    await scene.run(async (read) => {
      looks++
      return read()
    })
    assert.equal(looks, scene.tells + scene.timesOf('replicas').length)
  })
})

function fence(partitionIndex: number, decree: number) {
  return {ballot: 3, decree, partitionIndex, server: SERVER}
}
