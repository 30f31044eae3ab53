import assert from 'node:assert/strict'

import {sleep} from '../../src/lib/clock.js'
import type {MigrationEvent, MigrationRequest, MigrationResult, Outcome} from '../../src/lib/migration/index.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {TestClient} from '../sandbox/test-client.js'
import {Operation, type Verdict, ZooKeeperTap} from '../support/zookeeper-tap.js'
import {nodeOf} from './invariants.js'
import {
  addForeign,
  checksOf,
  deniedEver,
  duplicationOf,
  nameInNode,
  rewriteNode,
  setDeny,
  switchedEver,
} from './meddling.js'
import {after, before, beginOf, during, endOf} from './moments.js'
import {type Scene, told} from './scene.js'
import {sideBySide, type Story} from './side-by-side.js'

const {DS_LOG} = DuplicationStatus

const preflightOfDuplication: Story[] = [
  {
    async play(scene) {
      addForeign(scene, true)
      const dupid = duplicationOf(scene).dupid
      const result = await scene.migrate(['refused', 'preflight.refused'])
      assert.ok(checksOf(result).includes('foreign-duplication'))
      assert.equal(duplicationOf(scene).dupid, dupid, "somebody else's duplication is left alone")
      await scene.close(result)
    },
    title: 'entry 1: a duplication that exists already is found before anything is changed',
  },
  {
    async play(scene) {
      // Straight to DS_LOG, in the moment between our look and our add: the meta says ERR_OK with dupid 0 to ours.
      scene.at(before('add-duplication'), () => addForeign(scene, false))
      const result = await scene.migrate(['stopped', 'duplicate.exists'])
      assert.match(result.error!.message, /dupid 0/)
      assert.equal(deniedEver(scene), false)
      await scene.close(result)
    },
    title: 'entry 1: ERR_OK with dupid 0 is not taken for a duplication of ours',
  },
  {
    async play(scene) {
      scene.at(beginOf('duplicate'), () => addForeign(scene, false))
      const result = await scene.migrate(['stopped', 'duplicate.exists'])
      assert.equal(deniedEver(scene), false)
      await scene.close(result)
    },
    title: 'entry 1: a duplication that somebody made after preflight is not adopted unasked',
  },
  {
    async play(scene) {
      await scene.target.createTable(scene.table, {partitionCount: 4, replicaCount: 3})
      const server = scene.target.servers[1]!.address
      scene.target.removeDuplicationConfig(server, scene.source.name)
      const result = await scene.migrate(['refused', 'preflight.refused'])
      assert.ok(checksOf(result).includes('target-table'))
      assert.ok(checksOf(result).includes('target-knows-source'))
      await scene.close(result)
    },
    title:
      'entry 1: a table in the way and a target that does not know the source are found before anything is changed',
  },
  {
    options: {replicaCount: 1},
    async play(scene) {
      const result = await scene.migrate(['refused', 'preflight.refused'])
      assert.ok(checksOf(result).includes('target-servers'))
      await scene.close(result)
    },
    title: 'entry 1: a table with one replica, whose duplication would never be complete, is refused on 2.5',
  },
]

/** Ways in which nothing is shipped any more, and no counter says so. */
const standstills: [string, (scene: Scene) => Promise<unknown> | void][] = [
  ['the target refuses them', (scene) => setDeny(scene, 'target', 'reconfig*write')],
  ['the target table was dropped', ({bed, table}) => bed.target.dropTable(table, {reserveSeconds: 0})],
  [
    'the target servers are down',
    ({target}) => Promise.all(target.servers.map(({address}) => target.killServer(address))),
  ],
  [
    'somebody paused the duplication',
    (scene) => {
      scene.source.hazards.crashWhenStoppedUnderLoad = false
      assert.equal(duplicationOf(scene).alter(DuplicationStatus.DS_PAUSE), 'ERR_OK')
    },
  ],
]

const completion: Story[] = [
  {
    // The checkpoint takes a minute, and all the while only a few mutations are pending.
    options: {overrides: {source: {checkpointMs: 60_000}}},
    async play(scene) {
      let addedAtMs = 0
      scene.at(after('add-duplication'), ({atMs}) => {
        addedAtMs = atMs
      })
      scene.at(before('deny'), ({atMs}) => {
        assert.equal(duplicationOf(scene).status, DS_LOG)
        const {info} = scene.source.table(scene.table)
        const primaries = scene.source.servers.flatMap(({replicas}) =>
          replicas.filter(({isPrimary, pid}) => isPrimary && pid.appId === info.appId),
        )
        assert.equal(primaries.length, info.partitionCount)
        for (const {duplicators} of primaries) assert.ok([...duplicators.values()].every((d) => d.duplicating))
        assert.ok(atMs - addedAtMs > 60_000)
      })
      const result = await scene.migrate(['migrated'], {thresholdMutations: 1_000_000})
      await scene.close(result)
    },
    title: 'entry 2: writes are not denied before DS_LOG, however few mutations are pending in DS_PREPARE and DS_APP',
  },
  ...standstills.map(([what, trouble]): Story => ({
    async play(scene) {
      // As late as can be: the deny is set, and nothing that was written last is shipped yet.
      scene.at(before('deny'), async () => {
        await trouble(scene)
        for (const server of scene.target.servers) server.configSync()
      })
      const result = await scene.run({cutoverAttempts: 1})
      assert.equal(result.outcome, 'stopped', told(result))
      assert.equal(switchedEver(scene), false)
      await scene.close(result)
    },
    title: `entry 3: no mutation is shipped and none is pending by rate: ${what}; nothing is switched, writes go on`,
  })),
]

