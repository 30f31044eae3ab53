import assert from 'node:assert/strict'

import {isMigratorError, MigratorError} from '../../../src/lib/errors.js'
import {readFences} from '../../../src/lib/migration/proof/fence.js'
import {byServer, movedPrimaries, readPrimaries} from '../../../src/lib/migration/proof/primaries.js'
import {
  notShipping,
  pendingMutations,
  readShipping,
  restingGap,
  shortList,
  worstPartition,
} from '../../../src/lib/migration/proof/shipping.js'
import type {Cluster} from '../../../src/lib/pegasus/cluster.js'
import type {DuplicationState, ReplicaProgress} from '../../../src/lib/pegasus/replica-server.js'
import {PartitionStatus, type ReplicaInfo} from '../../../src/lib/rpc/structs/replica.js'

/* What is read of decrees, figure by figure: two servers, four partitions, each answer made by hand. */

const APP = 2
const DUPID = 7
const [A, B] = ['a:1', 'b:1']
const {PS_PRIMARY, PS_SECONDARY} = PartitionStatus
const {signal} = new AbortController()

interface Fake {
  progress?: ReplicaProgress[]
  replicas: ReplicaInfo[]
  states?: DuplicationState[]
}

/** `[partition, status, committed, prepared]`; ballot 3 and our table unless said. */
function replica(
  [partitionIndex, status, lastCommittedDecree, lastPreparedDecree]: [number, PartitionStatus, number, number],
  {appId = APP, ballot = 3} = {},
): ReplicaInfo {
  const decrees = {lastCommittedDecree, lastDurableDecree: 0, lastPreparedDecree}
  return {appType: 'pegasus', ballot, diskTag: '', ...decrees, pid: {appId, partitionIndex}, status}
}

function state(partitionIndex: number, extra: Partial<DuplicationState> = {}): DuplicationState {
  const figures = {notConfirmedMutations: 4, notDuplicatedMutations: 1}
  return {duplicating: true, dupid: DUPID, failMode: 'FAIL_SLOW', ...figures, partitionIndex, ...extra}
}

function progressOf(partitionIndex: number, isPrimary: boolean, dupid = DUPID): ReplicaProgress {
  const decrees = {lastAppliedDecree: 30, lastCommittedDecree: 30, maxPreparedDecree: 31 + partitionIndex}
  const duplications = [
    {confirmedDecree: 1, dupid: 99, remoteClusterName: 'x', shippedDecree: 2},
    {confirmedDecree: 25, dupid, remoteClusterName: 'y', shippedDecree: 29},
  ]
  return {appId: APP, ...decrees, duplications, isPrimary, partitionIndex}
}

/** Partitions 0 and 2 are on A, 1 and 3 on B. */
function clusterOf(servers: Record<string, Fake>, primaries: (null | string)[] = [A, B, A, B]) {
  const asked: string[] = []
  const partitions = primaries.map((primary, partitionIndex) => ({
    ballot: 3,
    pid: {appId: APP, partitionIndex},
    primary,
  }))
  const cluster = {
    async configuration(name: string) {
      assert.equal(name, 'users')
      return {appId: APP, partitionCount: partitions.length, partitions}
    },
    server: (address: string) => ({
      address,
      async duplicationStates(appId: number, limits: {signal: AbortSignal; timeoutMs?: number}) {
        asked.push(`states ${address} ${limits.timeoutMs}`)
        assert.deepEqual([appId, limits.signal], [APP, signal])
        return {states: servers[address]!.states ?? []}
      },
      async progress(appId: number, limits: {signal: AbortSignal; timeoutMs?: number}) {
        asked.push(`progress ${address} ${limits.timeoutMs}`)
        assert.deepEqual([appId, limits.signal], [APP, signal])
        return servers[address]!.progress
      },
      async replicas(limits: {signal: AbortSignal; timeoutMs?: number}) {
        asked.push(`replicas ${address} ${limits.timeoutMs}`)
        assert.equal(limits.signal, signal)
        return servers[address]!.replicas
      },
    }),
  } as unknown as Cluster
  return {asked, cluster}
}

const onA = [replica([0, PS_PRIMARY, 10, 12]), replica([2, PS_PRIMARY, 20, 20])]
const onB = [replica([1, PS_PRIMARY, 15, 14]), replica([3, PS_PRIMARY, 5, 5])]

