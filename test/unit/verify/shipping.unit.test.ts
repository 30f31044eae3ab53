import assert from 'node:assert/strict'
import {MigratorError} from '../../../src/lib/errors.js'
import {progressOf, readDecrees, rereadLimitOf, WriteWatch} from '../../../src/lib/migration/verify/shipping.js'
import type {Sides} from '../../../src/lib/migration/verify/sides.js'
import type {Cluster} from '../../../src/lib/pegasus/cluster.js'
import {PartitionStatus} from '../../../src/lib/rpc/structs/replica.js'

const APP = 3
const running = () => new AbortController().signal
const gone = new MigratorError('rpc.timeout', 'no answer')

interface Scripted {
  /** Committed decrees by partition; partition n is on server n % 2. */
  decrees: (number | undefined)[]
  failure?: unknown
  /** What each server tells of its group check: as a flag, in its file, or an error. */
  groupChecks?: ({file?: string; flag?: string} | Error)[]
  /** Not duplicated yet, by partition; undefined: not reported. */
  gaps?: (number | undefined)[]
  primaries?: (null | string)[]
}

function cluster(scripted: Scripted): Cluster {
  const address = (partition: number) => `10.0.0.${partition % 2}:34801`
  const configurationOf = () => ({
    appId: APP,
    partitionCount: scripted.decrees.length,
    partitions: scripted.decrees.map((_, partitionIndex) => ({
      ballot: 5,
      pid: {appId: APP, partitionIndex},
      primary: scripted.primaries ? scripted.primaries[partitionIndex] : address(partitionIndex),
    })),
  })
  const server = (asked: string) => {
    const told = () => {
      const known = scripted.groupChecks?.[Number(asked.split(/[.:]/)[3])] ?? {}
      if (known instanceof Error) throw known
      return known
    }

    return {
      config: async (name: string) => (name === 'group_check_interval_ms' ? told().flag : undefined),
      configDump: async () => ({
        get: (section: string, name: string) =>
          `${section} ${name}` === 'replication group_check_interval_ms' ? told().file : undefined,
      }),
      duplicationStates: async () => ({
        states: (scripted.gaps ?? []).flatMap((gap, partitionIndex) =>
          gap === undefined
            ? []
            : [{dupid: 7, notConfirmedMutations: gap, notDuplicatedMutations: gap, partitionIndex}],
        ),
      }),
      replicas: async () =>
        scripted.decrees.flatMap((lastCommittedDecree, partitionIndex) =>
          lastCommittedDecree === undefined || address(partitionIndex) !== asked
            ? []
            : [{ballot: 5, lastCommittedDecree, pid: {appId: APP, partitionIndex}, status: PartitionStatus.PS_PRIMARY}],
        ),
    }
  }

  return {
    async configuration() {
      if (scripted.failure !== undefined) throw scripted.failure
      return configurationOf()
    },
    server,
  } as never
}

function sidesOf(source: Scripted, target: Scripted, more: Partial<Sides> = {}): Sides {
  const side = (scripted: Scripted) => ({
    cluster: cluster(scripted),
    configuration: {
      partitions: (scripted.primaries ?? scripted.decrees.map((_, n) => `10.0.0.${n % 2}:34801`)).map((primary) => ({
        primary,
      })),
    },
    table: {partitionCount: source.decrees.length},
  })
  return {generation: '2.5', source: side(source), state: 'none', target: side(target), ...more} as never
}

const shipping: Partial<Sides> = {duplication: {createdAtMs: 0, dupid: 7}, state: 'shipping'}

describe('how far a duplication is, for the comparison', () => {
  it('reads the decree of every partition from its primary', async () => {
    const decrees = await readDecrees(cluster({decrees: [4, 5, 6]}), 'users', running())
    assert.deepEqual([...decrees].sort(), [
      [0, 4],
      [1, 5],
      [2, 6],
    ])
  })

  it('takes the decrees of both sides together where nothing ships', async () => {
    const read = progressOf(sidesOf({decrees: [4, 5]}, {decrees: [10, 20]}), 'users')
    assert.deepEqual(await read(running()), [
      {committedDecree: 14, shippedDecree: 14},
      {committedDecree: 25, shippedDecree: 25},
    ])
  })

  for (const [source, target] of [
    [[4, 5], [10]],
    [[4, 5], []],
  ] as const) {
    it(`tells nothing of a partition that the target did not tell of (${target.length} of 2)`, async () => {
      const read = progressOf(sidesOf({decrees: [...source]}, {decrees: [...target]}), 'users')
      const told = await read(running())
      assert.equal(told.length, 2)
      assert.deepEqual(
        told.map((progress) => progress !== undefined),
        [target.length > 0, false],
      )
    })
  }

  it('tells nothing of a partition that the source does not tell of any more', async () => {
    const source = {decrees: [4, 5]}
    const read = progressOf(sidesOf(source, {decrees: [10, 20]}), 'users')
    source.decrees.pop()
    assert.deepEqual(await read(running()), [{committedDecree: 14, shippedDecree: 14}, undefined])
  })

  it('fails when a primary is missing on either side', async () => {
    const missing = {decrees: [4], primaries: [null]}
    for (const sides of [sidesOf(missing, {decrees: [4]}), sidesOf({decrees: [4]}, missing)])
      await assert.rejects(progressOf(sides, 'users')(running()), {code: 'observe.no_primary'})
  })

  it('takes what the source has shipped where there is a duplication, and nothing of the target', async () => {
    const read = progressOf(
      sidesOf({decrees: [9, 8, 7], gaps: [0, 3]}, {decrees: [], failure: gone}, shipping),
      'users',
    )
    const told = (await read(running())).map((one) => one && [one.committedDecree, one.shippedDecree])
    assert.deepEqual(told, [[9, 9], [8, 5], undefined])
  })
})

