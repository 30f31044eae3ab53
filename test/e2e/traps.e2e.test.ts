import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import {defaultLimits, type MigrationResult} from '../../src/lib/migration/index.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {TestClient} from '../sandbox/test-client.js'
import {loadClient, verifyOn} from './bed.js'
import {DENY_ENV} from './invariants.js'
import {addForeign, checksOf, deniedEver, duplicationOf, duplicationsOf, setDeny, switchedEver} from './meddling.js'
import {after, before, beginOf, during, endOf, warned} from './moments.js'
import {type Scene, told} from './scene.js'
import {sideBySide, type Story} from './side-by-side.js'
import {snapshot} from './snapshot.js'

const {DS_LOG} = DuplicationStatus
const PREPARING = /^DS_(INIT|PREPARE)/
const COPYING = /^DS_APP/

const firstPrimary = ({source, table}: Scene) => source.primaryOf(table, 0)!
const phasesDone = ({phases}: MigrationResult, phase: string) =>
  phases.filter((timing) => timing.phase === phase && timing.state === 'done').length

const order: Story[] = [
  {
    // What makes batches overtake each other: few keys, large values, many writers.
    options: {load: {keys: 24, valueBytes: 900, writers: 16, writesPerSecond: 300}},
    async play(scene) {
      assert.equal(scene.source.spec.flags.duplicate_log_batch_bytes, 4096)
      scene.at(before('add-duplication'), () => {
        for (const {config} of scene.source.servers) assert.equal(config.number('duplicate_log_batch_bytes'), 0)
      })
      await scene.close(await scene.migrate(['migrated']))
    },
    title: 'lesson 13: overwrites under load keep their order, because nothing is shipped in batches',
  },
  {
    async play(scene) {
      const server = scene.source.servers[2]!.address
      scene.at(beginOf('catch-up'), async () => {
        await scene.source.killServer(server)
        await scene.source.startServer(server)
      })
      const result = await scene.migrate(['migrated'])
      assert.ok(scene.events.some(warned('batching.returned')), told(result))
      assert.ok(result.verification!.rowsCompared >= 200 + 100, 'all rows, and not a sample, were compared')
      await scene.close(result)
    },
    title: 'lesson 13: a server that restarted in Catch up ships in batches: set again, and all rows are compared',
  },
  {
    async play(scene) {
      const server = scene.source.servers[2]!.address
      // It comes back as a secondary and is made primary again, by then with the default of its file.
      scene.at(endOf('verify'), async () => {
        await scene.source.killServer(server)
        await scene.source.startServer(server)
        await scene.until('its replicas', () => scene.source.serverAt(server)!.replicas.length > 0)
        scene.source.movePrimary(scene.table, 0, server)
      })
      const result = await scene.migrate(['migrated'])
      // Once for the partition whose primary moved, where that is seen before the server is.
      assert.ok([2, 3].includes(phasesDone(result, 'verify')), told(result))
      assert.ok(scene.events.some(warned('batching.returned')), told(result))
      await scene.close(result)
    },
    title:
      'lesson 13: a server that restarted during the cutover and leads partitions: taken back, all rows are compared',
  },
  {
    async play(scene) {
      scene.at(beginOf('catch-up'), () => {
        const {secondaries} = scene.source.table(scene.table).memberships[0]!
        scene.source.movePrimary(scene.table, 0, secondaries[0]!)
      })
      const result = await scene.migrate(['migrated'], {verify: 'none'})
      assert.ok(scene.events.some(warned('shipping.moved')), told(result))
      // And of another one, where this machine stood still and a server was taken for dead.
      const {partitions = 0} = result.verification ?? {}
      assert.ok(partitions >= 1, 'the rows of that partition were compared')
      assert.deepEqual(result.earlierWindows, [])
      await scene.close(result)
    },
    title: 'E1: a source primary that moves in Catch up: its rows are compared whatever was asked for',
  },
  {
    async play(scene) {
      scene.at(endOf('verify'), () =>
        scene.source.setFlag(scene.source.servers[1]!.address, 'duplicate_log_batch_bytes', '4096'),
      )
      const result = await scene.migrate(['migrated'])
      assert.equal(phasesDone(result, 'verify'), 2, told(result))
      assert.deepEqual(result.earlierWindows, [], 'nothing was denied before that')
      await scene.close(result)
    },
    title: 'lesson 13: somebody sets the batches back after the rows were compared: compared once more before the deny',
  },
  {
    async play(scene) {
      addForeign(scene, true)
      await scene.until('the foreign duplication ships', () => duplicationOf(scene).status === DS_LOG)
      const {rows} = scene.target.table(scene.table).partitions[0]!
      const row = rows.snapshot().find(({key}) => key.includes('old'))
      rows.put(row!.key, Buffer.from('an older value'), 0)
      const result = await scene.migrate(['stopped', 'verify.different'], {
        accepted: ['foreign-duplication'],
        verify: 'full',
      })
      assert.equal(deniedEver(scene), false)
      await scene.close(result)
    },
    title: "lesson 13: somebody else's duplication that left an old value is not migrated with",
  },
  {
    // Few keys, so that all are soon overwritten on the target; K is stored once, so that there is much to ship again.
    options: {load: {keys: 12}, overrides: {source: {dupProgressMinUpdateMs: 1_000_000}}, partitionCount: 3},
    async play(scene) {
      const {ledger} = scene.load!
      // It is replaced only 9 s later: by then every key has a newer value on the target, and nobody writes any more.
      scene.at(before('switch-node'), async () => {
        const from = ledger.history.length
        const {partitions} = scene.source.table(scene.table)
        assert.ok(duplicationOf(scene).progress[0]!.stored < partitions[0]!.committed - 10)
        await scene.source.killServer(firstPrimary(scene))
        await scene.until(
          'newer values of every key',
          () => new Set(ledger.history.slice(from).map(({key}) => key)).size === 12,
        )
        await scene.stopLoad()
        assert.ok(!scene.events.some(after('remove-duplication')))
      })
      await scene.close(await scene.migrate(['migrated']))
    },
    title: 'lesson 14: a source primary that dies after the switch does not ship old values over new ones',
  },
]

