import assert from 'node:assert/strict'

import {systemClock} from '../../src/lib/clock.js'
import {MigratorError} from '../../src/lib/errors.js'
import {type OpenSession, openZooKeeperSession, type Session} from '../../src/lib/metaproxy/zookeeper-session.js'
import {tcpTransport} from '../../src/lib/rpc/transport.js'
import {startZooKeeper, type ZooKeeper} from '../sandbox/zookeeper.js'
import {ZooKeeperNodes} from '../sandbox/zookeeper-nodes.js'
import {Machine} from '../simulation/life.js'
import {sessionsOf} from '../simulation/model-session.js'
import {ZooKeeperModel} from '../simulation/zookeeper-model.js'

/** What a simulation stands on: the model of ZooKeeper answers as the real one does. */
interface Subject {
  hosts: string
  open: OpenSession
}

const LIMIT_MS = 10_000
const PARENT = '/metaproxy/users'

describe('model of ZooKeeper', function () {
  this.timeout(60_000)
  let zookeeper: ZooKeeper

  before(async () => {
    zookeeper = await startZooKeeper()
    const nodes = await ZooKeeperNodes.open(zookeeper.address)
    await nodes.create(PARENT, 'first')
    await nodes.close()
  })

  after(() => zookeeper.stop())

  it('answers every operation as a real one does', async () => {
    const model = new ZooKeeperModel(systemClock)
    model.put('/metaproxy', '')
    model.put(PARENT, 'first')
    const life = new Machine('here', {clock: systemClock, transport: tcpTransport}).begin()
    const real = await story({hosts: zookeeper.address, open: openZooKeeperSession})
    assert.deepEqual(await story({hosts: 'zookeeper:2181', open: sessionsOf(life, {model})}), real)
    assert.ok(real.length > 15, 'the story was told to its end')
  })
})

/** The same deeds, and what came of each. */
async function story({hosts, open}: Subject): Promise<unknown[]> {
  const signal = AbortSignal.timeout(LIMIT_MS)
  const told: unknown[] = []
  const session = async (): Promise<Session> => {
    const fresh = open({clock: systemClock, handshakeLimitMs: 2000, hosts, sessionTimeoutMs: 5000})
    await fresh.connect(signal)
    return fresh
  }

  const tell = async (what: string, deed: Promise<unknown>) => {
    try {
      const value = await deed
      told.push([what, Array.isArray(value) ? [...value].sort() : value])
    } catch (error) {
      assert.ok(error instanceof MigratorError, String(error))
      told.push([what, error.code, error.facts.path])
    }
  }

  const data = async (by: Session, path = PARENT) => {
    const {bytes, version} = await by.getData(path, signal)
    return `${bytes.toString()} at ${version}`
  }

  const one = await session()
  const two = await session()
  const set = (version: number, text: string, path = PARENT) => ({data: Buffer.from(text), path, version})
  await tell('read', data(one))
  await tell('read nothing', data(one, `${PARENT}/none`))
  await tell('no children', one.children(PARENT, signal))
  await tell('children of nothing', one.children('/none', signal))
  await tell('first number', one.createNumbered(`${PARENT}/lock-`, Buffer.from('one'), signal))
  await tell('second number', two.createNumbered(`${PARENT}/lock-`, Buffer.from('two'), signal))
  await tell('number below nothing', two.createNumbered('/none/lock-', Buffer.from('two'), signal))
  await tell('both children', one.children(PARENT, signal))
  const lock = {path: `${PARENT}/lock-0000000000`, version: 0}
  await tell('set with a check', one.commit([lock, set(0, 'second')], signal))
  await tell('read it', data(two))
  await tell('set at an old version', one.commit([lock, set(0, 'third')], signal))
  await tell('a check of another version', one.commit([{...lock, version: 1}, set(1, 'third')], signal))
  await tell('a check of nothing', one.commit([{...lock, path: '/none'}, set(1, 'third')], signal))
  await tell('set nothing', one.commit([lock, set(0, 'x', `${PARENT}/none`)], signal))
  await tell('nothing was written', data(two))
  await tell('the lock has its version', data(two, lock.path))
  await two.close()
  await tell('ends with its session', one.children(PARENT, signal))
  await tell('a number never comes again', one.createNumbered(`${PARENT}/lock-`, Buffer.from('one'), signal))
  await tell('remove', one.remove(lock.path, signal))
  await tell('remove once more', one.remove(lock.path, signal))
  await tell('a check of what was removed', one.commit([lock, set(1, 'third')], signal))
  const {identity} = one
  one.destroy()
  const again = open({clock: systemClock, handshakeLimitMs: 2000, hosts, resume: identity, sessionTimeoutMs: 5000})
  await tell('the same session on another connection', again.connect(signal))
  await tell('its nodes are there still', again.children(PARENT, signal))
  await again.close()
  const last = await session()
  await tell('nothing is left', last.children(PARENT, signal))
  const ended = open({clock: systemClock, handshakeLimitMs: 2000, hosts, resume: identity, sessionTimeoutMs: 5000})
  await tell('a session that was closed', ended.connect(signal))
  ended.destroy()
  await last.close()
  return told
}
