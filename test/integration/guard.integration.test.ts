import assert from 'node:assert/strict'
import {mkdtemp, rm, stat} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

import {sleep} from '../../src/lib/clock.js'
import {isMigratorError} from '../../src/lib/errors.js'
import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import {openZooKeeper} from '../../src/lib/metaproxy/open.js'
import {GuardChannel} from '../../src/lib/migration/guard/channel.js'
import {guardContext} from '../../src/lib/migration/guard/context.js'
import {guardCutover, type GuardEnd} from '../../src/lib/migration/guard/guard.js'
import {startGuard} from '../../src/lib/migration/guard/handle.js'
import {DriversLock} from '../../src/lib/migration/guard/other-holder.js'
import {takePlan, writePlan} from '../../src/lib/migration/guard/plan.js'
import {defaultLimits, type MigrationRequest} from '../../src/lib/migration/index.js'
import {Journal, readJournal} from '../../src/lib/migration/journal.js'
import {PegasusClient} from '../../src/lib/pegasus/client.js'
import {machineProcesses} from '../../src/lib/processes.js'
import {type Bed, nameSource, sandboxBed, withNodes} from '../e2e/bed.js'

const TABLE = 'guarded'
const DENY_ENV = 'replica.deny_client_request'

describe('guard', function () {
  this.timeout(60_000)
  let bed: Awaited<ReturnType<typeof sandboxBed>>
  let directory: string
  let channel: GuardChannel
  let controller: AbortController
  const closing: Array<() => Promise<void>> = []

  before(async () => {
    bed = await sandboxBed({scale: 20})
    await bed.sandbox.source.createTable(TABLE, {partitionCount: 4, replicaCount: 3})
    await nameSource(bed, TABLE)
  })

  after(() => bed.stop())

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'guard-'))
    channel = new GuardChannel(directory, TABLE, bed.targetCluster)
    controller = new AbortController()
    await channel.clear()
    await channel.beat(1, 'armed')
    await bed.source.setEnvs(TABLE, {[DENY_ENV]: 'reconfig*write'})
    await sleep(bed.clock, 31_000)
  })

  afterEach(async () => {
    controller.abort(new Error('the test is over'))
    for (const close of closing.splice(0)) await close()
    await bed.source.deleteEnvs(TABLE, [DENY_ENV])
    await withNodes(bed, (nodes) =>
      nodes.set(`${bed.root}/${TABLE}`, formatNodeData(bed.sandbox.source.name, bed.source.metas)),
    )
    await rm(directory, {force: true, recursive: true})
  })

  function requestOf(on: Bed): MigrationRequest {
    return {
      accepted: [],
      afterDrain: 'lift',
      denyMode: 'reconfig',
      limits: defaultLimits,
      maxWriteDenyMs: 120_000,
      metaproxy: {hosts: on.zookeeper, root: on.root},
      proxies: [on.proxy],
      sourceMetas: on.source.metas,
      table: TABLE,
      targetCluster: on.targetCluster,
      targetMetas: on.target.metas,
      thresholdMutations: 10_000,
      verify: 'none',
      verifySampleRows: 0,
    }
  }

  /** A guard in this process, with connections of its own. */
  async function watch(): Promise<{end: Promise<GuardEnd>; journal: Journal}> {
    const {clock} = bed
    const client = new PegasusClient({clock, random: Math.random, transport: bed.transport})
    const store = openZooKeeper({hosts: bed.zookeeper, root: bed.root}, clock)
    const journal = await Journal.open(directory, TABLE, bed.targetCluster, clock, 'guard')
    closing.push(async () => {
      await Promise.all([client.close(), store.close(), journal.close()])
    })
    const plan = {
      driver: await machineProcesses.own(),
      dupid: 1,
      journalDirectory: directory,
      request: requestOf(bed),
      timers: {configSyncMs: 30_000, groupCheckMs: 10_000},
    }
    const lock = new DriversLock({clock, locks: undefined, table: TABLE, token: undefined})
    const context = guardContext(plan, {client, emit() {}, journal, lock, signal: controller.signal, store})
    const end = guardCutover({
      channel,
      clock,
      context,
      isDriverDead: async () => false,
      lock,
      pid: process.pid,
      signal: controller.signal,
    })
    end.catch(() => {})
    return {end, journal}
  }

  const denyOf = async () => (await bed.source.table(TABLE))?.envs.get(DENY_ENV)

  async function until(done: () => Promise<boolean>): Promise<void> {
    const startMs = bed.clock.nowMs()
    while (!(await done())) {
      assert.ok(bed.clock.nowMs() - startMs < 180_000, 'not there after 180 s')
      await sleep(bed.clock, 200)
    }
  }

  it('leaves the deny alone while the driver beats, and goes when it is dismissed', async () => {
    const {end} = await watch()
    for (let count = 2; count < 12; count++) {
      await channel.beat(count, 'armed')
      await sleep(bed.clock, 1000)
    }

    assert.equal((await channel.readStatus())?.state, 'watching')
    assert.equal(await denyOf(), 'reconfig*write')
    await channel.beat(99, 'dismissed')
    assert.equal(await end, 'dismissed')
    assert.equal(await denyOf(), 'reconfig*write')
  })

  it('lifts the deny and proves it when the driver falls silent, and takes the commit away first', async () => {
    const before = await withNodes(bed, (nodes) => nodes.get(`${bed.root}/${TABLE}`))
    const {journal} = await watch()
    await until(async () => (await channel.readStatus())?.state === 'lifted')
    assert.equal(await denyOf(), undefined)
    const after = await withNodes(bed, (nodes) => nodes.get(`${bed.root}/${TABLE}`))
    assert.deepEqual(after.bytes, before.bytes)
    assert.equal(after.version, before.version + 1, 'a compare-and-set of the driver must fail now')
    const told = (await readJournal(journal.path)).map((record) => {
      if (record.kind === 'guard') return record.state
      return record.kind === 'before' || record.kind === 'after' ? `${record.kind} ${record.effect.kind}` : record.kind
    })
    const expected = [
      'watching',
      'acting',
      'before take-commit-away',
      'after take-commit-away',
      'before lift-deny',
      'after lift-deny',
      'lifted',
    ]
    assert.deepEqual(told, expected)
    assert.equal(await channel.claimant(), 'guard')
  })

  it('lifts again when a driver that woke up denies once more and falls silent again', async () => {
    await watch()
    await until(async () => (await channel.readStatus())?.state === 'lifted')
    await channel.beat(50, 'armed')
    await bed.source.setEnvs(TABLE, {[DENY_ENV]: 'reconfig*write'})
    await until(async () => (await denyOf()) === undefined)
  })

  it('never lifts when the node names the target', async () => {
    await withNodes(bed, (nodes) =>
      nodes.set(`${bed.root}/${TABLE}`, formatNodeData(bed.targetCluster, bed.target.metas)),
    )
    const {end} = await watch()
    assert.equal(await end, 'switched')
    assert.equal(await denyOf(), 'reconfig*write')
  })

  it('never lifts once the word was given', async () => {
    assert.equal(await channel.claim('word'), true)
    const {end} = await watch()
    assert.equal(await end, 'switched')
    assert.equal(await denyOf(), 'reconfig*write')
  })

  it('tells the driver that wakes up too late', async () => {
    await channel.clear()
    const handle = await startGuard(
      channel,
      bed.clock,
      () => {},
      async () => {
        await channel.tell({pid: process.pid, sinceMs: 0, state: 'watching', text: ''})
      },
    )
    await handle.assertMine()
    assert.equal(await channel.claim('guard'), true)
    await assert.rejects(handle.assertMine(), (error) => isMigratorError(error, 'guard.acted'))
    await assert.rejects(handle.claimWord(), (error) => isMigratorError(error, 'guard.acted'))
    await handle.dismiss()
  })

  it('says within its limit that no guard began to watch', async () => {
    await channel.clear()
    await assert.rejects(
      startGuard(
        channel,
        bed.clock,
        () => {},
        async () => {},
      ),
      (error) => isMigratorError(error, 'guard.not_started'),
    )
  })

  it('hands its data over in a file that only the owner can read, and that is gone afterwards', async () => {
    const plan = {
      driver: await machineProcesses.own(),
      dupid: 7,
      journalDirectory: directory,
      request: requestOf(bed),
      timers: {configSyncMs: 1, groupCheckMs: 2},
    }
    await writePlan(channel.planPath, plan)
    assert.equal((await stat(channel.planPath)).mode & 0o777, 0o600)
    assert.deepEqual(await takePlan(channel.planPath), plan)
    await assert.rejects(stat(channel.planPath))
  })
})
