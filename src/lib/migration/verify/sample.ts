import {behind, Coverage} from './coverage.js'
import {KeyGuesser} from './key-guesser.js'
import type {KeyRange} from './types.js'

/** Rows of one piece of the sample: enough to see what is missing or too much between neighbours, few enough to spread. */
const rowsPerPiece = 100

/** Guesses that cost nothing, because they fall on what has been compared. */
const drawsPerPiece = 200

/** Merges both sides over the range, at most `rows` keys of them, and tells each. */
export type CompareRange = (
  range: KeyRange,
  rows: number,
  onKey: (key: Buffer) => void,
) => Promise<{lastKey: Buffer | undefined; rows: number; stopped: boolean}>

/**
 * Compares about `rowCount` rows of a partition in pieces that begin at random places and do not overlap. Each piece is
 * one range of keys on both sides, so deleted and additional rows are seen in both directions.
 * @returns whether a piece was stopped
 */
export async function samplePartition(
  rowCount: number,
  random: () => number,
  compareRange: CompareRange,
): Promise<boolean> {
  const coverage = new Coverage()
  const guesser = new KeyGuesser(random)
  let left = rowCount
  // After that many pieces, some of which find nothing, the rest is taken in order.
  let guessesLeft = 16 + 4 * Math.ceil(rowCount / rowsPerPiece)
  let start: Buffer = Buffer.alloc(0)
  while (left > 0) {
    const gap = coverage.gapAt(start)
    if (!gap) break
    const rowsWanted = Math.min(left, rowsPerPiece)
    const piece = await compareRange({from: gap.from, rowsWanted, to: gap.to}, rowsWanted, (key) => guesser.learn(key))
    if (piece.stopped) return true
    left -= piece.rows
    coverage.add(gap.from, piece.rows === rowsWanted && piece.lastKey ? behind(piece.lastKey) : gap.to)
    start = guessesLeft-- > 0 ? drawUncovered(guesser, coverage) : Buffer.alloc(0)
  }

  return false
}

function drawUncovered(guesser: KeyGuesser, coverage: Coverage): Buffer {
  let guess = guesser.guess()
  for (let draw = 1; draw < drawsPerPiece && coverage.covers(guess); draw++) guess = guesser.guess()
  return guess
}
