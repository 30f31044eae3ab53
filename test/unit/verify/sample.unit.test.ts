import assert from 'node:assert/strict'
import fc from 'fast-check'
import {samplePartition} from '../../../src/lib/migration/verify/sample.js'
import {encodeKey} from '../../../src/lib/pegasus/key-hash.js'
import {seededRandom} from '../../sandbox/random.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryRows, row} from './support/memory-rows.js'
import {addsUp, listed, verifyOn} from './support/run.js'

describe('sample comparison', () => {
  it('finds every difference when the sample is at least as large as the table', async () => {
    const rows = fc.uniqueArray(
      fc.tuple(
        fc.string({maxLength: 3}),
        fc.string({maxLength: 2}),
        fc.constantFrom('both', 'source', 'target', 'stale'),
      ),
      {
        maxLength: 80,
        selector: ([hashKey, sortKey]) => encodeKey(Buffer.from(hashKey), Buffer.from(sortKey)).toString('hex'),
      },
    )
    await fc.assert(
      fc.asyncProperty(rows, fc.nat(), async (table, seed) => {
        const clock = new VirtualClock()
        const [source, target] = [new MemoryRows({clock}), new MemoryRows({clock})]
        for (const [hashKey, sortKey, where] of table) {
          if (where !== 'target') source.put(0, row(hashKey, sortKey, 'v'))
          if (where !== 'source') target.put(0, row(hashKey, sortKey, where === 'stale' ? 'w' : 'v'))
        }

        const options = {partitionCount: 1, random: seededRandom(seed), source, target}
        const sample = await verifyOn(clock, {...options, mode: 'sample', sampleRows: 80})
        assert.deepEqual(listed(sample), listed(await verifyOn(clock, options)))
        assert.equal(sample.rowsCompared, table.length)
        assert.ok(addsUp(sample))
      }),
      {numRuns: 150},
    )
  })

  it('spreads over the table, keeps to its size and compares no row twice', async () => {
    const clock = new VirtualClock()
    const [source, target] = [new MemoryRows({batchRows: 100, clock}), new MemoryRows({batchRows: 100, clock})]
    const rowCount = 8000
    for (let n = 0; n < rowCount; n++) {
      for (const side of [source, target]) side.put(0, row(`user:${String(n).padStart(6, '0')}`, 'name', 'v'))
    }

    // Where the pieces begin, in begun of the table.
    const begun = new Set<number>()
    const scan = source.scan.bind(source)
    source.scan = (partition, range) => {
      const place = Number(range?.from?.toString('latin1', 7, 13))
      if (place > 0) begun.add(Math.floor((10 * place) / rowCount))
      return scan(partition, range)
    }

    const report = await verifyOn(clock, {mode: 'sample', partitionCount: 1, sampleRows: 1500, source, target})
    assert.ok(begun.size >= 5, `only ${[...begun].join(' ')}`)
    assert.equal(report.rowsCompared, 1500)
    assert.equal(report.equal, 1500)

    const pieces: number[][] = []
    await samplePartition(1500, seededRandom(5), async ({from, to}, most, onKey) => {
      const seen: number[] = []
      for await (const batch of source.scan(0, {from, to})) {
        for (const {key} of batch.rows().slice(0, most - seen.length)) {
          onKey(key)
          seen.push(Number(key.subarray(7, 13)))
        }

        if (seen.length === most) break
      }

      pieces.push(seen)
      const last = seen.at(-1)
      return {
        lastKey: last === undefined ? undefined : row(`user:${String(last).padStart(6, '0')}`, 'name', '').key,
        rows: seen.length,
        stopped: false,
      }
    })
    const seen = pieces.flat()
    assert.equal(new Set(seen).size, 1500)
    const tenths = new Set(seen.map((n) => Math.floor((n * 10) / rowCount)))
    assert.ok(tenths.size >= 7, `only tenths ${[...tenths].join(' ')}`)
  })

  it('sees a large loss anywhere, in either direction', async () => {
    for (const [seed, lost] of [
      [1, 'source'],
      [2, 'target'],
      [3, 'source'],
      [4, 'target'],
    ] as const) {
      const clock = new VirtualClock()
      const sides = {source: new MemoryRows({clock}), target: new MemoryRows({clock})}
      for (let n = 0; n < 3000; n++) {
        const {key, ...rest} = row(`${seed}-${(n * 2_654_435_761) % 4_294_967_296}`, 'x', 'v')
        if (n % 50 > 0) sides[lost].put(n % 2, {...rest, key})
        sides[lost === 'source' ? 'target' : 'source'].put(n % 2, {...rest, key})
      }

      const report = await verifyOn(clock, {
        ...sides,
        mode: 'sample',
        partitionCount: 2,
        random: seededRandom(seed),
        sampleRows: 1000,
      })
      assert.ok((lost === 'source' ? report.missingOnSource : report.missingOnTarget) > 3, JSON.stringify(report))
      assert.equal(
        report.differences.every(({kind}) => kind === `missing-on-${lost}`),
        true,
      )
    }
  })
})