const denies: Story[] = [
  {
    async play(scene) {
      scene.at(during('duplicate', PREPARING), () => setDeny(scene, 'source', 'reconfig*write'))
      scene.at(during('duplicate', COPYING), () => setDeny(scene, 'source', undefined))
      const result = await scene.run()
      assert.equal(scene.target.table(scene.table).info.envs.get(DENY_ENV), 'reconfig*write', 'it was copied')
      assert.equal(result.outcome, 'stopped', told(result))
      assert.equal(result.error?.code, 'target.unfit', told(result))
      assert.match(result.error!.message, /replica\.deny_client_request=reconfig\*write/)
      assert.equal(deniedEver(scene), false)
      await scene.close(result)
    },
    title: 'lesson 1: a deny that somebody set in DS_PREPARE was copied to the target: explained before the cutover',
  },
  {
    async play(scene) {
      scene.at(beginOf('verify'), () => setDeny(scene, 'source', 'timeout*write'))
      const result = await scene.migrate(['stopped', 'deny.foreign'])
      assert.equal(scene.source.table(scene.table).info.envs.get(DENY_ENV), 'timeout*write', 'it is not ours to lift')
      setDeny(scene, 'source', undefined)
      await scene.close(result)
    },
    title: 'lesson 1: a deny of somebody else on the source is neither overwritten nor lifted',
  },
  {
    async play(scene) {
      scene.at(during('drain'), () => setDeny(scene, 'source', undefined))
      const result = await scene.migrate(['stopped', 'deny.taken_back'], {cutoverAttempts: 1})
      assert.equal(switchedEver(scene), false)
      await scene.close(result)
    },
    title: 'I3: somebody takes the deny off during the drain: nothing is switched',
  },
  {
    async play(scene) {
      // On master nothing that was accepted meanwhile would be seen by the drain's decrees alone.
      scene.at(during('drain'), () => setDeny(scene, 'source', undefined))
      const result = await scene.migrate(['stopped', 'deny.taken_back'], {cutoverAttempts: 1})
      await scene.close(result)
    },
    options: {profile: 'master'},
    title: 'I3: somebody takes the deny off during the drain on master: nothing is switched',
  },
]

