import assert from 'node:assert/strict'
import fc from 'fast-check'
import {behind, Coverage} from '../../../src/lib/migration/verify/coverage.js'

describe('coverage of a key space', () => {
  it('hands out every gap once', () => {
    const piece = fc.tuple(fc.nat({max: 20}), fc.option(fc.nat({max: 20}), {nil: undefined}))
    fc.assert(
      fc.property(fc.array(piece, {maxLength: 12}), fc.nat({max: 20}), (pieces, start) => {
        const coverage = new Coverage()
        const covered = new Set<number>()
        for (const [from, length] of pieces) {
          const to = length === undefined ? undefined : from + length
          coverage.add(Buffer.of(from), to === undefined ? undefined : Buffer.of(to))
          for (let n = from; n < (to ?? 64); n++) covered.add(n)
        }

        const gap = coverage.gapAt(Buffer.of(start))
        const free = (n: number) => n < 64 && !covered.has(n)
        let first = [...Array.from({length: 64}).keys()].find((n) => n >= start && free(n))
        if (first === undefined && free(0)) first = 0
        first ??= [...Array.from({length: 64}).keys()].find((n) => free(n))
        if (first === undefined) {
          // Keys below the first byte, which no piece here reaches.
          assert.ok(gap === undefined || gap.from.length === 0)
          return
        }

        assert.ok(gap)
        if (gap.from.length > 0) assert.equal(gap.from[0], first)
        for (let n = gap.from[0] ?? 0; n < (gap.to?.[0] ?? 64); n++) assert.ok(free(n))
      }),
      {numRuns: 500},
    )
  })

  it('leaves nothing between a key and the one behind it', () => {
    const coverage = new Coverage()
    coverage.add(Buffer.alloc(0), behind(Buffer.from('b')))
    coverage.add(behind(Buffer.from('b')), undefined)
    assert.equal(coverage.gapAt(Buffer.from('a')), undefined)
  })
})