describe('fences', () => {
  const decreesOf = async (servers: Record<string, Fake>, generation?: '2.5' | 'master') => {
    const {asked, cluster} = clusterOf(servers)
    const fences = await readFences(cluster, 'users', signal, generation)
    return {asked, decrees: [0, 1, 2, 3].map((index) => fences.get(index)!.decree), fences}
  }

  it('are what is prepared or committed, whichever is more', async () => {
    const {asked, decrees, fences} = await decreesOf({[A]: {replicas: onA}, [B]: {replicas: onB}})
    assert.deepEqual(decrees, [12, 15, 20, 5])
    assert.deepEqual(fences.get(1), {ballot: 3, decree: 15, partitionIndex: 1, server: B})
    assert.deepEqual(asked, [`replicas ${A} 4000`, `replicas ${B} 4000`])
  })

  it('count what a secondary with the same ballot has logged, and nobody else', async () => {
    const more = [
      ...onB,
      replica([0, PS_SECONDARY, 0, 13]),
      replica([0, PS_SECONDARY, 0, 11]),
      replica([2, PS_SECONDARY, 0, 99], {ballot: 2}),
      replica([2, PS_SECONDARY, 0, 98], {appId: 5}),
      replica([2, PartitionStatus.PS_POTENTIAL_SECONDARY, 0, 97]),
      replica([9, PS_SECONDARY, 0, 96]),
    ]
    assert.deepEqual((await decreesOf({[A]: {replicas: onA}, [B]: {replicas: more}})).decrees, [13, 15, 20, 5])
  })

  it('count what master tells to be under way to the log', async () => {
    const servers = {
      [A]: {progress: [progressOf(0, true)], replicas: onA},
      [B]: {progress: [progressOf(3, true)], replicas: onB},
    }
    const {asked, decrees} = await decreesOf(servers, 'master')
    assert.deepEqual(decrees, [31, 15, 20, 34])
    assert.ok(asked.includes(`progress ${A} 4000`))
    assert.deepEqual((await decreesOf(servers, '2.5')).decrees, [12, 15, 20, 5])
    const without = {[A]: {replicas: onA}, [B]: {replicas: onB}}
    assert.deepEqual((await decreesOf(without, 'master')).decrees, [12, 15, 20, 5])
  })

  it('are not there while a primary is missing or moving', async () => {
    const read = (servers: Record<string, Fake>, primaries?: (null | string)[]) =>
      readFences(clusterOf(servers, primaries).cluster, 'users', signal)
    await assert.rejects(read({}, [A, null]), (error: MigratorError) => {
      assert.ok(isMigratorError(error, 'observe.no_primary'))
      assert.equal(error.message, 'partition 1 of users has no primary at the moment')
      assert.deepEqual(error.facts, {partition: 1})
      return true
    })
    const moving = (replicas: ReplicaInfo[], said: string) =>
      assert.rejects(read({[A]: {replicas}}, [A]), (error: MigratorError) => {
        assert.ok(isMigratorError(error, 'observe.primary_moving'))
        const message = `the meta says that a:1 is primary of partition 0 with ballot 3, the server itself says ${said}`
        assert.equal(error.message, message)
        assert.deepEqual(error.facts, {partition: 0, server: A})
        return true
      })
    await moving([], 'that it is not')
    await moving([replica([0, PS_SECONDARY, 1, 1])], 'that it is not')
    await moving([replica([0, PS_PRIMARY, 1, 1], {appId: 5})], 'that it is not')
    await moving([replica([0, PS_PRIMARY, 1, 1], {ballot: 4})], 'ballot 4')
  })
})

describe('primaries', () => {
  it('are read from the meta and put together by server', async () => {
    const {configuration, primaries} = await readPrimaries(clusterOf({}).cluster, 'users', signal)
    assert.equal(configuration.appId, APP)
    const grouped = [...byServer(primaries.values())].map(([server, group]) => [
      server,
      group.map((p) => p.partitionIndex),
    ])
    assert.deepEqual(grouped, [
      [A, [0, 2]],
      [B, [1, 3]],
    ])
  })

  it('that were not there before have moved', () => {
    const primary = {ballot: 3, partitionIndex: 0, server: A}
    assert.deepEqual(movedPrimaries(new Map(), new Map([[0, primary]])), [0])
    assert.deepEqual(movedPrimaries(new Map([[0, primary]]), new Map([[0, {...primary}]])), [])
  })
})

