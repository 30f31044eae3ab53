import assert from 'node:assert/strict'
import {sleep} from '../../../src/lib/clock.js'
import type {SettledPartition} from '../../../src/lib/migration/verify/index.js'
import {StateFile} from '../../../src/lib/migration/verify/state-file.js'
import {noCounts} from '../../../src/lib/migration/verify/tally.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryFiles} from '../../support/memory-files.js'

const PATH = '/state/users@b.verify.json'
const START = 1_767_225_600_000

const found = (partition: number, more: Partial<SettledPartition> = {}): SettledPartition => ({
  ...noCounts(),
  equal: 5,
  partition,
  rowsCompared: 5,
  rowsOnSource: 5,
  rowsOnTarget: 5,
  ...more,
})

interface Shape {
  dupid?: number
  names?: [string, string]
  partitionCount?: number
  tableIds?: [number, number]
  ttls?: [string?, string?]
}

function sidesOf({dupid, names = ['a', 'b'], partitionCount = 8, tableIds = [3, 4], ttls = []}: Shape) {
  const side = (index: 0 | 1) => ({
    name: names[index],
    table: {
      appId: tableIds[index],
      envs: new Map(ttls[index] === undefined ? [] : [['default_ttl', ttls[index]]]),
      partitionCount,
    },
  })
  return {...(dupid === undefined ? {} : {duplication: {dupid}}), source: side(0), target: side(1)} as never
}

function bed() {
  const clock = new VirtualClock()
  const files = new MemoryFiles()
  const written: string[] = []
  const replace = files.replace.bind(files)
  files.replace = async (path, text) => {
    written.push(path)
    await replace(path, text)
  }

  const open = (shape: Shape = {}, resume = true) =>
    StateFile.open({clock, directory: '/state', files, resume, sides: sidesOf(shape), table: 'users'})
  /** What a run goes on with that finds this file. */
  const earlier = async (text?: string, shape: Shape = {}) => {
    if (text !== undefined) files.texts.set(PATH, text)
    return (await open(shape)).earlier.map(({partition}) => partition)
  }

  return {clock, earlier, files, open, written}
}

/** What a run leaves that has found these partitions. */
async function left(shape: Shape, ...partitions: SettledPartition[]): Promise<string> {
  const {files, open} = bed()
  const state = await open(shape)
  for (const partition of partitions) state.settled(partition)
  await state.flush()
  return files.texts.get(PATH)!
}

describe('StateFile', () => {
  it('leaves the next run what was the same, and since when', async () => {
    const {clock, earlier, files, open} = bed()
    const state = await open()
    assert.deepEqual([state.earlier, state.sinceMs], [[], START])
    await clock.advance(5000)
    state.settled(found(2))
    state.settled(found(5, {hot: 1, unresolved: 1}))
    await state.flush()
    const next = await open()
    assert.deepEqual(next.earlier, [found(2), found(5, {hot: 1, unresolved: 1})])
    assert.equal(next.sinceMs, START)
    next.settled(found(7))
    await next.flush()
    assert.deepEqual(await earlier(), [2, 5, 7])
    await next.remove()
    assert.equal(files.texts.size, 0)
  })

  for (const figure of ['different', 'missingOnSource', 'missingOnTarget', 'unresolved'] as const) {
    it(`keeps no partition with rows that are ${figure}`, async () => {
      const {files, open} = bed()
      const state = await open()
      state.settled(found(2, {[figure]: 1}))
      await state.flush()
      assert.equal(files.texts.size, 0)
    })
  }

  it('keeps no partition with more rows open than are hot', async () => {
    const {earlier} = bed()
    assert.deepEqual(await earlier(await left({}, found(1, {hot: 1, unresolved: 2}), found(2))), [2])
  })

  it('writes at once, then at most once a second, and the rest in the end', async () => {
    const {clock, open, written} = bed()
    const state = await open()
    const at = async (ms: number, partition: number) => {
      await clock.advance(ms)
      state.settled(found(partition))
      await clock.advance(0)
      return written.length
    }

    assert.deepEqual([await at(0, 0), await at(999, 1), await at(1, 2), await at(1, 3)], [1, 1, 2, 2])
    await state.flush()
    assert.equal(written.length, 3)
    await state.flush()
    assert.equal(written.length, 3)
    assert.ok(written.every((path) => path === PATH))
  })

  it('tells an error of the disk when it is flushed', async () => {
    const {clock, files, open} = bed()
    const state = await open()
    files.replace = () => Promise.reject(new Error('no space'))
    state.settled(found(1))
    await clock.advance(0)
    await assert.rejects(state.flush(), /no space/)
  })

  it('writes one after the other, and removes after the last', async () => {
    const {clock, files, open} = bed()
    const state = await open()
    const replace = files.replace.bind(files)
    files.replace = async (path, text) => {
      await sleep(clock, 5000)
      await replace(path, text)
    }

    state.settled(found(1))
    await clock.advance(1000)
    state.settled(found(2))
    await clock.run(state.remove())
    assert.equal(clock.nowMs(), 10_000)
    assert.equal(files.texts.size, 0)
  })

  it('begins anew when it is told to', async () => {
    const {files, open} = bed()
    files.texts.set(PATH, await left({}, found(1)))
    assert.deepEqual((await open({}, false)).earlier, [])
  })

  for (const [what, before, now] of [
    ['the source is another cluster', {}, {names: ['c', 'b']}],
    ['the source was made anew', {}, {tableIds: [5, 4]}],
    ['the target was made anew', {}, {tableIds: [3, 5]}],
    ['another duplication ships', {dupid: 7}, {dupid: 8}],
    ['a duplication was begun', {}, {dupid: 8}],
    ['the table was split', {}, {partitionCount: 16}],
    ['the source has a default_ttl now', {}, {ttls: ['60']}],
    ['the default_ttl of the target changed', {ttls: ['60', '60']}, {ttls: ['60', '90']}],
    ['the default_ttl went over to the other side', {ttls: ['60']}, {ttls: [undefined, '60']}],
  ] as [string, Shape, Shape][]) {
    it(`does not go on when ${what}`, async () => {
      const {earlier} = bed()
      const text = await left(before, found(1))
      assert.deepEqual(await earlier(text, before), [1])
      assert.deepEqual(await earlier(text, now), [])
    })
  }

  it('does not go on from a file that is not its own, or torn', async () => {
    const {earlier} = bed()
    const text = await left({}, found(1), found(2))
    const saved = JSON.parse(text) as {partitions: Record<string, unknown>[]}
    const [one] = saved.partitions
    const changed = (more: object) => JSON.stringify({...saved, ...more})
    const partition = (more: object) => changed({partitions: [one, {...one, ...more}]})
    for (const bad of [
      '',
      'null',
      '7',
      text.slice(0, -1),
      changed({schema: 2}),
      changed({identity: undefined}),
      changed({sinceMs: 'yesterday'}),
      changed({partitions: 'none'}),
      changed({partitions: [one, null]}),
      changed({partitions: [one, 7]}),
      partition({partition: 8}),
      partition({partition: -1}),
      partition({partition: 1.5}),
      partition({partition: undefined}),
      ...Object.keys(found(1)).map((figure) => partition({[figure]: -1})),
      ...Object.keys(found(1)).map((figure) => partition({[figure]: '1'})),
    ])
      assert.deepEqual(await earlier(bad), [], bad)
    assert.deepEqual(await earlier(partition({partition: 7})), [1, 7])
    assert.deepEqual(await earlier(partition({equal: 0})), [1])
  })
})
