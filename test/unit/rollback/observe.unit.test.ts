import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {observe} from '../../../src/lib/migration/rollback/observe.js'
import type {RollbackRequest} from '../../../src/lib/migration/rollback/request.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {DENY, FIRST, SECOND} from '../../support/scripted-migration.js'
import {META, ScriptedObservation, TARGET_META} from '../../support/scripted-observation.js'

const MASTER = 'duplication.master_cluster'
const passing = () => new MigratorError('meta.error', 'no leader')
const found = (look: ScriptedObservation, asked: Partial<RollbackRequest> = {}) =>
  look.script.run(observe(look.options(asked)))
const metas = {targetMetas: [TARGET_META]}
const duplicating = {dupid: 7, kind: 'duplication'}
const lowered = {
  before: '30000',
  kind: 'set-server-config',
  name: 'config_sync_interval_ms',
  server: FIRST,
  side: 'source',
  value: '1000',
}

/** The table is duplicated to `b`. */
function shipping(): ScriptedObservation {
  const look = new ScriptedObservation()
  look.script.source.status = DuplicationStatus.DS_LOG
  return look
}

describe('what a rollback finds', () => {
  it('is a table that nobody ever moved', async () => {
    const look = new ScriptedObservation()
    assert.deepEqual(await found(look), {
      hints: {settings: []},
      view: {
        appId: 2,
        generation: '2.5',
        node: {side: 'unknown'},
        otherRemotes: [],
        partitionCount: 2,
        settings: [],
        source: {cluster: 'a', metas: [META]},
        timers: {configSyncMs: 20_000, groupCheckMs: 5000},
      },
    })
    assert.deepEqual([look.clusters, look.stores, look.script.events], [[[META]], [], []])
  })

  it('is a migration in full', async () => {
    const look = shipping()
    const {script} = look
    const begin = {...metas, metaproxyHosts: 'zk:2181', root: '/pegasus-metaproxy'}
    await look.journal([duplicating, {effect: lowered, kind: 'before'}], 'b', begin)
    look.tables('source', {[DENY]: 'reconfig*write'})
    look.tables('target', {[MASTER]: 'a'})
    look.generation = 'master'
    const {hints, journal, metaproxy, store, view} = await found(look)
    assert.deepEqual(view, {
      appId: 2,
      deny: 'reconfig*write',
      entry: {createTsMs: 0, dupid: 7, remote: 'b', status: DuplicationStatus.DS_LOG},
      generation: 'master',
      journal: {dupid: 7, handedOver: false},
      node: {record: script.node, side: 'source'},
      otherRemotes: [],
      partitionCount: 2,
      settings: [lowered],
      source: {cluster: 'a', metas: [META]},
      target: {
        cluster: 'b',
        metas: [TARGET_META],
        table: {appId: 5, followerEnvs: {[MASTER]: 'a'}, partitionCount: 2},
      },
      timers: {configSyncMs: 20_000, groupCheckMs: 5000},
    })
    assert.deepEqual([hints.settings, hints.dupid], [[lowered], 7])
    assert.equal(hints, journal!.hints)
    assert.deepEqual(metaproxy, {hosts: 'zk:2181', root: '/pegasus-metaproxy'})
    assert.deepEqual(look.stores, [metaproxy])
    assert.equal(store, script.context.store)
    assert.ok(!script.asked.includes('source dump'), 'the long configuration is not asked for')
  })

  it('is asked for quickly where it decides nothing', async () => {
    const look = new ScriptedObservation()
    await found(look)
    assert.equal(look.limits.get('listDuplications')!.timeoutMs, 2000)
    assert.equal(look.limits.get('info')!.timeoutMs, undefined)
  })

  describe('in the journals', () => {
    it('is that of this table, whatever else there is', async () => {
      const look = new ScriptedObservation()
      await look.journal([duplicating], 'b', metas, 'orders')
      assert.equal((await found(look)).journal, undefined)
    })

    it('is that of the duplication which is there, before a later one', async () => {
      const look = shipping()
      await look.journal([], 'b')
      await look.script.clock.advance(1000)
      await look.journal([], 'c')
      assert.equal((await found(look)).journal!.targetCluster, 'b')
      look.script.source.status = undefined
      assert.equal((await found(look)).journal!.targetCluster, 'c')
    })

    it('is that of the target which the operator names', async () => {
      const look = shipping()
      await look.journal([], 'b')
      await look.journal([], 'c')
      assert.equal((await found(look, {targetCluster: 'c'})).journal!.targetCluster, 'c')
      assert.equal((await found(look, {targetCluster: 'd'})).journal, undefined)
    })

    it('is none of a migration away from another cluster', async () => {
      const look = new ScriptedObservation()
      await look.journal([], 'b', {sourceCluster: 'z'})
      assert.equal((await found(look)).journal, undefined)
    })

    it('is told where it cannot be read', async () => {
      const look = new ScriptedObservation()
      await look.journal([], 'b', {version: 999})
      assert.equal((await found(look)).journal, undefined)
      assert.deepEqual(look.script.events, [
        {
          code: 'journal.newer',
          message: 'a journal could not be read: journal /journals/users@b.jsonl was written by a newer version (999)',
          type: 'warning',
        },
      ])
    })
  })

  describe('of the metaproxy node', () => {
    const zooKeeperRoot = '/root'

    it('is looked for on the hosts of the flags, else of the journal, else of the source', async () => {
      const look = new ScriptedObservation()
      await found(look, {zooKeeperHosts: 'flag:2181', zooKeeperRoot})
      await found(look, {zooKeeperRoot})
      await found(look, {zooKeeperHosts: 'flag:2181'})
      await look.journal([], 'b', {metaproxyHosts: 'journal:2181', root: '/journal'})
      await found(look)
      await found(look, {zooKeeperHosts: 'flag:2181', zooKeeperRoot})
      assert.deepEqual(look.stores, [
        {hosts: 'flag:2181', root: '/root'},
        {hosts: 'source-zk:2181', root: '/root'},
        {hosts: 'journal:2181', root: '/journal'},
        {hosts: 'flag:2181', root: '/root'},
      ])
    })

    it('is that there is none', async () => {
      const look = new ScriptedObservation()
      look.script.failing('node users', 1, new MigratorError('zk.no_node', 'there is no node'))
      const {store, view} = await found(look, {zooKeeperRoot})
      assert.deepEqual(view.node, {side: 'absent'})
      assert.ok(store)
    })

    it('is insisted on', async () => {
      const look = new ScriptedObservation()
      look.script.failing('node users', 1, new MigratorError('zk.timeout', 'no answer'))
      assert.equal((await found(look, {zooKeeperRoot})).view.node.side, 'source')
      assert.deepEqual(look.script.words, [
        'ALARM: users may still be write-denied; looking at the metaproxy node; nothing is lifted before: no answer; trying again',
      ])
    })

    it('is the end where it cannot be had', async () => {
      const look = new ScriptedObservation()
      look.script.failing('node users', 1, new TypeError('a bug'))
      await assert.rejects(found(look, {zooKeeperRoot}), TypeError)
    })

    for (const [side, cluster, address] of [
      ['source', 'a', 'elsewhere:1'],
      ['source', 'renamed', META],
      ['source', 'renamed', '10.0.0.8:34601'],
      ['target', 'b', 'elsewhere:1'],
      ['target', 'renamed', TARGET_META],
      ['other', 'c', 'elsewhere:1'],
    ] as const) {
      it(`is that it names ${cluster} at ${address}: ${side}`, async () => {
        const look = shipping()
        look.script.node.data = {clusterName: cluster, metaAddresses: [address]}
        const {view} = await found(look, {...metas, zooKeeperRoot})
        assert.equal(view.node.side, side)
      })
    }

    it('is the source by its metas where nothing tells of a target, whatever master duplicates as', async () => {
      const look = new ScriptedObservation()
      look.script.node.data = {clusterName: 'renamed', metaAddresses: [META]}
      const {view} = await found(look, {adopt: true, zooKeeperRoot})
      assert.deepEqual([view.node.side, view.target], ['source', undefined])
    })

    it('is the source by any of the metas that were given', async () => {
      const look = shipping()
      look.script.node.data = {clusterName: 'renamed', metaAddresses: ['given:1']}
      const {view} = await found(look, {sourceMetas: [META, 'given:1'], zooKeeperRoot})
      assert.deepEqual([view.node.side, view.source.metas], ['source', [META, 'given:1']])
    })
  })

  describe('of the target', () => {
    it('is what a duplication leads to, at the metas that the source has of it', async () => {
      const look = shipping()
      look.dump.set('pegasus.clusters b', TARGET_META)
      const {target} = (await found(look)).view
      assert.deepEqual(target, {
        cluster: 'b',
        metas: [TARGET_META],
        table: {appId: 5, followerEnvs: {}, partitionCount: 2},
      })
    })

    it('is a name alone where nobody knows its metas', async () => {
      const trouble = 'nobody knows its metas, say them with -m'
      assert.deepEqual((await found(shipping())).view.target, {cluster: 'b', metas: [], trouble})
    })

    it('is nothing of several duplications that nobody names', async () => {
      const look = shipping()
      look.script.source.others = [{dupid: 8, remote: 'c'}]
      const unnamed = (await found(look, metas)).view
      assert.deepEqual([unnamed.target, unnamed.entry, unnamed.otherRemotes], [undefined, undefined, ['b', 'c']])

      const named = (await found(look, {...metas, targetCluster: 'c'})).view
      assert.deepEqual([named.target!.cluster, named.entry!.dupid, named.otherRemotes], ['c', 8, ['b']])

      await look.journal([], 'c', metas)
      const known = (await found(look)).view
      assert.deepEqual([known.target!.cluster, known.entry!.dupid, known.otherRemotes], ['c', 8, ['b']])
      const flags = (await found(look, {...metas, targetCluster: 'b'})).view
      assert.deepEqual([flags.target!.cluster, flags.entry!.dupid, flags.otherRemotes], ['b', 7, ['c']])
    })

    it('is what the node names where nothing else is left', async () => {
      const look = new ScriptedObservation()
      look.script.node.data = {clusterName: 'b', metaAddresses: [TARGET_META]}
      const {entry, node, target} = (await found(look, {zooKeeperRoot: '/root'})).view
      assert.deepEqual([entry, node.side, target!.cluster, target!.metas], [undefined, 'target', 'b', [TARGET_META]])
    })

    it('is named by the operator where nothing else is left', async () => {
      const look = new ScriptedObservation()
      const {target} = (await found(look, {...metas, targetCluster: 'b'})).view
      assert.equal(target!.table!.appId, 5)
      assert.ok(!look.script.asked.includes('source dump'), 'it follows nobody')
    })

    it('is a follower of another name of the source, which its configuration tells', async () => {
      const look = shipping()
      look.tables('target', {[MASTER]: 'a-dup'})
      look.dump.set('replication dup_cluster_name', 'a-dup')
      assert.deepEqual((await found(look, metas)).view.source, {cluster: 'a', duplicatesAs: 'a-dup', metas: [META]})
      look.dump.clear()
      assert.deepEqual((await found(look, metas)).view.source, {cluster: 'a', metas: [META]})
      look.script.failing('source leader', 1, passing())
      assert.deepEqual((await found(look, metas)).view.source, {cluster: 'a', metas: [META]})
    })
  })

  it('has settings that no journal knows, besides those that one knows', async () => {
    const look = new ScriptedObservation()
    const {source} = look.script
    await look.journal([{effect: lowered, kind: 'before'}])
    source.config.set('config_sync_interval_ms', '1000')
    source.configured.set('config_sync_interval_ms', '30000')
    const {view} = await found(look)
    assert.deepEqual(view.settings, [lowered, {...lowered, server: SECOND}])
  })

  describe('of the source', () => {
    for (const [question, what] of [
      ['source info', 'reading the source'],
      ['source tables', 'reading the table'],
    ] as const) {
      it(`is insisted on: ${what}`, async () => {
        const look = new ScriptedObservation()
        look.script.failing(question, 1, passing())
        assert.equal((await found(look)).view.appId, 2)
        assert.equal(look.script.clock.nowMs(), 2000)
        assert.deepEqual(look.script.words, [
          `ALARM: users may still be write-denied; ${what}: no leader; trying again`,
        ])

        const never = new ScriptedObservation()
        never.script.failing(question, 1000, passing())
        await assert.rejects(found(never, {limitMs: 20_000}), {code: 'meta.error'})
        assert.equal(never.script.clock.nowMs(), 22_000)
      })
    }

    it('is that it has no such table', async () => {
      const look = new ScriptedObservation()
      look.tables('source', undefined)
      await assert.rejects(found(look), {code: 'rollback.no_table', message: 'the source has no table users'})
    })

    it('ends with the operator who leaves, whatever is asked just then', async () => {
      for (const question of ['source info', 'source listDuplications', 'node users', 'source dump', 'target tables']) {
        const look = shipping()
        look.script.onAsk = (asked) => {
          if (asked !== question) return
          look.script.abort.abort(new Error('Ctrl-C'))
          throw passing()
        }

        look.dump.set('pegasus.clusters b', TARGET_META)
        await assert.rejects(found(look, {zooKeeperRoot: '/root'}), /Ctrl-C/, question)
      }
    })
  })
})
