import assert from 'node:assert/strict'
import {type CompareRange, samplePartition} from '../../../src/lib/migration/verify/sample.js'
import {seededRandom} from '../../sandbox/random.js'

const keyOf = (n: number) => Buffer.from(String(n).padStart(6, '0'))

/** Rows of a partition, and the pieces of it that were compared. */
function bed(rowCount: number, stopAt = Infinity) {
  const pieces: {from: number; rows: number; wanted: number}[] = []
  const compareRange: CompareRange = async ({from, rowsWanted, to}, wanted, onKey) => {
    assert.equal(rowsWanted, wanted)
    const seen: Buffer[] = []
    let first = 0
    while (first < rowCount && Buffer.compare(keyOf(first), from!) < 0) first++
    for (let n = first; n < rowCount && seen.length < wanted; n++) {
      if (to && Buffer.compare(keyOf(n), to) >= 0) break
      seen.push(keyOf(n))
      onKey(keyOf(n))
    }

    pieces.push({from: first, rows: seen.length, wanted})
    return {lastKey: seen.at(-1), rows: seen.length, stopped: pieces.length === stopAt}
  }

  return {compareRange, pieces}
}

describe('samplePartition', () => {
  it('begins at the front, takes pieces of a hundred rows, and the last one as it comes', async () => {
    const {compareRange, pieces} = bed(10_000)
    assert.equal(await samplePartition(250, seededRandom(1), compareRange), false)
    assert.deepEqual(pieces[0], {from: 0, rows: 100, wanted: 100})
    assert.deepEqual(
      pieces.map(({rows}) => rows).reduce((sum, rows) => sum + rows, 0),
      250,
    )
    assert.ok(pieces.every(({rows, wanted}) => rows <= wanted && wanted <= 100))
  })

  it('compares nothing where no row is wanted', async () => {
    const {compareRange, pieces} = bed(10)
    assert.equal(await samplePartition(0, seededRandom(1), compareRange), false)
    assert.deepEqual(pieces, [])
  })

  it('ends with the partition', async () => {
    const {compareRange, pieces} = bed(40)
    assert.equal(await samplePartition(1000, seededRandom(1), compareRange), false)
    assert.deepEqual(pieces, [{from: 0, rows: 40, wanted: 100}])
  })

  it('says that it was stopped, and compares nothing more', async () => {
    const {compareRange, pieces} = bed(10_000, 3)
    assert.equal(await samplePartition(1000, seededRandom(1), compareRange), true)
    assert.equal(pieces.length, 3)
  })
})