describe('a reading of shipping', () => {
  const servers = (): Record<string, Fake> => ({
    [A]: {replicas: onA, states: [state(0), state(2, {notConfirmedMutations: 0, notDuplicatedMutations: 0})]},
    [B]: {replicas: onB, states: [state(1), state(3, {duplicating: false, failMode: 'FAIL_SKIP'})]},
  })
  const read = (fakes: Record<string, Fake>, o: {decrees?: boolean; generation?: '2.5' | 'master'} = {}) => {
    const {asked, cluster} = clusterOf(fakes)
    const query = {
      cluster,
      decrees: o.decrees ?? true,
      dupid: DUPID,
      generation: o.generation ?? '2.5',
      signal,
      table: 'users',
    } as const
    return {asked, view: readShipping(query)}
  }

  it('with decrees has lower bounds of what is shipped and confirmed, read after what is committed', async () => {
    const {asked, view} = read(servers())
    const {partitions, ...rest} = await view
    assert.deepEqual(
      {...rest, primaries: rest.primaries.size},
      {appId: APP, otherDupids: [], partitionCount: 4, primaries: 4, unreported: []},
    )
    assert.deepEqual(partitions.get(0), {
      ballot: 3,
      committedDecree: 10,
      confirmedDecree: 6,
      duplicating: true,
      failMode: 'FAIL_SLOW',
      fenceDecree: 12,
      lagMutations: 1,
      partitionIndex: 0,
      server: A,
      shippedDecree: 9,
    })
    const {confirmedDecree, fenceDecree, shippedDecree} = partitions.get(2)!
    assert.deepEqual(
      {confirmedDecree, fenceDecree, shippedDecree},
      {confirmedDecree: 20, fenceDecree: 20, shippedDecree: 20},
    )
    assert.equal(partitions.get(1)!.fenceDecree, 15)
    const {duplicating, failMode} = partitions.get(3)!
    assert.deepEqual({duplicating, failMode}, {duplicating: false, failMode: 'FAIL_SKIP'})
    const ofA = asked.filter((question) => question.includes(A))
    assert.deepEqual(ofA, [`replicas ${A} 4000`, `states ${A} 4000`])
  })

  it('without decrees asks for gaps alone', async () => {
    const {asked, view} = read(servers(), {decrees: false, generation: 'master'})
    const {committedDecree, confirmedDecree, fenceDecree, lagMutations, shippedDecree} = (await view).partitions.get(0)!
    assert.deepEqual([committedDecree, confirmedDecree, fenceDecree, shippedDecree], [-1, -1, -1, -1])
    assert.equal(lagMutations, 1)
    assert.deepEqual(asked, [`states ${A} undefined`, `states ${B} undefined`])
  })

  it('of master has the decrees that it tells of primaries and of our duplication', async () => {
    const fakes = servers()
    fakes[A]!.progress = [progressOf(0, true), progressOf(2, false)]
    fakes[B]!.progress = [progressOf(1, true, 8)]
    const {partitions} = await read(fakes, {generation: 'master'}).view
    const figures = [0, 1, 2].map((index) => {
      const {confirmedDecree, fenceDecree, shippedDecree} = partitions.get(index)!
      return [confirmedDecree, shippedDecree, fenceDecree]
    })
    assert.deepEqual(figures, [
      [25, 29, 31],
      [11, 14, 15],
      [20, 20, 20],
    ])
    await assert.rejects(read(servers(), {generation: 'master'}).view, (error: MigratorError) => {
      assert.ok(isMigratorError(error, 'observe.no_progress'))
      assert.match(error.message, /^[ab]:1 does not know replica\.query-progress$/)
      assert.match(String(error.facts.server), /^[ab]:1$/)
      return true
    })
  })

  it('names partitions that say nothing of ours, and duplications of others', async () => {
    const fakes = servers()
    fakes[A]!.states = [state(2), state(0, {dupid: 30}), state(2, {dupid: 8})]
    fakes[B]!.states = [state(1, {dupid: 30})]
    const {otherDupids, partitions, unreported} = await read(fakes).view
    assert.deepEqual(otherDupids, [8, 30])
    assert.deepEqual(unreported, [0, 1, 3])
    assert.deepEqual([...partitions.keys()], [2])
  })

  it('is told to a person', async () => {
    const view = await read(servers()).view
    assert.equal(notShipping(view), 'partition 3 does not ship yet (server b:1)')
    const odd = {
      ...view,
      partitions: new Map([...view.partitions].map(([index, p]) => [index, {...p, duplicating: true}])),
    }
    assert.equal(notShipping(odd), 'partition 3 is in FAIL_SKIP, which may skip mutations')
    const none = {...view, partitions: new Map()}
    assert.equal(notShipping(none), undefined)
    assert.equal(notShipping({...none, otherDupids: [3, 4]}), undefined)
    assert.equal(notShipping({...none, unreported: [0, 1]}), 'partitions 0, 1 do not report the duplication')
    assert.equal(worstPartition(none), undefined)
    const far = new Map(view.partitions).set(2, {...view.partitions.get(2)!, lagMutations: 50})
    assert.equal(worstPartition({...view, partitions: far}), 'partition 2 on a:1: 50 behind')
    assert.match(worstPartition(view)!, /^partition [01] on .*: 1 behind$/)
    assert.deepEqual([restingGap('2.4'), restingGap('2.5'), restingGap('master')], [1, 1, 0])
    assert.deepEqual([pendingMutations(view, '2.5'), pendingMutations(view, 'master')], [0, 3])
    assert.equal(shortList([1, 2, 3, 4, 5]), '1, 2, 3, 4, 5')
    assert.equal(shortList([1, 2, 3, 4, 5, 6, 7]), '1, 2, 3, 4, 5 and 2 more')
    assert.equal(shortList(['a', 'b'], 1), 'a and 1 more')
  })
})
