import assert from 'node:assert/strict'
import fc from 'fast-check'
import {ClusterRows, type Row, verdictOf, verifyTable} from '../../src/lib/migration/verify/index.js'
import {keyText} from '../../src/lib/migration/verify/key-text.js'
import {encodeKey} from '../../src/lib/pegasus/key-hash.js'
import {seededRandom} from '../sandbox/random.js'
import {FakeCluster} from '../support/fake-cluster.js'
import {FakePartition, type ScanFault} from '../support/fake-partition.js'

const farFuture = 1_000_000_000

/** Every byte, hash keys that are the beginning of others, empty sort keys, values up to 64 KiB. */
function keyOf(n: number): Buffer {
  const hashKey = Buffer.from([n >>> 3, 255 - (n >>> 3), 0].slice(0, 1 + (n % 3)))
  return encodeKey(hashKey, n % 5 === 0 ? Buffer.alloc(0) : Buffer.from([n & 255, n >>> 8, 0xff]))
}

function rowOf(n: number): Row {
  return {
    expireTsSeconds: n % 7 === 0 ? farFuture + n : 0,
    key: keyOf(n),
    value: Buffer.alloc(n % 97 === 0 ? 65_536 : n % 60, n),
  }
}

type Change = 'expiry' | 'extra' | 'missing' | 'swapped' | 'value'

const inOrder = (rows: Row[]) =>
  [...new Map(rows.map((row) => [row.key.toString('hex'), row])).values()].sort((a, b) => Buffer.compare(a.key, b.key))

/** The target's rows, and the differences as the comparison must list them. */
function tampered(source: Row[], changes: Map<number, Change>): Row[] {
  return inOrder(
    source.flatMap((row, n): Row[] => {
      const change = changes.get(n)
      if (change === 'missing') return []
      if (change === 'expiry') return [{...row, expireTsSeconds: row.expireTsSeconds + farFuture}]
      if (change === 'extra') return [row, {...row, key: Buffer.concat([row.key, Buffer.of(1)])}]
      if (change === 'swapped')
        return [{...row, key: Buffer.concat([row.key.subarray(0, 2), Buffer.from(row.key.subarray(2)).reverse()])}]
      if (change === 'value') {
        // One byte, or one more.
        const value = Buffer.from(row.value.length > 0 ? row.value : Buffer.of(0))
        if (row.value.length > 0) value[n % value.length]! ^= 1 << (n % 8)
        return [{...row, value}]
      }

      return [row]
    }),
  )
}

/** Found without order and without our batches: key by key. */
function differencesOf(source: Row[], target: Row[]): string[] {
  const [a, b] = [source, target].map((rows) => new Map(rows.map((row) => [row.key.toString('hex'), row])))
  return [...new Set([...a!.keys(), ...b!.keys()])]
    .flatMap((hex) => {
      const [here, there] = [a!.get(hex), b!.get(hex)]
      const text = keyText(Buffer.from(hex, 'hex'))
      if (!there) return [`${text} missing-on-target`]
      if (!here) return [`${text} missing-on-source`]
      if (!here.value.equals(there.value)) return [`${text} value`]
      return here.expireTsSeconds === there.expireTsSeconds ? [] : [`${text} expiry`]
    })
    .sort()
}

const change = fc.constantFrom<Change>('expiry', 'extra', 'missing', 'swapped', 'value')
const fault = fc.constantFrom<ScanFault>('busy', 'cut', 'forget', 'incomplete', 'incomplete-empty')
const faults = fc.array(fc.tuple(fc.nat(30), fault), {maxLength: 8})
const scenario = fc.record({
  changes: fc.array(fc.tuple(fc.nat(1500), change), {maxLength: 12}),
  count: fc.oneof(fc.integer({max: 60, min: 0}), fc.integer({max: 1500, min: 900})),
  maxRows: fc.constantFrom(3, 50, 1000),
  sourceFaults: faults,
  targetFaults: faults,
})

/** Never eight in a row without progress: each third exchange is left alone. */
function put(partition: FakePartition, list: [number, ScanFault][], maxRows: number): void {
  partition.maxRows = maxRows
  for (const [exchange, what] of list) if (exchange % 3 !== 0) partition.faults.set(exchange, what)
}

describe('comparison over the wire, with random differences and faults of scans', () => {
  it('finds exactly the differences that there are', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async ({changes, count, maxRows, sourceFaults, targetFaults}) => {
        const source = inOrder(Array.from({length: count}, (_, n) => rowOf(n)))
        const target = tampered(source, new Map(changes))
        const cluster = new FakeCluster()
        const {clock} = cluster
        const [here, there] = [new FakePartition(source), new FakePartition(target)]
        put(here, sourceFaults, maxRows)
        put(there, targetFaults, maxRows)
        const {signal} = new AbortController()
        const side = async (name: 'source' | 'target', partition: FakePartition) => {
          const {address} = await cluster.listen(partition.server)
          const [client, pid] = [cluster.client, {appId: 2, partitionIndex: 0}]
          const only = {
            ballot: 1,
            lastCommittedDecree: 0,
            lastDrops: [],
            maxReplicaCount: 1,
            partitionFlags: 0,
            pid,
            primary: address,
            secondaries: [],
          }
          const configuration = {appId: 2, partitionCount: 1, partitions: [only]}
          return new ClusterRows({client, cluster: client.cluster([address]), configuration, name, signal, table: 't'})
        }

        const report = await cluster.run(
          verifyTable({
            clock,
            emit() {},
            mode: 'full',
            parallel: 2,
            partitionCount: 1,
            progress: async () => [{committedDecree: 7, shippedDecree: 7}],
            random: seededRandom(1),
            rereadLimitMs: 40_000,
            sampleRows: 0,
            signal,
            source: await side('source', here),
            target: await side('target', there),
          }),
        )
        const expected = differencesOf(source, target)
        assert.deepEqual(report.differences.map(({key, kind}) => `${key} ${kind}`).sort(), expected)
        assert.equal(verdictOf(report), expected.length > 0 ? 'different' : 'same')
        assert.deepEqual([report.countsSource, report.countsTarget], [[source.length], [target.length]])
      }),
      {numRuns: 60},
    )
  }).timeout(120_000)
})
