import assert from 'node:assert/strict'
import {observe, type Observed} from '../../../src/lib/migration/verify/settling.js'
import type {PartitionProgress, Row} from '../../../src/lib/migration/verify/index.js'
import {row} from './support/memory-rows.js'

const [a, b, c] = ['a', 'b', 'c'].map((value) => row('k', '', value)) as [Row, Row, Row]
const at = (committedDecree: number, shippedDecree = committedDecree): PartitionProgress => ({
  committedDecree,
  shippedDecree,
})

type Round = [source: Row | undefined, target: Row | undefined, progress: PartitionProgress | undefined]

/** In which round the difference is proved; 0: in none. */
function provedIn(rounds: Round[]): number {
  const observed: Observed = {changedAtSource: false}
  return rounds.findIndex(([source, target, progress]) => observe(observed, source, target, progress)) + 1
}

const times = (count: number, round: (n: number) => Round): Round[] => Array.from({length: count}, (_, n) => round(n))

describe('when a difference is there for good', () => {
  it('takes two rounds with everything shipped, after the one that it began with, where nothing is written', () => {
    assert.equal(provedIn(times(9, () => [a, b, at(5)])), 3)
    assert.equal(provedIn(times(9, () => [a, undefined, at(5)])), 3)
    assert.equal(provedIn(times(9, () => [undefined, b, at(5)])), 3)
  })

  it('counts an empty write now and then as nothing written', () => {
    assert.equal(provedIn(times(9, (n) => [a, b, at(5 + n)])), 3)
  })

  it('takes many rounds where writes may have come and gone', () => {
    assert.equal(provedIn(times(40, (n) => [a, b, at(5 + 2 * n)])), 17)
  })

  it('takes still more when the row was seen changing', () => {
    assert.equal(provedIn([[c, b, at(5)], ...times(40, (): Round => [a, b, at(5)])]), 26)
  })

  it('waits until what was committed after the first look is shipped', () => {
    // Committed up to 9 in the second round, the fence; acknowledged from the sixth on.
    assert.equal(provedIn(times(12, (n) => [a, b, at(9, n < 5 ? 8 : 9)])), 7)
    assert.equal(provedIn(times(40, () => [a, b, at(9, 8)])), 0)
  })

  it('takes the fence after the first look, not before it', () => {
    const rounds: Round[] = [[a, b, at(3)], [a, b, at(4, 3)], ...times(5, (): Round => [a, b, at(4, 3)])]
    assert.equal(provedIn(rounds), 0)
  })

  it('wants the rounds in a row: a new primary ships again', () => {
    assert.equal(
      provedIn([...times(2, (): Round => [a, b, at(9)]), [a, b, at(9, 4)], ...times(3, (): Round => [a, b, at(9)])]),
      5,
    )
  })

  it('begins again when the target changes, which is still receiving', () => {
    assert.equal(
      provedIn([
        [a, b, at(9)],
        [a, b, at(9)],
        [a, c, at(9)],
        [a, c, at(9)],
        [a, c, at(9)],
      ]),
      5,
    )
  })

  it('proves nothing while nobody tells the progress', () => {
    assert.equal(provedIn(times(40, () => [a, b, undefined])), 0)
  })

  it('takes an expiry for a part of the row', () => {
    const expiring = (n: number) => ({...a, expireTsSeconds: n})
    assert.equal(provedIn(times(9, (n) => [expiring(n), b, at(9)])), 0)
  })
})