const ids: Story[] = [
  {
    async play(scene) {
      const {bed, source, table, target} = scene
      const {appId} = source.table(table).info
      // Tables whose ids begin with the same digits, on both sides, with writes of every kind.
      const sameDigits = async (cluster: typeof source, id: number, name: string) => {
        while (cluster.state.tables.size < 10 * id) {
          const filler = `filler${cluster.state.tables.size}`
          await cluster.createTable(filler, {partitionCount: 1, ready: false, replicaCount: 3})
        }

        const longer = await cluster.createTable(name, {partitionCount: 2, replicaCount: 3})
        assert.ok(String(longer).startsWith(String(id)) && longer !== id)
      }

      await sameDigits(source, appId, 'longer')
      const client = new TestClient(bed.sandbox, bed.clock)
      let busy = true
      const write = async (cluster: typeof source, name: string) => {
        for (let i = 0; busy; i++) {
          await client.put(cluster, name, `key${i % 50}`, `${i}`)
          await client.outcome(client.checkAndSet(cluster, name, 'counter'))
          await sleep(bed.clock, 100)
        }
      }

      const writing = [write(source, 'longer')]
      scene.at(beginOf('catch-up'), async () => {
        await sameDigits(target, target.table(table).info.appId, 'longer')
        writing.push(write(target, 'longer'))
      })
      try {
        // Its rates are in the servers' counters when preflight looks for atomic writes of ours.
        await scene.until('counters of the other table', () =>
          source.servers.some(
            ({counters}) => counters.find((name) => name.includes(`check_and_set_qps@${appId}`)).length > 0,
          ),
        )
        const result = await scene.migrate(['migrated'])
        assert.equal(result.checks.find(({id}) => id === 'atomic-writes')?.severity, 'ok')
        await scene.close(result)
      } finally {
        busy = false
        await Promise.all(writing)
        client.close()
      }
    },
    title: 'entry 4: other tables under load whose ids begin with the same digits do not matter',
  },
]

const denyProof: Story[] = [
  {
    async play(scene) {
      const deaf = scene.source.servers[0]!.address
      scene.at(before('deny'), () => scene.source.stopTicks(deaf))
      const result = await scene.migrate(['stopped', 'deny.not_proved'], {cutoverAttempts: 1})
      assert.ok(result.error!.message.includes(deaf), result.error!.message)
      await scene.close(result)
    },
    title: 'entry 5: one server never hears of the deny and goes on to accept writes: it is named, nothing is switched',
  },
  {
    options: {load: {operationTimeoutMs: 6000, writers: 16, writesPerSecond: 80}},
    async play(scene) {
      // What was accepted just before the deny is acknowledged seconds after it.
      scene.at(before('deny'), () => {
        for (const {address} of scene.source.servers) scene.source.setPrepareDelay(address, 2500)
      })
      let provedAtMs = Number.POSITIVE_INFINITY
      scene.at(endOf('deny'), () => {
        provedAtMs = scene.bed.clock.nowMs()
      })
      const result = await scene.migrate(['migrated'])
      assert.ok(
        scene.load!.ledger.history.some(({atMs}) => atMs > provedAtMs && atMs < provedAtMs + 3000),
        'writes were acknowledged after the proof',
      )
      await scene.close(result)
    },
    title: 'entry 5: writes that were still being prepared when the deny came are waited for',
  },
]

/** Between the run and ZooKeeper stands something that meddles with the writes. */
async function throughTap(scene: Scene, verdict: Verdict, expected: [Outcome, string?]): Promise<MigrationResult> {
  let meddling = false
  const tap = await ZooKeeperTap.start(scene.bed.zookeeper, (operation) =>
    meddling && operation === Operation.multi ? verdict : 'pass',
  )
  scene.at(before('switch-node'), () => {
    meddling = true
  })
  try {
    const heal = (event: MigrationEvent) => event.type === 'undo-started'
    if (expected[0] !== 'migrated')
      scene.at(heal, () => {
        meddling = false
      })
    return await scene.migrate(expected, {
      cutoverAttempts: 1,
      metaproxy: {hosts: tap.address, root: scene.bed.root},
    })
  } finally {
    await tap.close()
  }
}

