import assert from 'node:assert/strict'

import type {LoadClient} from '../sandbox/load-client.js'
import {type Bed, loadClient, move, nameSource, realBed, sandboxBed, verifyOn, withNodes} from './bed.js'

const DENY_ENV = 'replica.deny_client_request'

/** What every finished migration must have left behind, read from the clusters. */
async function assertFinished(bed: Bed, table: string): Promise<void> {
  const [source, target] = await Promise.all([bed.source.table(table), bed.target.table(table)])
  assert.equal(source?.envs.get(DENY_ENV), 'reconfig*all', 'the source refuses everyone')
  assert.deepEqual(
    [...target!.envs.keys()].filter((key) => key === DENY_ENV || key.startsWith('duplication.')),
    [],
  )
  assert.deepEqual(await bed.source.duplications(table), [])
  for (const {address, alive} of await bed.source.nodes()) {
    if (!alive) continue
    const server = bed.source.server(address)
    assert.notEqual(await server.config('duplicate_log_batch_bytes'), '0', `${address} ships in batches again`)
    assert.deepEqual((await server.duplicationStates(source!.appId)).states, [])
  }

  const node: {cluster_name: string} = JSON.parse(
    (await withNodes(bed, (nodes) => nodes.get(`${bed.root}/${table}`))).bytes.toString(),
  )
  assert.equal(node.cluster_name, bed.targetCluster)
}

async function migrateUnderLoad(bed: Bed, table: string, request: Parameters<typeof move>[2]): Promise<LoadClient> {
  await bed.source.createTable({envs: {}, name: table, partitionCount: 8, replicaCount: 3})
  await nameSource(bed, table)
  const load = loadClient(bed, table, {keys: 2000, writers: 8, writesPerSecond: 200})
  await waitUntilServed(bed, load)
  const {result} = await move(bed, table, request)
  assert.equal(result.error, undefined, result.error?.message)
  assert.equal(result.outcome, 'migrated')
  // The applications have gone on: what they were told on the target counts too.
  const before = load.ledger.history.length
  await until(bed, () => load.ledger.history.length > before + 200)
  await load.stop()
  const {checked, lost, stale} = await verifyOn(bed, bed.target, table, load)
  assert.ok(checked > 1000, `only ${checked} keys were written`)
  assert.deepEqual({lost, stale}, {lost: [], stale: []})
  await assertFinished(bed, table)
  // On a scaled clock a busy machine's hiccup of 100 ms is a second: figures are compared in real time only.
  if (!bed.sandbox) assertSameWindow(load.report().windowMs, result)
  return load
}

/**
 * With `reconfig` both windows are the same. With `timeout` a client asks again as soon as the first server of the
 * source refuses it, while the result counts until the last one does: never less than what clients saw.
 */
function assertSameWindow(seenMs: number, {writeDeny}: Awaited<ReturnType<typeof move>>['result']): void {
  const {confirmedAtMs = 0, sourceClosedAtMs = 0, windowMs = 0} = writeDeny
  const untilClosedMs = Math.max(0, sourceClosedAtMs - confirmedAtMs)
  const text = `the clients saw ${seenMs} ms, the result says ${windowMs} ms`
  assert.ok(seenMs <= windowMs + 3000, text)
  assert.ok(seenMs >= windowMs - untilClosedMs - 3000, text)
}

async function until(bed: Bed, done: () => boolean): Promise<void> {
  const startMs = bed.clock.nowMs()
  while (!done()) {
    assert.ok(bed.clock.nowMs() - startMs < 120_000, 'not there after 120 s')
    await new Promise((resolve) => {
      bed.clock.setTimer(200, () => resolve(undefined))
    })
  }
}

/** A new table takes a while to have all replicas, and decrees (measured.md §0). */
async function waitUntilServed(bed: Bed, load: LoadClient): Promise<void> {
  let started = false
  for (let tries = 0; !started; tries++) {
    try {
      await load.start()
      started = true
    } catch (error) {
      if (tries > 60) throw error
      await new Promise((resolve) => {
        bed.clock.setTimer(1000, () => resolve(undefined))
      })
    }
  }

  await until(bed, () => load.ledger.history.length > 6000)
}

describe('migrating a table under load', function () {
  this.timeout(180_000)
  const real = realBed()

  const run = (title: string, bedOf: () => Promise<Bed>, options: Parameters<typeof move>[2]) => {
    it(title, async () => {
      const bed = await bedOf()
      const table = `e2e_${Date.now().toString(36)}`
      try {
        await migrateUnderLoad(bed, table, options)
      } finally {
        if (!bed.sandbox) await cleanUp(bed, table)
        await bed.stop()
      }
    })
  }

  if (real) {
    this.timeout(900_000)
    run('on the real clusters, timeout', async () => real, {})
    run('on the real clusters, reconfig', async () => realBed()!, {request: {denyMode: 'reconfig'}})
    return
  }

  run('2.5, timeout', () => sandboxBed({seed: 11}), {})
  run('2.5, reconfig', () => sandboxBed({seed: 12}), {request: {denyMode: 'reconfig'}})
  run('master, reconfig', () => sandboxBed({profile: 'master', seed: 13}), {request: {denyMode: 'reconfig'}})
  run('2.4, timeout', () => sandboxBed({profile: '2.4', seed: 14}), {})
})

/** Leaves a real bed as it was. */
async function cleanUp(bed: Bed, table: string): Promise<void> {
  await withNodes(bed, (nodes) => nodes.remove(`${bed.root}/${table}`))
  for (const cluster of [bed.source, bed.target]) {
    for (const {dupid} of await cluster.duplications(table).catch(() => [])) {
      await cluster.modifyDuplication(table, dupid, {status: 5})
    }
  }

  // Servers must have forgotten a duplication before its table is dropped (measured.md §14).
  await new Promise((resolve) => {
    bed.clock.setTimer(40_000, () => resolve(undefined))
  })
  for (const cluster of [bed.source, bed.target]) {
    if (await cluster.table(table)) await cluster.dropTable(table, {reserveSeconds: 0})
  }
}
