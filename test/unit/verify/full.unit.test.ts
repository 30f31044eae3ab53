import assert from 'node:assert/strict'
import fc from 'fast-check'
import {type Row, verdictOf} from '../../../src/lib/migration/verify/index.js'
import {keyText} from '../../../src/lib/migration/verify/key-text.js'
import {encodeKey} from '../../../src/lib/pegasus/key-hash.js'
import {RowBatch} from '../../../src/lib/pegasus/row-batch.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {MemoryRows, nowSeconds, row} from './support/memory-rows.js'
import {addsUp, listed, verifyOn} from './support/run.js'

const partitionCount = 3
const farFuture = 1_000_000_000

const bytes = (maxLength: number) => fc.uint8Array({maxLength}).map((array) => Buffer.from(array))
const key = fc
  .tuple(fc.oneof(bytes(3), fc.constant(Buffer.alloc(300, 'h'))), fc.oneof(fc.constant(Buffer.alloc(0)), bytes(3)))
  .map(([hashKey, sortKey]) => encodeKey(hashKey, sortKey))
const value = fc.oneof(
  {arbitrary: bytes(6), weight: 20},
  {arbitrary: fc.constant(Buffer.alloc(70_000, 'v')), weight: 1},
)
const expiry = fc.oneof(fc.constant(0), fc.integer({max: farFuture + 9, min: farFuture}))
const fault = fc.constantFrom('none', 'none', 'none', 'missing', 'extra', 'value', 'expiry', 'swapped')
const place = fc.record({
  expireTsSeconds: expiry,
  fault,
  key,
  partition: fc.integer({max: partitionCount - 1, min: 0}),
  value,
})

/** Applies one fault to the copy of a row; a later place with the same key may undo it, so this expects nothing. */
function copyOf(target: MemoryRows, partition: number, original: Row, fault: string): void {
  const {expireTsSeconds, key, value} = original
  const copies: Record<string, Partial<Row> | undefined> = {
    expiry: {expireTsSeconds: expireTsSeconds + 1 + farFuture},
    missing: undefined,
    swapped: {key: Buffer.concat([key.subarray(0, -1), Buffer.of(7)])},
    value: {value: Buffer.concat([value, Buffer.of(0)])},
  }
  if (fault !== 'missing') target.put(partition, {...original, ...copies[fault]})
}

/** The differences of two small tables, found without order: key by key. */
function differencesOf(
  keys: Map<string, {key: Buffer; partition: number}>,
  source: MemoryRows,
  target: MemoryRows,
): string[] {
  const found: string[] = []
  for (const {key, partition} of keys.values()) {
    const [a, b] = [source.peek(partition, key), target.peek(partition, key)]
    const kind =
      a && b
        ? a.value.equals(b.value)
          ? a.expireTsSeconds === b.expireTsSeconds
            ? undefined
            : 'expiry'
          : 'value'
        : a
          ? 'missing-on-target'
          : b && 'missing-on-source'
    if (kind) found.push(`${partition} ${keyText(key)} ${kind}`)
  }

  return found.sort()
}