const shipping: Story[] = [
  {
    // No empty write lifts a decree above 0 before the duplication looks.
    options: {load: false, overrides: {source: {group_check_interval_ms: 40_000}}, rows: 0},
    async play(scene) {
      const result = await scene.migrate(['migrated'], {maxWriteDenyMs: 400_000})
      assert.ok(scene.events.some(after('trigger-checkpoint')), 'it hung until then')
      await scene.close(result)
    },
    title: 'lesson 10: empty partitions that hang in DS_APP are mended by a checkpoint',
  },
  {
    async play(scene) {
      scene.source.setFlag(scene.source.servers[1]!.address, 'empty_write_disabled', 'true')
      const refused = await scene.migrate(['refused', 'preflight.refused'])
      assert.deepEqual(checksOf(refused), ['empty-writes'])
      scene.source.setFlag(scene.source.servers[1]!.address, 'empty_write_disabled', 'false')
      scene.at(endOf('verify'), () => {
        for (const {address} of scene.source.servers) scene.source.setFlag(address, 'empty_write_disabled', 'true')
      })
      const result = await scene.migrate(['stopped', 'drain.limit'], {cutoverAttempts: 1})
      await scene.close(result)
    },
    title: 'lesson 4: without empty writes the last mutations never ship: refused, and never taken for a drain',
  },
  ...(
    [
      [
        'refuses what is shipped',
        (scene) => setDeny(scene, 'target', 'reconfig*write'),
        /replica\.deny_client_request/,
      ],
      ['was dropped', ({bed, table}) => bed.target.dropTable(table, {reserveSeconds: 0}), /dropped/],
    ] satisfies [string, (scene: Scene) => Promise<void> | void, RegExp][]
  ).flatMap(([what, trouble, named]): Story[] => [
    {
      async play(scene) {
        scene.at(beginOf('catch-up'), () => trouble(scene))
        const limits = {...defaultLimits, stallMs: 20_000}
        const result = await scene.migrate(['stopped', 'catch-up.stalled'], {limits, thresholdMutations: 0})
        assert.match(result.error!.message, named)
        await scene.close(result)
      },
      title: `lesson 11: the target ${what} and the lag grows: it is named`,
    },
    {
      async play(scene) {
        scene.at(beginOf('catch-up'), () => trouble(scene))
        const result = await scene.migrate(['stopped', 'target.unfit'])
        assert.match(result.error!.message, named)
        assert.equal(deniedEver(scene), false)
        await scene.close(result)
      },
      title: `lesson 11: the target ${what} while the lag is small: it is named before writes are denied`,
    },
  ]),
  {
    async play(scene) {
      scene.at(beginOf('catch-up'), () => {
        for (const {address} of scene.target.servers) scene.target.setSilent(address, true)
      })
      const limits = {...defaultLimits, stallMs: 20_000}
      const result = await scene.migrate(['stopped', 'catch-up.stalled'], {limits})
      assert.match(result.error!.message, /nothing ships from partitions 0, 1, 2, 3/)
      assert.equal(deniedEver(scene), false)
      await scene.close(result)
    },
    title: 'lesson 11: the servers of the target hang while the lag is small: writes are not denied in vain',
  },
  {
    async play(scene) {
      const client = new TestClient(scene.bed.sandbox, scene.bed.clock)
      let busy = true
      let writing: Promise<void> | undefined
      scene.at(beginOf('catch-up'), () => {
        writing = (async () => {
          for (let i = 0; busy; i++) {
            await client.put(scene.target, scene.table, `foreign${i % 20}`, `${i}`)
            await sleep(scene.bed.clock, 100)
          }
        })()
      })
      try {
        const result = await scene.migrate(['stopped', 'target.foreign_writes'])
        assert.equal(deniedEver(scene), false)
        await scene.close(result)
      } finally {
        busy = false
        await writing
        client.close()
      }
    },
    title: 'I3: clients write to the target before the cutover: the migration stops',
  },
]

const primaries: Story[] = [
  {
    async play(scene) {
      scene.at(during('duplicate', COPYING), () => {
        const {secondaries} = scene.source.table(scene.table).memberships[0]!
        scene.source.movePrimary(scene.table, 0, secondaries[0]!)
      })
      const result = await scene.migrate(['stopped', 'duplicate.primary_moved'])
      assert.deepEqual(duplicationsOf(scene), [], 'the duplication whose copy may lack writes is gone')
      await scene.close(result)
    },
    title: 'protocol §3.12: a source primary that moves before DS_LOG may leave a hole: refused, duplication removed',
  },
  {
    // The fourth server has no replica of partition 0 yet: one opened anew knows no deny until its next config sync.
    options: {load: {writers: 16, writesPerSecond: 120}, servers: 4},
    async play(scene) {
      const {source, table} = scene
      scene.at(during('drain'), () => {
        const {primary, secondaries} = source.table(table).memberships[0]!
        const fourth = source.servers.find(({address}) => address !== primary && !secondaries.includes(address))!
        source.movePrimary(table, 0, fourth.address)
      })
      const result = await scene.migrate(['migrated'])
      assert.ok(scene.events.some(during('drain', /^new primary of partition 0: the deny is proved again/)))
      await scene.close(result)
    },
    title: 'protocol §13: a primary that moves in the drain to a server without the deny: proved again, drained again',
  },
  {
    async play(scene) {
      scene.at(during('drain'), () => scene.source.killServer(firstPrimary(scene)))
      await scene.close(await scene.migrate(['migrated']))
    },
    title: 'measured §10: a source primary dies in the drain: proved again on its successors, nothing is lost',
  },
]

