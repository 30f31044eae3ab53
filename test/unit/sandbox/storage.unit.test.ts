import assert from 'node:assert/strict'

import {crc64, encodeKey, keyHash} from '../../sandbox/replica/key.js'
import {Partition} from '../../sandbox/replica/partition.js'
import {lowerBound, RowStore} from '../../sandbox/replica/row-store.js'
import {Throttle} from '../../sandbox/replica/deny.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'

const bytes = (text: string) => Buffer.from(text)

describe('sandbox: keys', () => {
  it('hashes as the servers do (vectors of protocol.md §8.1)', () => {
    assert.equal(crc64(bytes('')), 0n)
    assert.equal(crc64(bytes('a')), 0x8c_2f_84_45_b4_cb_fc_3cn)
    assert.equal(crc64(bytes('hello')), 0x33_77_85_70_06_52_42_57n)
    assert.equal(crc64(bytes('123456789')), 0xae_8b_14_86_0a_79_98_88n)
    assert.equal(keyHash(encodeKey(bytes('a'), bytes('sort'))), crc64(bytes('a')))
    assert.equal(keyHash(encodeKey(bytes(''), bytes('sort'))), crc64(bytes('sort')))
  })
})

describe('sandbox: rows', () => {
  it('come in order of their bytes, and a snapshot stays as it was', () => {
    const store = new RowStore()
    for (const key of ['b', 'a', '\u00FF', 'ab']) store.put(Buffer.from(key, 'latin1'), bytes(key), 0)
    const snapshot = store.snapshot()
    store.remove(bytes('a'))
    store.put(bytes('b'), bytes('new'), 0)
    assert.deepEqual(
      snapshot.map((r) => r.key.toString('latin1')),
      ['a', 'ab', 'b', '\u00FF'],
    )
    assert.equal(snapshot[2]!.value.toString(), 'b')
    assert.deepEqual(
      store.snapshot().map((r) => r.value.toString()),
      ['ab', 'new', '\u00FF'],
    )
    assert.equal(lowerBound(snapshot, bytes('ab'), true), 1)
    assert.equal(lowerBound(snapshot, bytes('ab'), false), 2)
    assert.equal(lowerBound(snapshot, bytes('zz'), true), 3)
  })
})

describe('sandbox: a partition', () => {
  const write = {args: Buffer.alloc(10), taskCode: 'RPC_RRDB_RRDB_PUT', timestampUs: 0n}

  it('commits in order, and logs the commit point that was known when it wrote', () => {
    const partition = new Partition({appId: 1, partitionIndex: 0})
    const done: number[] = []
    const first = partition.prepare(write, 0, (decree) => done.push(decree))
    const second = partition.prepare(write, 0, (decree) => done.push(decree))
    assert.deepEqual([partition.prepared, partition.committed, partition.loadable(false)], [2, 0, 0])
    partition.commit(second)
    assert.deepEqual(done, [first, second])
    assert.deepEqual([partition.loadable(false), partition.loadable(true)], [0, 2])
    partition.prepare(write, 0, () => {})
    assert.equal(partition.loadable(false), 2)
  })

  it('reads its log up to a size, and fails loudly below what was let go', () => {
    const partition = new Partition({appId: 1, partitionIndex: 0})
    for (let i = 0; i < 3000; i++) partition.commit(partition.prepare(write, 0, () => {}))
    assert.deepEqual(
      partition.read(5, 2999, 25).map((m) => m.decree),
      [5, 6, 7],
    )
    partition.truncate(2000)
    assert.equal(partition.read(2001, 2001, 1)[0]!.decree, 2001)
    assert.throws(() => partition.read(1999, 2001, 1), /truncated/)
  })
})

describe('sandbox: throttling', () => {
  it('counts per second, delays and then rejects', async () => {
    const clock = new VirtualClock()
    const throttle = new Throttle('4*delay*50,8*reject*10', 4, clock)
    const kinds = () => Array.from({length: 4}, () => throttle.take(1)?.kind)
    assert.deepEqual(kinds(), [undefined, undefined, 'delay', 'reject'])
    await clock.advance(1000)
    assert.deepEqual(kinds(), [undefined, undefined, 'delay', 'reject'])
  })
})