const takenBack: Story[] = [
  {
    async play(scene) {
      scene.at(before('pause-duplication'), () => scene.source.ignoreCalls('RPC_CM_MODIFY_DUPLICATION', {count: 1000}))
      const result = await scene.run({cutoverAttempts: 1})
      assert.equal(result.outcome, 'stopped', told(result))
      scene.source.faults.clear()
      await scene.close(result)
    },
    title: 'entry 6: the duplication cannot be paused: writes are allowed again',
  },
  {
    async play(scene) {
      scene.at(after('pause-duplication'), () => setDeny(scene, 'target', 'reconfig*write'))
      const result = await scene.migrate(['stopped', 'target.unfit'], {cutoverAttempts: 1})
      assert.equal(duplicationOf(scene).status, DS_LOG, 'it ships again')
      await scene.close(result)
    },
    title:
      'entry 6: the target cannot serve any more just before the switch: writes are allowed again, shipping goes on',
  },
  {
    async play(scene) {
      scene.at(endOf('deny'), () => rewriteNode(scene))
      const result = await scene.migrate(['stopped', 'switch.node_moved'], {cutoverAttempts: 1})
      assert.equal((await nodeOf(scene)).meta_addrs, [...scene.source.metas].reverse().join(','), 'theirs was kept')
      await scene.close(result)
    },
    title: 'entry 6: another operator changed the node meanwhile: it is not overwritten, writes are allowed again',
  },
  {
    async play(scene) {
      // Once nothing is shipped any more: earlier, what clients write on the target would be overwritten.
      scene.at(after('pause-duplication'), () => {
        scene.target.delayReplies('RPC_CM_LIST_APPS', 5000)
        return nameInNode(scene, scene.target)
      })
      const result = await scene.migrate(['migrated'], {cutoverAttempts: 1})
      assert.ok(
        scene.events.some((event) => event.type === 'warning' && event.code === 'switch.turned_out'),
        told(result),
      )
      await scene.close(result)
    },
    title:
      'entry 6: another operator switched the node meanwhile: nothing is lifted, it goes on from there and says so',
  },
  {
    async play(scene) {
      await scene.close(await throughTap(scene, 'lose-reply', ['migrated']))
    },
    title: 'entry 6: the answer of the switch is lost: it is looked up, not guessed',
  },
  {
    async play(scene) {
      await scene.close(await throughTap(scene, 'hold', ['stopped', 'zk.outcome_unknown']))
    },
    title: 'entry 6: nobody knows whether the switch took place: it is made impossible, then writes are allowed again',
  },
  {
    async play(scene) {
      const result = await scene.migrate(['stopped', 'switch.not_moved'], {metaproxy: undefined, proxies: []})
      assert.equal(duplicationOf(scene).status, DS_LOG)
      await scene.close(result)
    },
    title: 'entry 6: without -r writes are not left denied: the drain ends with --after-drain lift',
  },
  {
    async play(scene) {
      scene.at(after('close-source'), () => nameInNode(scene, scene.target))
      const request: Partial<MigrationRequest> = {afterDrain: 'ask', metaproxy: undefined, proxies: []}
      await scene.close(await scene.migrate(['migrated'], request, {askMoved: () => 'moved'}))
    },
    title: 'entry 6: without -r the operator moves the applications, and the source refuses them from then on',
  },
  {
    async play(scene) {
      scene.at(after('pause-duplication'), () => scene.target.killMeta(0))
      const result = await scene.run({cutoverAttempts: 1})
      assert.equal(result.outcome, 'stopped', told(result))
      await scene.close(result)
    },
    title: 'entry 8: the metas of the target die before the switch: the source is not left denied',
  },
]

