import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import {metaCalls} from '../../src/lib/rpc/calls.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {seededRandom} from '../sandbox/random.js'
import {makeBatches} from '../sandbox/replica/shipping.js'
import {type Bed, onBed, smallTable} from '../sandbox/test-bed.js'

const {DS_LOG, DS_PAUSE, DS_REMOVED} = DuplicationStatus

/** Overwrites few keys with values of 600 and 1050 bytes from many writers at once (measured.md E2). */
async function overwrite({client, clock, sandbox}: Bed, seconds: number): Promise<Map<string, string>> {
  const random = seededRandom(7)
  const last = new Map<string, string>()
  const endMs = clock.nowMs() + seconds * 1000
  let version = 0
  const writer = async (name: number) => {
    while (clock.nowMs() < endMs) {
      // Each key has one writer: what is acknowledged last is what must be read.
      const key = `hot${name}.${Math.floor(random() * 2)}`
      const value = `${++version}|`.padEnd(version % 2 === 0 ? 600 : 1050, 'x')
      await client.put(sandbox.source, 't', key, value)
      last.set(key, value)
      await sleep(clock, 1 + random() * 20)
    }
  }

  await Promise.all(Array.from({length: 32}, (_, i) => writer(i)))
  return last
}

async function staleKeys(bed: Bed, batchBytes: number, seconds = 3): Promise<string[]> {
  await smallTable(bed)
  const {client, clock, sandbox} = bed
  for (const {address} of sandbox.source.servers) {
    await client.updateConfig(address, 'duplicate_log_batch_bytes', String(batchBytes))
  }

  await sleep(clock, 30_000)
  await client.duplicate('t')
  const last = await overwrite(bed, seconds)
  await sleep(clock, 60_000)
  assert.ok(client.duplicators('t').every((d) => d!.notDuplicated === 1))
  assert.equal(sandbox.source.rows('t').size, sandbox.target.rows('t').size)
  return [...last].filter(([key, value]) => client.valueOf(sandbox.target, 't', key) !== value).map(([key]) => key)
}

/** A drained duplication whose K is behind L, and the key and partition of the last mutation. */
async function drained(bed: Bed): Promise<{key: string; partition: number}> {
  await smallTable(bed)
  const {client, clock, sandbox} = bed
  await sleep(clock, 30_000)
  await client.duplicate('t')
  const partition = 0
  const key = client.keyIn(sandbox.source, 't', partition, 'fence')
  for (;;) {
    await client.put(sandbox.source, 't', key, 'of the source')
    const fences = client.fences('t')
    await client.until(() => client.shipped('t', fences), 30_000, 'drain', 10)
    const duplicator = client.duplicators('t')[partition]!
    if (duplicator.confirmed < fences[partition]!) return {key, partition}
    await sleep(clock, 3700)
  }
}

async function killPrimary({client, clock, sandbox}: Bed, partition: number): Promise<void> {
  await sandbox.source.killServer(sandbox.source.primaryOf('t', partition)!)
  await sleep(clock, 8000)
  assert.equal(client.duplicators('t')[partition], undefined)
  await sleep(clock, 20_000)
}

