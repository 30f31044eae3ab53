import assert from 'node:assert/strict'
import {setImmediate} from 'node:timers/promises'
import {mergeRows, RowCursor} from '../../../src/lib/migration/verify/merge.js'
import {RowBatch} from '../../../src/lib/pegasus/row-batch.js'
import {row} from './support/memory-rows.js'

const keys = (text: string) => RowBatch.of([...text].map((name) => row(name, '', 'v')))
const running = () => new AbortController().signal

async function* batchesOf(...batches: RowBatch[]) {
  yield* batches
}

function cursor(...batches: string[]): RowCursor {
  return new RowCursor(batchesOf(...batches.map((batch) => keys(batch))), 'source', running())
}

/** Steps to the end. */
async function pass(one: RowCursor): Promise<void> {
  await one.load()
  while (one.batch) await one.advance(1)
}

/** What a merge tells: `=3` for three rows that are the same, a key that only one side has, or `!` with a key of both. */
async function merged(source: RowBatch[], target: RowBatch[], wants: () => number = () => 9999): Promise<string[]> {
  const told: string[] = []
  const [a, b] = [source, target].map((batches) => new RowCursor(batchesOf(...batches), 'source', running()))
  await mergeRows(a!, b!, {
    async row(onSource, onTarget) {
      const seen = (onSource ?? onTarget)!
      const name = seen.batch!.key(seen.index).subarray(2).toString()
      told.push(`${onSource && onTarget ? '!' : onSource ? '<' : '>'}${name}`)
    },
    same(_batch, _index, count) {
      told.push(`=${count}`)
    },
    wants,
  })
  return told
}

describe('RowCursor', () => {
  it('passes over empty batches and counts rows', async () => {
    const one = cursor('', 'ab', '', 'c', '')
    await one.load()
    assert.equal(one.left, 2)
    assert.equal(one.advance(1), undefined)
    assert.equal(one.left, 1)
    await one.advance(1)
    await one.advance(1)
    assert.deepEqual([one.rowsSeen, one.left, one.batch], [3, 0, undefined])
  })

  for (const [batches, later, earlier] of [
    [['abdc'], 'c', 'd'],
    [['abb'], 'b', 'b'],
    [['ab', 'b'], 'b', 'b'],
    [['bc', '', 'a'], 'a', 'c'],
  ] as const) {
    it(`refuses ${batches.join(' | ')} and names both keys`, async () => {
      await assert.rejects(pass(cursor(...batches)), {
        code: 'verify.unordered',
        message: `the source's scan gave key "${later}" "" after "${earlier}" "": rows cannot be compared`,
      })
    })
  }

  it('finds the two keys wherever in a step they are', async () => {
    const one = cursor('abdce')
    await one.load()
    assert.throws(() => void one.advance(4), /gave key "c" "" after "d" ""/)
  })

  it('closes a scan once, and none that has ended or cannot be closed', async () => {
    let closed = 0
    const next = async () => ({done: false, value: keys('a')}) as const
    const iterator = {
      next,
      async return() {
        closed++
        return {done: true, value: undefined} as const
      },
    }
    const one = new RowCursor({[Symbol.asyncIterator]: () => iterator}, 'source', running())
    await one.close()
    await one.close()
    assert.equal(closed, 1)
    const ended = new RowCursor(
      {[Symbol.asyncIterator]: () => ({...iterator, next: async () => ({done: true, value: undefined}) as const})},
      'source',
      running(),
    )
    await ended.load()
    await ended.close()
    assert.equal(closed, 1)
    await new RowCursor({[Symbol.asyncIterator]: () => ({next})}, 'source', running()).close()
  })

  it('waits for a scan to be closed, but not after an abort', async () => {
    const abort = new AbortController()
    const failing = {
      next: () => assert.fail('read'),
      return: () => Promise.reject(new Error('cannot be closed')),
    }
    const close = () => new RowCursor({[Symbol.asyncIterator]: () => failing}, 'source', abort.signal).close()
    await assert.rejects(close(), /cannot be closed/)
    abort.abort()
    await close()
  })
})

describe('mergeRows', () => {
  it('compares many rows at once while they are the same, and few around a difference', async () => {
    const rows = Array.from({length: 1700}, (_, n) => row(String(n).padStart(5, '0'), '', 'v'))
    const changed = rows.map((original, n) => (n === 1000 ? {...original, value: Buffer.from('w')} : original))
    const told = await merged([RowBatch.of(rows)], [RowBatch.of(changed)])
    const before = ['=128', '=256', '=512', '=100', '=3', '=1']
    assert.deepEqual(told, [...before, '!01000', '=1', '=2', '=4', '=8', '=16', '=32', '=64', '=128', '=256', '=188'])
  })

  it('compares batches of one row without a difference', async () => {
    assert.deepEqual(await merged([keys('a'), keys('b')], [keys('ab')]), ['=1', '=1'])
  })

  it('tells what only one side has, also behind the end of the other', async () => {
    assert.deepEqual(await merged([keys('acd'), keys('f')], [keys('ab'), keys('cefgh')]), [
      '=1',
      '>b',
      '=1',
      '<d',
      '>e',
      '=1',
      '>g',
      '>h',
    ])
    assert.deepEqual(await merged([keys('ab')], []), ['<a', '<b'])
    assert.deepEqual(await merged([], []), [])
  })

  it('takes no more than is wanted', async () => {
    const wanted = [2, 1, 0]
    assert.deepEqual(await merged([keys('abcdef')], [keys('abcdef')], () => wanted.shift()!), ['=2', '=1'])
  })

  it('waits for whoever takes a row', async () => {
    const order: string[] = []
    const [source, target] = [cursor('ab'), cursor()]
    await mergeRows(source, target, {
      async row() {
        order.push('begun')
        await setImmediate()
        order.push('taken')
      },
      same: () => assert.fail('same'),
      wants: () => 9,
    })
    assert.deepEqual(order, ['begun', 'taken', 'begun', 'taken'])
  })

  it('tells one side’s error, and leaves the other’s to nobody', async () => {
    async function* breaking() {
      yield keys('a')
      throw new Error('connection lost')
    }

    const unheard: unknown[] = []
    const hear = (error: unknown) => unheard.push(error)
    process.on('unhandledRejection', hear)
    try {
      const source = new RowCursor(breaking(), 'source', running())
      const target = cursor('aA')
      const visitor = {async row() {}, same() {}, wants: () => 9}
      await assert.rejects(mergeRows(source, target, visitor), {code: 'verify.unordered'})
      await setImmediate()
      assert.deepEqual(unheard, [])
    } finally {
      process.off('unhandledRejection', hear)
    }
  })
})