const zookeeper: Story[] = [
  {
    async play(scene) {
      const hosts = `127.0.0.1:1,${scene.bed.zookeeper}`
      await scene.close(await scene.migrate(['migrated'], {metaproxy: {hosts, root: scene.bed.root}}))
    },
    title: 'entry 7: ZooKeeper has several hosts and the first one is dead',
  },
  {
    async play(scene) {
      const {metas} = scene.bed.target
      const refused = async (request: Parameters<Scene['run']>[0], check: string) => {
        const result = await scene.migrate(['refused', 'preflight.refused'], request)
        assert.ok(checksOf(result).includes(check), told(result))
        return result
      }

      await refused({targetCluster: 'onebox3'}, 'target-cluster')
      await refused({targetMetas: scene.source.metas}, 'target-cluster')
      await refused({targetMetas: [...metas, scene.source.metas[0]!]}, 'target-metas')
      await refused({targetCluster: scene.source.name, targetMetas: scene.source.metas}, 'different-clusters')
      const result = await refused({metaproxy: {hosts: scene.bed.zookeeper, root: '/nowhere'}}, 'metaproxy-node')
      assert.deepEqual(
        scene.events.filter(({type}) => type === 'effect'),
        [],
      )
      await scene.close(result)
    },
    title:
      'entries 9 and 10: a wrong target name, metas of another cluster and a missing node are found before anything is changed',
  },
  {
    options: {overrides: {target: {name: 'b"\\ü'}}},
    async play(scene) {
      const result = await scene.migrate(['migrated'])
      const {cluster_name: name, meta_addrs: addresses} = await nodeOf(scene)
      assert.equal(name, 'b"\\ü')
      // metaproxy refuses a single address; the same one twice serves a cluster with one meta.
      assert.equal(addresses, [...scene.target.metas, ...scene.target.metas].join(','))
      await scene.bed.metaproxy.restart()
      await scene.close(result)
    },
    title:
      'entry 13: a cluster name that needs escaping, and a target with one meta, make a node that metaproxy can read',
  },
  {
    async play(scene) {
      scene.at(before('close-source'), () =>
        scene.source.failCall('RPC_CM_UPDATE_APP_ENV', 'ERR_TIMEOUT', {count: 100_000}),
      )
      const first = await scene.run({denyMode: 'timeout'})
      assert.equal(first.outcome, 'switched-unfinished', told(first))
      assert.match(first.next ?? '', /again/)
      const order = scene.events.flatMap((event) =>
        event.type === 'effect' && event.state === 'begin' ? [event.effect.kind] : [],
      )
      assert.ok(order.indexOf('pause-duplication') < order.indexOf('switch-node'))
      assert.ok(order.indexOf('switch-node') < order.indexOf('close-source'))
      scene.source.faults.clear()
      await scene.close(await scene.migrate(['migrated'], {denyMode: 'timeout'}))
    },
    title:
      'entry 14: the node is switched, then the source is closed; when that fails the next run does it, and cleans up',
  },
]

const servers: Story[] = [
  {
    options: {partitionCount: 1, servers: 5},
    async play(scene) {
      const {source, table} = scene
      const {memberships} = source.table(table)
      const hosts = memberships.flatMap(({primary, secondaries}) => [primary, ...secondaries])
      const others = source.servers.map(({address}) => address).filter((address) => !hosts.includes(address))
      assert.equal(others.length, 2)
      await source.killServer(others[0]!)
      const result = await scene.migrate(['migrated'])
      assert.deepEqual([...scene.asked.get('GET /replica/data_version')!].sort(), [...hosts].sort())
      await scene.close(result)
    },
    title: 'entry 15: dead servers and servers without a replica do not matter to the data version',
  },
  {
    async play(scene) {
      scene.source.setDataVersion(scene.table, 0)
      const result = await scene.migrate(['refused', 'preflight.refused'])
      assert.deepEqual(checksOf(result), ['data-version'])
      assert.match(result.error!.message, /not support migrate table with data_version = 0 by duplication/)
      await scene.close(result)
    },
    title: 'entry 15: a table of data version 0 is refused in the words that operators know',
  },
  {
    async play(scene) {
      const third = scene.source.servers[2]!.address
      scene.at(endOf('duplicate'), async () => {
        await scene.source.killServer(third)
        await scene.source.startServer(third)
      })
      await scene.close(await scene.migrate(['migrated']))
    },
    title:
      'entry 17: a source server is restarted in the middle: it is watched again, and not the end of the migration',
  },
  {
    async play(scene) {
      const third = scene.source.servers[2]!.address
      scene.at(endOf('duplicate'), () => scene.source.killServer(third))
      scene.at(during('drain'), () => scene.source.startServer(third))
      const result = await scene.migrate(['migrated'])
      await scene.close(result)
    },
    title: 'entry 17: a source server dies after the duplication was made, and comes back during the drain',
  },
  {
    options: {profile: 'master'},
    async play(scene) {
      const counters = await scene.bed.source.server(scene.source.servers[0]!.address).counters('dup')
      assert.equal(counters.size, 0)
      await scene.close(await scene.migrate(['migrated']))
    },
    title: 'entry 20: servers without perf counters for duplications (master)',
  },
  {
    options: {profile: {source: '2.5', target: 'master'}},
    async play(scene) {
      await scene.close(await scene.migrate(['migrated']))
    },
    title: 'entry 20: from 2.5 to master',
  },
]

sideBySide('faults of the tool that this one replaces (protocol.md §10)', [
  ...preflightOfDuplication,
  ...completion,
  ...ids,
  ...denyProof,
  ...takenBack,
  ...zookeeper,
  ...servers,
])
