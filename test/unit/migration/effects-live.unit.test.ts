import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import type {VersionCheck} from '../../../src/lib/metaproxy/store.js'
import {LiveEffects} from '../../../src/lib/migration/effects-live.js'
import {type Effect, effectKinds, type EffectOutcome} from '../../../src/lib/migration/effects.js'
import type {MigrationLock} from '../../../src/lib/migration/lock.js'
import {MetaFunctionLevel} from '../../../src/lib/rpc/structs/cluster.js'
import {DuplicationStatus} from '../../../src/lib/rpc/structs/duplication.js'
import {lost, RecordedClusters, refused} from '../../support/recorded-clusters.js'

const SERVER = '10.0.0.1:34801'
const deny = (value: string) => ({'replica.deny_client_request': value})
/** What a call to a meta is limited by: a minute for a leader, and the caller's signal. */
const leader = {patienceMs: 60_000, signal: 'ours'}
const server = {signal: 'ours'}
type Row = [effect: Effect, ...asked: unknown[][]]

const onSource: Row[] = [
  [{before: null, kind: 'deny', value: 'timeout*write'}, ['source setEnvs', 'users', deny('timeout*write'), leader]],
  [
    {before: null, kind: 'close-source', value: 'reconfig*all'},
    ['source setEnvs', 'users', deny('reconfig*all'), leader],
  ],
  [
    {before: null, kind: 'open-source-reads', value: 'reconfig*write'},
    ['source setEnvs', 'users', deny('reconfig*write'), leader],
  ],
  [{before: null, kind: 'lift-deny'}, ['source deleteEnvs', 'users', ['replica.deny_client_request'], leader]],
  [{before: 'timeout*read', kind: 'lift-deny'}, ['source setEnvs', 'users', deny('timeout*read'), leader]],
  [
    {dupid: 7, kind: 'pause-duplication'},
    ['source modifyDuplication', 'users', 7, {status: DuplicationStatus.DS_PAUSE}, leader],
  ],
  [
    {dupid: 7, kind: 'resume-duplication'},
    ['source modifyDuplication', 'users', 7, {status: DuplicationStatus.DS_LOG}, leader],
  ],
  [
    {dupid: 7, kind: 'remove-duplication'},
    ['source modifyDuplication', 'users', 7, {status: DuplicationStatus.DS_REMOVED}, leader],
  ],
  [
    {before: 'lively', kind: 'set-meta-level', level: 'steady', side: 'source'},
    ['source setMetaLevel', MetaFunctionLevel.fl_steady, leader],
  ],
  [
    {appId: 2, kind: 'trigger-checkpoint', server: SERVER},
    [`source ${SERVER} command`, 'replica.trigger-checkpoint', ['2'], server],
  ],
  [
    {before: '30000', kind: 'set-server-config', name: 'interval', server: SERVER, side: 'source', value: '1000'},
    [`source ${SERVER} updateConfig`, 'interval', '1000', server],
    [`source ${SERVER} config`, 'interval', server],
  ],
]

const onTarget: Row[] = [
  [
    {before: null, kind: 'deny-target', value: 'reconfig*write'},
    ['target setEnvs', 'users', deny('reconfig*write'), leader],
  ],
  [
    {before: null, kind: 'close-target', value: 'reconfig*all'},
    ['target setEnvs', 'users', deny('reconfig*all'), leader],
  ],
  [{before: null, kind: 'lift-target'}, ['target deleteEnvs', 'users', ['replica.deny_client_request'], leader]],
  [{before: 'timeout*read', kind: 'lift-target'}, ['target setEnvs', 'users', deny('timeout*read'), leader]],
  [
    {before: {one: '1', two: '2'}, keys: ['one', 'two'], kind: 'delete-target-envs'},
    ['target deleteEnvs', 'users', ['one', 'two'], leader],
  ],
  [
    {appId: 5, kind: 'drop-target-table', reserveSeconds: 604_800},
    ['target table', 'users', leader],
    ['target dropTable', 'users', {reserveSeconds: 604_800}, leader],
  ],
  [
    {before: 'steady', kind: 'set-meta-level', level: 'lively', side: 'target'},
    ['target setMetaLevel', MetaFunctionLevel.fl_lively, leader],
  ],
  [
    {before: '30000', kind: 'set-server-config', name: 'interval', server: SERVER, side: 'target', value: '1000'},
    [`target ${SERVER} updateConfig`, 'interval', '1000', server],
    [`target ${SERVER} config`, 'interval', server],
  ],
]

const bytes = '{"cluster_name":"b","meta_addrs":"10.0.1.9:34601"}'
const path = '/pegasus-metaproxy/users'
const onNode: Effect[] = [
  {before: '', beforeVersion: 4, bytes, kind: 'switch-node', path},
  {before: '', beforeVersion: 4, bytes, kind: 'switch-node-back', path},
  {beforeVersion: 4, bytes, kind: 'take-commit-away', path},
]

/** Clusters on which everything goes well. */
function clusters(): RecordedClusters {
  const made = new RecordedClusters()
  for (const side of ['source', 'target']) made.answers[`${side} ${SERVER} config`] = () => '1000'
  made.answers['target table'] = () => ({appId: 5})
  made.answers['store compareAndSet'] = () => ({version: 5})
  return made
}