const metas: Story[] = [
  {
    async play(scene) {
      const sourceMetas = [...scene.source.metas].reverse()
      assert.equal(scene.source.leader!.address, sourceMetas[1])
      await scene.close(await scene.migrate(['migrated'], {sourceMetas: ['127.0.0.1:1', ...sourceMetas]}))
    },
    title: 'measured §0: a dead meta and a follower come first in the list',
  },
  ...(
    [
      ['in DS_PREPARE', during('duplicate', PREPARING)],
      ['when the deny was just set', after('deny')],
      ['in the drain', during('drain')],
    ] as const
  ).map(([when, moment]): Story => ({
    async play(scene) {
      scene.at(moment, () => scene.source.killMetaLeader())
      await scene.close(await scene.migrate(['migrated'], {maxWriteDenyMs: 180_000}))
    },
    title: `lesson 9: the meta leader dies ${when}: no server serves for 40 s, and it is waited out`,
  })),
]

const clients: Story[] = [
  {
    async play(scene) {
      scene.at(beginOf('drain'), () => scene.bed.metaproxy.expireSession())
      const result = await scene.migrate(['migrated'], {limits: {...defaultLimits, switchMs: 5000}})
      assert.ok(scene.events.some(warned('switch.proxy_stale')), told(result))
      assert.match(result.warnings.join(' '), new RegExp(scene.bed.proxy))
      assert.equal(scene.source.table(scene.table).info.envs.get(DENY_ENV), 'reconfig*all')
      const refused = scene.load!.ledger.history.length
      await sleep(scene.bed.clock, 5000)
      assert.equal(scene.load!.ledger.history.length, refused, 'its clients are refused, not served by the source')
      await scene.bed.metaproxy.restart()
      await scene.close(result)
    },
    title:
      'measured §8: a metaproxy that lost its session stays on the source: told, and the source refuses its clients',
  },
  {
    options: {load: false},
    async play(scene) {
      const {bed, source, table} = scene
      const direct = loadClient(bed, table, {keyPrefix: 'direct', target: {metas: source.metas}})
      await direct.start()
      const result = await scene.migrate(['migrated'])
      const acknowledged = direct.ledger.history.length
      await sleep(bed.clock, 3000)
      assert.equal(direct.ledger.history.length, acknowledged, 'the source accepts nothing any more')
      await direct.stop()
      const {lost, stale} = await verifyOn(bed, bed.target, table, direct)
      assert.deepEqual({lost, stale}, {lost: [], stale: []})
      await scene.close(result)
    },
    title: 'lesson 12: clients that name the metas of the source never follow; what they were told is on the target',
  },
  {
    options: {load: {deleteShare: 0.2}, rows: 8000},
    async play(scene) {
      const negative = (cluster: Scene['source']) =>
        cluster.servers
          .flatMap(({replicas}) => replicas)
          .some(({scans}) => (scans as unknown as {nextId: bigint}).nextId < 0n)
      const result = await scene.migrate(['migrated'], {verify: 'full'})
      assert.ok(negative(scene.source) && negative(scene.target))
      const {rowsCompared = 0, rowsCountedSource = 0} = result.verification ?? {}
      assert.ok(rowsCompared >= 8000, `${rowsCompared} rows were compared`)
      assert.ok(rowsCountedSource >= 8000 || rowsCountedSource === 0, `${rowsCountedSource} rows were counted`)
      await scene.close(result)
    },
    title: 'lesson 7: scan contexts with negative ids are read to their end',
  },
  {
    options: {load: false, overrides: {target: {mandatoryAuth: true}}},
    async play(scene) {
      const result = await scene.run()
      assert.equal(result.outcome, 'refused')
      assert.match(`${told(result)} ${result.checks.map(({evidence}) => evidence).join(' ')}`, /Kerberos/)
    },
    title: 'a cluster that demands Kerberos: said so, not "timeout"',
  },
  {
    options: {load: false},
    async play(scene) {
      const first = await snapshot(scene)
      const result = await scene.migrate(['dry-run'], {}, {dryRun: true})
      assert.deepEqual(await snapshot(scene), first)
      assert.deepEqual(
        scene.events.flatMap((event) => (event.type === 'effect' ? [event.state] : [])).filter((s) => s !== 'would'),
        [],
      )
      assert.ok(result.effects.length > 5)
      await scene.close(result)
    },
    title: '--dry-run changes nothing: neither cluster, nor ZooKeeper',
  },
]