describe('full comparison of tables at rest', () => {
  it('finds exactly the differences that there are', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(place, {maxLength: 60}), fc.integer({max: 9, min: 1}), async (places, batchRows) => {
        const clock = new VirtualClock()
        const [source, target] = [
          new MemoryRows({batchRows, clock}),
          new MemoryRows({batchRows: 10 - batchRows, clock}),
        ]
        const keys = new Map<string, {key: Buffer; partition: number}>()
        for (const {expireTsSeconds, fault, key, partition, value} of places) {
          const original = {expireTsSeconds, key, value}
          if (fault !== 'extra') source.put(partition, original)
          copyOf(target, partition, original, fault)
          for (const k of [key, Buffer.concat([key.subarray(0, -1), Buffer.of(7)])]) {
            keys.set(`${partition} ${k.toString('hex')}`, {key: k, partition})
          }
        }

        const report = await verifyOn(clock, {partitionCount, source, target})
        const expected = differencesOf(keys, source, target)
        assert.deepEqual(listed(report), expected)
        assert.equal(verdictOf(report), expected.length > 0 ? 'different' : 'same')
        assert.equal(report.confirmed, true)
        assert.ok(addsUp(report))
        assert.equal(report.partitions, partitionCount)
        assert.equal(source.openScans + target.openScans, 0)
      }),
      {numRuns: 300},
    )
  })

  it('tells of one row that expires, wherever it stands among equal rows', async () => {
    for (const place of [undefined, 0, 37, 99]) {
      const clock = new VirtualClock()
      const [source, target] = [64, 100].map((batchRows) => new MemoryRows({batchRows, clock}))
      for (let n = 0; n < 100; n++)
        for (const side of [source, target]) side!.put(0, row(`row ${n}`, '', '', n === place ? farFuture : 0))
      let told = 0
      await verifyOn(clock, {onExpiry: () => told++, partitionCount: 1, source: source!, target: target!})
      assert.equal(told, place === undefined ? 0 : 1)
    }
  })

  it('finds a few differences among long runs of equal rows, whatever the batches of each side', async () => {
    const size = fc.constantFrom(1, 7, 64, 1000, 3000)
    const few = fc.array(fc.tuple(fc.nat(2999), fc.constantFrom('expiry', 'extra', 'missing', 'value')), {maxLength: 6})
    await fc.assert(
      fc.asyncProperty(few, size, size, async (changes, sourceBatch, targetBatch) => {
        const clock = new VirtualClock()
        const [source, target] = [sourceBatch, targetBatch].map((batchRows) => new MemoryRows({batchRows, clock}))
        const changeOf = new Map(changes)
        const expected: string[] = []
        for (let n = 0; n < 3000; n++) {
          const original = row(`row ${String(n).padStart(5, '0')}`, '', `value ${n}`, n % 3 === 0 ? farFuture : 0)
          const {key, value} = original
          const change = changeOf.get(n)
          const text = `0 ${keyText(key)}`
          if (change === 'extra') expected.push(`${text} missing-on-source`)
          else source!.put(0, original)
          if (change === 'missing') {
            expected.push(`${text} missing-on-target`)
            continue
          }

          if (change === 'expiry') {
            target!.put(0, {...original, expireTsSeconds: farFuture + 1})
            expected.push(`${text} expiry`)
          } else if (change === 'value') {
            const changed = Buffer.from(value)
            changed[n % value.length]! ^= 1
            target!.put(0, {...original, value: changed})
            expected.push(`${text} value`)
          } else target!.put(0, original)
        }

        const report = await verifyOn(clock, {partitionCount: 1, source: source!, target: target!})
        assert.deepEqual(listed(report), expected.sort())
        assert.ok(addsUp(report))
        assert.deepEqual(report.rowsCompared, 3000)
      }),
      {numRuns: 25},
    )
  }).timeout(60_000)

  it('tells counts, kinds and digests, and never a value', async () => {
    const clock = new VirtualClock()
    const [source, target] = [new MemoryRows({clock}), new MemoryRows({clock})]
    for (const side of [source, target]) side.put(0, row('same', 'k', 'v'))
    source.put(0, row('a"b', '\u0000\u00FF', 'source secret'))
    target.put(0, row('a"b', '\u0000\u00FF', 'target secret!'))
    source.put(1, row('only', '', 'x', farFuture))
    const report = await verifyOn(clock, {partitionCount: 2, source, target})
    assert.deepEqual(report, {
      confirmed: true,
      countsSource: [2, 1],
      countsTarget: [2, 0],
      different: 1,
      differences: [
        {
          key: String.raw`"a\x22b" "\x00\xc3\xbf"`,
          kind: 'value',
          partition: 0,
          source: {bytes: 13, expireTsSeconds: 0, hash: 'f12fea6d4a8a16f8'},
          target: {bytes: 14, expireTsSeconds: 0, hash: '77f63053a6b9488f'},
        },
        {
          key: '"only" ""',
          kind: 'missing-on-target',
          partition: 1,
          source: {bytes: 1, expireTsSeconds: farFuture, hash: '2d711642b726b044'},
        },
      ],
      equal: 1,
      expiring: 0,
      hot: 0,
      missingOnSource: 0,
      missingOnTarget: 1,
      mode: 'full',
      partitions: 2,
      rowsCompared: 3,
      unresolved: 0,
      unresolvedRows: [],
    })
  })

  it('sets rows aside that one side lacks and that expire about now', async () => {
    const clock = new VirtualClock()
    const [source, target] = [new MemoryRows({clock}), new MemoryRows({clock})]
    const soon = nowSeconds(clock) + 30
    source.put(0, row('expired on the target already', '', 'v', soon))
    target.put(0, row('expired on the source already', '', 'v', soon))
    source.put(0, row('stale until it expires', '', 'new', soon))
    target.put(0, row('stale until it expires', '', 'old', 0))
    source.put(0, row('expires much later', '', 'v', soon + 600))
    const report = await verifyOn(clock, {partitionCount: 1, source, target})
    assert.equal(report.expiring, 2)
    assert.deepEqual(listed(report), [
      '0 "expires much later" "" missing-on-target',
      '0 "stale until it expires" "" value',
    ])
  })

  it('lets expiries differ by the tolerance, for tables with a default_ttl', async () => {
    const clock = new VirtualClock()
    const [source, target] = [new MemoryRows({clock}), new MemoryRows({clock})]
    const now = nowSeconds(clock)
    for (const [hashKey, a, b] of [
      ['near', 5000, 5060],
      ['far', 5000, 5061],
      ['one side only', 0, 9000],
    ] as const) {
      source.put(0, row(hashKey, '', 'v', a && now + a))
      target.put(0, row(hashKey, '', 'v', b && now + b))
    }

    const report = await verifyOn(clock, {expiryToleranceSeconds: 60, partitionCount: 1, source, target})
    assert.deepEqual(listed(report), ['0 "far" "" expiry'])
    assert.equal((await verifyOn(clock, {partitionCount: 1, source, target})).different, 3)
  })

  it('refuses a scan that is not in order', async () => {
    const clock = new VirtualClock()
    const [source, target] = [new MemoryRows({clock}), new MemoryRows({clock})]
    source.scan = async function* () {
      yield RowBatch.of([row('b', '', '1'), row('a', '', '2')])
    }

    await assert.rejects(verifyOn(clock, {partitionCount: 1, source, target}), {code: 'verify.unordered'})
  })

  it('compares nothing in mode none', async () => {
    const clock = new VirtualClock()
    const [source, target] = [new MemoryRows({clock}), new MemoryRows({clock})]
    source.interfere = () => assert.fail('asked')
    const report = await verifyOn(clock, {mode: 'none', partitionCount: 1, source, target})
    assert.equal(verdictOf(report), 'unverified')
  })
})