function perform({abort, clock, options}: RecordedClusters, effect: Effect): Promise<EffectOutcome> {
  return clock.run(new LiveEffects(options).perform(effect, abort.signal))
}

describe('an effect that is carried out', () => {
  const add: Effect = {kind: 'add-duplication', remoteCluster: 'b'}

  it('is asked of nobody else, once, and gives nothing back', async () => {
    for (const [effect, ...asked] of [...onSource, ...onTarget]) {
      const made = clusters()
      assert.deepEqual(await perform(made, effect), {}, effect.kind)
      assert.deepEqual(made.asked, asked, effect.kind)
    }

    const seen = new Set([...onSource, ...onTarget].map(([{kind}]) => kind))
    assert.deepEqual(
      effectKinds.filter((kind) => !seen.has(kind)),
      [add.kind, ...onNode.map(({kind}) => kind)],
    )
  })

  it('touches nothing on a target that is not known', async () => {
    for (const [effect] of onTarget) {
      const made = clusters()
      made.knowsTarget = false
      await assert.rejects(perform(made, effect), {
        code: 'effect.no_target',
        message: 'the target cluster is not known: nothing there was touched',
      })
      assert.deepEqual(made.asked, [])
    }

    for (const [effect, ...asked] of onSource) {
      const made = clusters()
      made.knowsTarget = false
      await perform(made, effect)
      assert.deepEqual(made.asked, asked)
    }
  })

  it('tells what it met, and asks no more', async () => {
    for (const [effect, [question]] of [...onSource, ...onTarget] as [Effect, [string]][])
      for (const error of [lost, refused('ERR_INVALID_PARAMETERS')]) {
        const made = clusters()
        made.fails(question, error)
        await assert.rejects(perform(made, effect), error)
        assert.equal(made.asked.length, 1)
      }
  })

  describe('on the node of the table', () => {
    const asked = ['store compareAndSet', 'users', Buffer.from(bytes), 4, 'ours']

    it('sets the bytes where the version is still the one that was read', async () => {
      for (const effect of onNode) {
        const made = clusters()
        assert.deepEqual(await perform(made, effect), {nodeVersion: 5})
        assert.deepEqual(made.asked, [[...asked, []]])
      }
    })

    it('has the lock’s version checked in the same transaction', async () => {
      for (const check of [{path: `${path}/migration-lock-1`, version: 3}, undefined]) {
        const made = clusters()
        made.lock = {versionCheck: (): undefined | VersionCheck => check} as MigrationLock
        assert.deepEqual(await perform(made, onNode[0]!), {nodeVersion: 5})
        assert.deepEqual(made.asked, [[...asked, check ? [check] : []]])
      }
    })

    for (const code of ['zk.version_conflict', 'zk.outcome_unknown', 'zk.check_failed'])
      it(`is not sent again after ${code}: who asked must look first`, async () => {
        for (const effect of onNode) {
          const made = clusters()
          const error = new MigratorError(code, 'not as it was')
          made.fails('store compareAndSet', error)
          await assert.rejects(perform(made, effect), error)
          assert.equal(made.asked.length, 1)
        }
      })

    it('cannot be where there is no node', async () => {
      const made = clusters()
      made.hasStore = false
      await assert.rejects(perform(made, onNode[0]!), new TypeError('no metaproxy store'))
      assert.deepEqual(made.asked, [])
    })
  })

  describe('on a duplication', () => {
    const statuses = ['pause-duplication', 'remove-duplication', 'resume-duplication'] as const

    it('is tried each second while another change is being written', async () => {
      for (const kind of statuses) {
        const made = clusters()
        const atMs: number[] = []
        made.answers['source modifyDuplication'] = () => {
          atMs.push(made.clock.nowMs())
          if (atMs.length < 3) throw refused('ERR_BUSY')
        }

        assert.deepEqual(await perform(made, {dupid: 7, kind}), {})
        assert.deepEqual(atMs, [0, 1000, 2000])
        assert.equal(new Set(made.asked.map((one) => JSON.stringify(one))).size, 1)
      }
    })

    it('is given up when that takes longer than 30 s', async () => {
      const made = clusters()
      const busy = refused('ERR_BUSY')
      made.fails('source modifyDuplication', busy)
      await made.clock.advance(5000)
      await assert.rejects(perform(made, {dupid: 7, kind: 'pause-duplication'}), busy)
      assert.deepEqual([made.clock.nowMs(), made.asked.length], [5000 + 31_000, 32])
    })

    it('ends at once when it is told to, between two tries', async () => {
      const made = clusters()
      made.fails('source modifyDuplication', refused('ERR_BUSY'))
      const why = new Error('Ctrl-C')
      made.clock.setTimer(1500, () => made.abort.abort(why))
      await assert.rejects(perform(made, {dupid: 7, kind: 'pause-duplication'}), why)
      assert.deepEqual([made.clock.nowMs(), made.asked.length], [1500, 2])
    })

    it('takes one that is not there for removed, and for nothing else', async () => {
      const gone = refused('ERR_OBJECT_NOT_FOUND')
      for (const kind of statuses) {
        const made = clusters()
        made.fails('source modifyDuplication', gone)
        const performed = perform(made, {dupid: 7, kind})
        if (kind === 'remove-duplication') assert.deepEqual(await performed, {})
        else await assert.rejects(performed, gone)
        assert.equal(made.asked.length, 1)
      }
    })
  })
})
