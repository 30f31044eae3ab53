import assert from 'node:assert/strict'

import {isMigratorError} from '../../../src/lib/errors.js'
import {formatNodeData} from '../../../src/lib/metaproxy/node-data.js'
import {lockLost} from '../../../src/lib/metaproxy/shared-lock.js'
import type {VersionCheck} from '../../../src/lib/metaproxy/store.js'
import {JournaledEffects} from '../../../src/lib/migration/effects-journaled.js'
import {LiveEffects} from '../../../src/lib/migration/effects-live.js'
import type {Effect} from '../../../src/lib/migration/effects.js'
import type {MigrationLock} from '../../../src/lib/migration/lock.js'
import {MemoryNodes} from '../../sandbox/memory-nodes.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'

const {signal} = new AbortController()
const deny: Effect = {before: null, kind: 'deny', value: 'reconfig*write'}
const lift: Effect = {before: null, kind: 'lift-deny'}

class FakeLock implements MigrationLock {
  asked: string[] = []
  check_: VersionCheck | undefined
  lost = false
  readonly token = 'token'

  async check(): Promise<void> {
    this.asked.push('check')
    if (this.lost) throw lockLost('t', 'its session expired')
  }

  async regain(): Promise<void> {
    this.asked.push('regain')
  }

  async release(): Promise<void> {
    this.asked.push('release')
  }

  versionCheck(): undefined | VersionCheck {
    return this.check_
  }
}

describe('effects under a lock', () => {
  it('stop before anything happens once the lock is lost; what mends goes on', async () => {
    const lock = new FakeLock()
    const happened: string[] = []
    const inner = {
      async perform({kind}: Effect) {
        happened.push(`effect ${kind}`)
        return {}
      },
    }
    const journal = {
      async write({kind}: {kind: string}) {
        happened.push(`journal ${kind}`)
      },
    }
    const effects = new JournaledEffects(inner, journal, 't', () => {}, lock)
    await effects.perform(deny, signal)
    lock.lost = true
    await assert.rejects(effects.perform(deny, signal), (error) => isMigratorError(error, 'lock.lost'))
    await effects.perform(lift, signal)
    const one = (kind: string) => ['journal before', `effect ${kind}`, 'journal after']
    assert.deepEqual(happened, [...one('deny'), ...one('lift-deny')])
    assert.deepEqual(lock.asked, ['check', 'check', 'regain'])
  })

  it('switch the node only together with the lock, in one transaction', async () => {
    const nodes = new MemoryNodes('/r')
    const [here, there] = [formatNodeData('a', ['x:1', 'y:1']), formatNodeData('b', ['z:1'])]
    nodes.put('/r/t', here)
    nodes.put('/r/t/migration-lock-1', '')
    const lock = new FakeLock()
    lock.check_ = {path: '/r/t/migration-lock-1', version: 0}
    const live = new LiveEffects({
      clock: new VirtualClock(),
      lock,
      source: undefined as never,
      store: nodes,
      table: 't',
      target: undefined,
    })
    const write = (beforeVersion: number, bytes: Buffer): Effect => ({
      before: '',
      beforeVersion,
      bytes: bytes.toString(),
      kind: 'switch-node',
      path: '/r/t',
    })
    assert.deepEqual(await live.perform(write(0, there), signal), {nodeVersion: 1})
    nodes.remove('/r/t/migration-lock-1')
    await assert.rejects(live.perform(write(1, here), signal), (error) => isMigratorError(error, 'zk.check_failed'))
    assert.equal((await nodes.read('t')).data.clusterName, 'b')
  })
})
