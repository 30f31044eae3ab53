import assert from 'node:assert/strict'

import type {DenyMode, WriteDenyWindow} from '../../src/lib/migration/index.js'
import {startZooKeeper, type ZooKeeper} from '../sandbox/zookeeper.js'
import {loadClient, move, nameSource, sandboxBed, verifyOn} from './bed.js'

/* What the tool says of the write-deny window and what applications saw, over TCP and in real time. */

const TABLE = 'users'
const TOLERANCE_MS = 500
const CLIENT_TIMEOUT_MS = 1000
/** Real servers' in small; a migration takes half a minute. */
const timers = {
  checkpointMs: 500,
  config_sync_interval_ms: 3000,
  dupSyncMs: 500,
  followerPrimaryMs: [300, 500] as [number, number],
  group_check_interval_ms: 2000,
  guardianStepMs: 500,
  perfCounterMs: 500,
}

interface Seen {
  lostWrites: number
  /** A client that asks where to write as soon as it is refused. */
  seenMs: number
  window: WriteDenyWindow
}

async function cutover(denyMode: DenyMode, zookeeper: ZooKeeper, seed: number): Promise<Seen> {
  const overrides = {source: timers, target: timers}
  const bed = await sandboxBed({overrides, profile: '2.5', root: `/window-${denyMode}`, scale: 1, seed, zookeeper})
  try {
    await bed.sandbox.source.createTable(TABLE, {partitionCount: 4, replicaCount: 3})
    await nameSource(bed, TABLE)
    const load = loadClient(bed, TABLE, {
      keys: 200,
      operationTimeoutMs: CLIENT_TIMEOUT_MS,
      refreshEveryMs: 50,
      writers: 8,
      writesPerSecond: 80,
    })
    await load.start()
    const {result} = await move(bed, TABLE, {request: {denyMode, verifySampleRows: 50}})
    await load.stop()
    assert.equal(result.outcome, 'migrated', result.error?.message)
    const {lost, stale} = await verifyOn(bed, bed.target, TABLE, load)
    return {lostWrites: lost.length + stale.length, seenMs: load.report().windowMs, window: result.writeDeny}
  } finally {
    await bed.stop()
  }
}

describe('the write-deny window as clients see it', function () {
  this.timeout(180_000)
  let zookeeper: ZooKeeper
  let seen: Record<DenyMode, Seen>

  before(async () => {
    zookeeper = await startZooKeeper()
    // They wait most of their time.
    const [reconfig, timeout] = await Promise.all([cutover('reconfig', zookeeper, 1), cutover('timeout', zookeeper, 2)])
    seen = {reconfig, timeout}
  })

  after(() => zookeeper?.stop())

  it('is what the tool reports within half a second, where writes are refused', () => {
    const {lostWrites, seenMs, window} = seen.reconfig
    assert.equal(lostWrites, 0)
    const apartMs = Math.abs(seenMs - window.windowMs!)
    assert.ok(apartMs < TOLERANCE_MS, `a client saw ${seenMs} ms, said was ${window.windowMs} ms`)
  })

  it('is at most its own time-out longer, where writes are left unanswered', () => {
    const {lostWrites, seenMs, window} = seen.timeout
    assert.equal(lostWrites, 0)
    const said = `a client saw ${seenMs} ms, said was ${window.clients!.minMs} to ${window.windowMs} ms`
    assert.ok(seenMs > window.clients!.minMs - TOLERANCE_MS, said)
    assert.ok(seenMs < window.windowMs! + CLIENT_TIMEOUT_MS + TOLERANCE_MS, said)
  })
})