describe('sandbox: how mutations are shipped', function () {
  this.timeout(60_000)

  it(
    'overwrites arrive out of order with batches of 4096 bytes, and stay so (measured.md E2)',
    onBed({}, async (bed) => {
      const stale = await staleKeys(bed, 4096)
      assert.ok(stale.length > 0)
      // A later write of the key heals it.
      const [key] = stale
      await bed.client.put(bed.sandbox.source, 't', key!, 'healed')
      await bed.client.until(() => bed.client.valueOf(bed.sandbox.target, 't', key!) === 'healed', 25_000, 'healed')
    }),
  )

  it(
    'overwrites arrive in order with batches of 0 bytes (measured.md E2)',
    onBed({}, async (bed) => assert.deepEqual(await staleKeys(bed, 0), [])),
  )

  it('a batch is keyed by its last mutation, and sent in order of the hash; a DUPLICATE at the end drops it', () => {
    const noArgs = {args: undefined, decree: 1, taskCode: 'RPC_REPLICATION_WRITE_EMPTY', timestampUs: 0n}
    assert.equal(makeBatches([noArgs], 1, 4096).size, 0)
    const shipped = {args: Buffer.alloc(8), decree: 2, taskCode: 'RPC_RRDB_RRDB_DUPLICATE', timestampUs: 0n}
    assert.equal(makeBatches([noArgs, shipped], 1, 4096).size, 0)
  })

  it(
    'a new primary ships (K, L] again and overwrites what is newer on the target (measured.md E1)',
    onBed({}, async (bed) => {
      const {key, partition} = await drained(bed)
      await bed.client.put(bed.sandbox.target, 't', key, 'newer, of the target')
      await killPrimary(bed, partition)
      assert.equal(bed.client.valueOf(bed.sandbox.target, 't', key), 'of the source')
    }),
  )

  for (const [how, status] of [
    ['paused', DS_PAUSE],
    ['removed', DS_REMOVED],
  ] as const) {
    it(
      `nothing is shipped again when the duplication was ${how} after the drain (measured.md E1)`,
      onBed({}, async (bed) => {
        const {key, partition} = await drained(bed)
        await bed.client.modify('t', {status})
        await bed.client.put(bed.sandbox.target, 't', key, 'newer, of the target')
        await killPrimary(bed, partition)
        await sleep(bed.clock, 45_000)
        assert.equal(bed.client.valueOf(bed.sandbox.target, 't', key), 'newer, of the target')
      }),
    )
  }

  it(
    'resuming without a change of primary ships nothing again (measured.md E1)',
    onBed({}, async (bed) => {
      const {key, partition} = await drained(bed)
      const {client, clock, sandbox} = bed
      await client.modify('t', {status: DS_PAUSE})
      await sleep(clock, 11_000)
      await client.put(sandbox.target, 't', key, 'newer, of the target')
      await client.modify('t', {status: DS_LOG})
      await sleep(clock, 30_000)
      assert.equal(client.valueOf(sandbox.target, 't', key), 'newer, of the target')
      assert.ok(client.duplicators('t')[partition]!.duplicating)
    }),
  )

  it(
    'resuming after a change of primary reverts a newer value (measured.md E1)',
    onBed({}, async (bed) => {
      const {key, partition} = await drained(bed)
      const {client, clock, sandbox} = bed
      await client.modify('t', {status: DS_PAUSE})
      await client.put(sandbox.target, 't', key, 'newer, of the target')
      await killPrimary(bed, partition)
      assert.equal(client.valueOf(sandbox.target, 't', key), 'newer, of the target')
      await client.modify('t', {status: DS_LOG})
      await sleep(clock, 20_000)
      assert.equal(client.valueOf(sandbox.target, 't', key), 'of the source')
    }),
  )

  it(
    'K follows L at the next dup sync; at rest 1 or 2 mutations are not confirmed (measured.md §3)',
    onBed({}, async (bed) => {
      await smallTable(bed)
      const {client, clock, sandbox} = bed
      await sleep(clock, 30_000)
      await client.duplicate('t')
      for (let i = 0; i < 50; i++) await client.put(sandbox.source, 't', `k${i}`, 'x')
      const fences = client.fences('t')
      await client.until(() => client.shipped('t', fences), 30_000, 'shipped')
      const lag = await client.until(
        () => client.duplicators('t').every((d, i) => d!.confirmed >= fences[i]!),
        30_000,
        'confirmed',
      )
      assert.ok(lag > 0 && lag < 10_200, String(lag))
      for (let i = 0; i < 40; i++) {
        await sleep(clock, 1000)
        const gaps = client.duplicators('t').map((d) => d!.notConfirmed)
        assert.ok(
          gaps.every((gap) => gap === 1 || gap === 2),
          String(gaps),
        )
      }
    }),
  )

  it(
    'atomic writes are shipped only by a table of master that makes them idempotent (measured-master.md §7)',
    onBed({profile: 'master'}, async (bed) => {
      const {client, clock, sandbox} = bed
      await sandbox.source.createTable('t', {atomicIdempotent: true, partitionCount: 4, replicaCount: 3})
      await client.duplicate('t')
      await sleep(clock, 31_000)
      const before = client.fences('t')
      assert.equal(await client.outcome(client.checkAndSet(sandbox.source, 't', 'cas')), 'OK/13')
      assert.deepEqual(client.fences('t'), before)
      await client.meta(sandbox.source, metaCalls.setAtomicIdempotent, {appName: 't', atomicIdempotent: false})
      await sleep(clock, 31_000)
      assert.equal(await client.outcome(client.checkAndSet(sandbox.source, 't', 'cas')), 'ERR_OPERATION_DISABLED')
    }),
  )

  it('is repeated exactly by the same seed', async () => {
    const runs: string[] = []
    for (let run = 0; run < 2; run++) {
      await onBed({random: seededRandom(42)}, async (bed) => {
        runs.push(JSON.stringify([await staleKeys(bed, 4096, 1), bed.clock.nowMs()]))
      })()
    }

    assert.equal(runs[0], runs[1])
  })
})