describe('how long the newest mutation may need', () => {
  const limitOf = (
    groupChecks: Scripted['groupChecks'],
    more: Partial<Sides> = shipping,
    primaries?: Scripted['primaries'],
  ) => rereadLimitOf(sidesOf({decrees: [1, 1], groupChecks, primaries}, {decrees: [1, 1]}, more), running())

  it('is two of the longest group checks, and a margin', async () => {
    assert.equal(await limitOf([{flag: '100000'}, {flag: '20000'}]), 220_000)
    assert.equal(await limitOf([{flag: '20000'}, {file: '100000'}]), 220_000)
  })

  it('takes the default of the code where a server does not tell', async () => {
    for (const silent of [{}, {flag: 'soon'}, {flag: '0'}, {flag: '-5'}, gone])
      assert.equal(await limitOf([{flag: '6000'}, silent]), 40_000, JSON.stringify(silent))
    assert.equal(await limitOf([{flag: '6000'}, {flag: '8000'}]), 36_000)
  })

  it('is short where nothing rests: on master, and without a duplication', async () => {
    const slow = [{flag: '100000'}, {flag: '100000'}]
    assert.equal(await limitOf(slow, {...shipping, generation: 'master'}), 30_000)
    assert.equal(await limitOf(slow, {}), 30_000)
    assert.equal(await limitOf([{flag: '1000'}, {flag: '1000'}]), 30_000)
  })

  it('asks no server of a partition without a primary', async () => {
    assert.equal(await limitOf([{flag: '15000'}, {flag: '100000'}], shipping, ['10.0.0.0:34801', null]), 50_000)
  })

  it('does not hide a fault of its own, or that it was stopped', async () => {
    await assert.rejects(limitOf([{}, new TypeError('a fault')]), TypeError)
    const reason = new Error('stopped')
    const sides = sidesOf({decrees: [1], groupChecks: [gone]}, {decrees: [1]}, shipping)
    await assert.rejects(rereadLimitOf(sides, AbortSignal.abort(reason)), reason)
  })
})

describe('WriteWatch', () => {
  it('adds up what was committed meanwhile', async () => {
    const scripted: Scripted = {decrees: [10, 20, 30]}
    const watch = new WriteWatch(cluster(scripted), 'users', running())
    await watch.begin()
    assert.equal(await watch.end(), 0)
    // A new primary may know of less.
    scripted.decrees = [14, 19, 33]
    assert.equal(await watch.end(), 7)
  })

  it('counts nothing of a partition that it does not know from before', async () => {
    const scripted: Scripted = {decrees: [10]}
    const watch = new WriteWatch(cluster(scripted), 'users', running())
    await watch.begin()
    scripted.decrees = [12, 900]
    assert.equal(await watch.end(), 2)
  })

  it('says nothing when one of the readings failed', async () => {
    for (const [before, after] of [
      [gone, undefined],
      [undefined, gone],
    ]) {
      const scripted: Scripted = {decrees: [10], failure: before}
      const watch = new WriteWatch(cluster(scripted), 'users', running())
      await watch.begin()
      scripted.failure = after
      assert.equal(await watch.end(), undefined)
    }
  })

  it('ends with the reason when it was stopped', async () => {
    const reason = new Error('stopped')
    const watch = new WriteWatch(cluster({decrees: [10], failure: gone}), 'users', AbortSignal.abort(reason))
    await assert.rejects(watch.begin(), reason)
  })

  it('does not bear what will not pass', async () => {
    const failure = new MigratorError('meta.error', 'no such table', {facts: {err: 'ERR_OBJECT_NOT_FOUND'}})
    await assert.rejects(new WriteWatch(cluster({decrees: [10], failure}), 'users', running()).begin(), failure)
  })
})