/** Stops the run as a signal would. */
async function stopAt(scene: Scene, when: Parameters<Scene['at']>[0]): Promise<MigrationResult> {
  const controller = new AbortController()
  scene.at(when, () => controller.abort(new Error('stopped by the operator')))
  return scene.run({}, {signal: controller.signal})
}

const ends: Story[] = [
  {
    async play(scene) {
      const moments = {
        'in Preflight': beginOf('preflight'),
        'before the duplication': before('add-duplication'),
        'in DS_PREPARE': during('duplicate', PREPARING),
        'in DS_APP': during('duplicate', COPYING),
        'in Catch up': during('catch-up'),
        'in Verify': beginOf('verify'),
        'when the deny is set': before('deny'),
        'while the deny is proved': after('deny'),
        'in the drain': during('drain'),
        'when the duplication is paused': after('pause-duplication'),
      }
      for (const [when, moment] of Object.entries(moments)) {
        const result = await stopAt(scene, moment)
        assert.ok(['refused', 'stopped'].includes(result.outcome), `${when}: ${told(result)}`)
        assert.equal(scene.source.table(scene.table).info.envs.get(DENY_ENV), undefined, when)
        assert.equal(switchedEver(scene), false)
        await scene.untilWritable()
      }

      // From the commit point on there is only forward.
      const result = await stopAt(scene, after('switch-node'))
      assert.equal(result.outcome, 'migrated', told(result))
      await scene.close(result)
    },
    title:
      'I2: a run that is stopped in any phase leaves the table writable, and the next one goes on; after the switch it ends',
  },
  {
    async play(scene) {
      const denyTarget = (value: string | undefined) => {
        setDeny(scene, 'target', value)
        for (const server of scene.target.servers) server.configSync()
      }

      scene.at(before('deny'), () => denyTarget('reconfig*write'))
      scene.at(
        ({type}) => type === 'undo-started',
        () => denyTarget(undefined),
      )
      const maxWriteDenyMs = 30_000
      const result = await scene.migrate(['migrated'], {maxWriteDenyMs})
      assert.match(result.warnings.join(' '), /did not fit into --max-write-deny/)
      assert.equal(result.earlierWindows.length, 1)
      const {outages} = scene.load!.report()
      assert.equal(outages.length, 2, 'two times without writes')
      for (const {endMs, startMs} of outages) assert.ok(endMs! - startMs < maxWriteDenyMs, `${endMs! - startMs} ms`)
      await scene.close(result)
    },
    title: 'I7: the bound of the deny is kept: taken back in time, and tried again',
  },
  {
    async play(scene) {
      scene.at(beginOf('drain'), () => {
        for (const {address} of scene.target.servers) scene.target.setSilent(address, true)
      })
      const maxWriteDenyMs = 30_000
      const result = await scene.migrate(['stopped', 'cutover.bound'], {cutoverAttempts: 1, maxWriteDenyMs})
      assert.ok(result.writeDeny.windowMs! < maxWriteDenyMs, `${result.writeDeny.windowMs} ms`)
      await scene.close(result)
    },
    title: 'I7: the bound of the deny is kept when nothing helps: writes are allowed again',
  },
  {
    async play(scene) {
      const tooLow = await scene.migrate(['refused', 'preflight.refused'], {maxWriteDenyMs: 5000})
      assert.deepEqual(checksOf(tooLow), ['write-deny-bound'])
      const least = /at least (\d+)s/.exec(tooLow.checks.find(({id}) => id === 'write-deny-bound')!.remedy)
      const maxWriteDenyMs = 1000 * Number(least![1])
      const result = await scene.migrate(['migrated'], {cutoverAttempts: 1, maxWriteDenyMs})
      assert.ok(result.writeDeny.windowMs! < maxWriteDenyMs)
      await scene.close(result)
    },
    title: 'I7: the least bound that preflight allows is enough',
  },
]

sideBySide('traps of real servers (measured.md, product.md)', [
  ...order,
  ...denies,
  ...shipping,
  ...primaries,
  ...metas,
  ...clients,
  ...ends,
])
