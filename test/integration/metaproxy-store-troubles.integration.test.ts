import assert from 'node:assert/strict'
import {execFile} from 'node:child_process'
import {once} from 'node:events'
import {type AddressInfo, createServer, type Server, type Socket} from 'node:net'
import {fileURLToPath} from 'node:url'
import {promisify} from 'node:util'

import {systemClock} from '../../src/lib/clock.js'
import {isMigratorError, type MigratorError} from '../../src/lib/errors.js'
import {formatNodeData} from '../../src/lib/metaproxy/node-data.js'
import {ZooKeeperStore} from '../../src/lib/metaproxy/zookeeper-store.js'
import {startZooKeeper, type ZooKeeper} from '../sandbox/zookeeper.js'
import {ZooKeeperNodes} from '../sandbox/zookeeper-nodes.js'
import {leavesNothing} from '../support/resources.js'
import {Operation, ZooKeeperTap} from '../support/zookeeper-tap.js'

const LIMIT_MS = 800
/** What a busy machine may add. */
const SLACK_MS = 1200
const atSource = formatNodeData('onebox', ['a:1'])
const atTarget = formatNodeData('onebox2', ['b:1'])

/** A port that accepts, and answers with `answer`, closes, or does nothing at all. */
async function badServer(
  answer?: 'close' | Buffer,
): Promise<{address: string; close(): Promise<void>; sockets: Set<Socket>}> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
    if (answer === 'close') socket.on('data', () => socket.destroy())
    else if (answer) socket.on('data', () => socket.write(answer))
    else socket.resume()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
    sockets,
  }
}

/** A port where nothing listens. */
async function deadAddress(): Promise<string> {
  const server = await badServer()
  await server.close()
  return server.address
}

/** Runs `read` and `compareAndSet` against `hosts`: both must fail with `code`, in time, and leave nothing behind. */
async function bothFail(hosts: string, code: string): Promise<MigratorError> {
  let last: MigratorError | undefined
  await leavesNothing(async () => {
    const used = store(hosts, LIMIT_MS)
    const operations: [number, () => Promise<unknown>][] = [
      [LIMIT_MS, () => used.read('users')],
      [2 * LIMIT_MS, () => used.compareAndSet('users', atTarget, 0)],
    ]
    for (const [limitMs, run] of operations) {
      const startMs = systemClock.nowMs()
      await assert.rejects(run(), (error) => {
        assert.ok(isMigratorError(error, code), `${code} expected, got ${error}`)
        last = error
        return true
      })
      const tookMs = systemClock.nowMs() - startMs
      assert.ok(tookMs < limitMs + SLACK_MS, `took ${tookMs} ms`)
    }

    await used.close()
  }, SLACK_MS)
  return last!
}

const store = (hosts: string, operationTimeoutMs: number) =>
  new ZooKeeperStore({clock: systemClock, hosts, operationTimeoutMs, root: '/metaproxy'})

describe('metaproxy store when ZooKeeper is in trouble', () => {
  describe('nothing that can be used', () => {
    it('nothing listens', async () => {
      const address = await deadAddress()
      const error = await bothFail(address, 'zk.unreachable')
      assert.match(error.message, /ECONNREFUSED/)
      assert.ok(error.message.includes(address))
      assert.equal(error.retrySafe, true)
    })

    it('a name that nobody knows', async () => {
      const error = await bothFail('no-such-host.invalid:2181', 'zk.unreachable')
      assert.match(error.message, /ENOTFOUND|EAI_AGAIN/)
    })

    it('a port that accepts and never answers', async () => {
      const server = await badServer()
      try {
        const error = await bothFail(server.address, 'zk.timeout')
        assert.match(error.message, /accepts connections and does not answer/)
      } finally {
        await server.close()
      }
    })

    for (const [name, answer] of [
      ['a web server', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
      ['a server that answers zeros', Buffer.alloc(64)],
      ['a server that claims a negative length', Buffer.alloc(64, 0xff)],
    ] as const) {
      it(name, async () => {
        const server = await badServer(answer)
        try {
          await bothFail(server.address, 'zk.timeout')
        } finally {
          await server.close()
        }
      })
    }

    it('a server that closes every connection, as a Pegasus server does', async () => {
      const server = await badServer('close')
      try {
        await bothFail(server.address, 'zk.timeout')
      } finally {
        await server.close()
      }
    })

    it('a process that asked a silent port ends by itself', async () => {
      const server = await badServer()
      try {
        const script = fileURLToPath(new URL('../support/read-and-close.ts', import.meta.url))
        const args = ['--import=tsx', script, server.address, String(LIMIT_MS)]
        const {stdout} = await promisify(execFile)(process.execPath, args, {timeout: 15_000})
        const {closedMs, code, exitMs} = JSON.parse(stdout) as {closedMs: number; code: string; exitMs: number}
        assert.equal(code, 'zk.timeout')
        assert.ok(closedMs < 1000 + SLACK_MS, `close took ${closedMs} ms`)
        assert.ok(exitMs < SLACK_MS, `exit took ${exitMs} ms`)
      } finally {
        await server.close()
      }
    })
  })

  describe('a real ZooKeeper', () => {
    let zookeeper: ZooKeeper

    /** Sets the scene with a client that is gone when the test begins. */
    async function prepare(use: (nodes: ZooKeeperNodes) => Promise<void>): Promise<void> {
      const nodes = await ZooKeeperNodes.open(zookeeper.address)
      await use(nodes)
      await nodes.close()
    }

    before(async function () {
      this.timeout(600_000)
      zookeeper = await startZooKeeper()
    })

    beforeEach(async () => {
      await prepare((nodes) => nodes.create('/metaproxy/users', atSource))
    })

    afterEach(async () => {
      zookeeper.resume()
      await prepare((nodes) => nodes.remove('/metaproxy/users'))
    })

    after(async () => {
      await zookeeper?.stop()
    })

    it('frozen: the limit holds', async () => {
      zookeeper.pause()
      const error = await bothFail(zookeeper.address, 'zk.timeout')
      assert.equal(error.retrySafe, true)
    })

    it('frozen and back in time: the operation succeeds', async () => {
      const patient = store(zookeeper.address, 10_000)
      zookeeper.pause()
      const reading = patient.read('users')
      systemClock.setTimer(300, () => zookeeper.resume())
      assert.equal((await reading).data.clusterName, 'onebox')
      await patient.close()
    })

    it('frozen right after it got a write: unknown, until the old bytes are set at the same version', async () => {
      const tap = await ZooKeeperTap.start(zookeeper.address, (operation) => {
        if (operation === Operation.multi) zookeeper.pause()
        return 'pass'
      })
      const hasty = store(tap.address, LIMIT_MS)
      await assert.rejects(hasty.compareAndSet('users', atTarget, 0), (error) => {
        assert.ok(isMigratorError(error, 'zk.outcome_unknown'), String(error))
        return true
      })
      await hasty.close()
      zookeeper.resume()

      // The write may still come out of the server's socket: only this settles it, either way.
      const settled = await store(zookeeper.address, 10_000)
        .compareAndSet('users', atSource, 0)
        .then(
          () => atSource.toString(),
          (error: MigratorError) => {
            assert.equal(error.code, 'zk.version_conflict')
            return error.facts.found
          },
        )
      await tap.close()
      const {bytes, version} = await store(zookeeper.address, 10_000).read('users')
      assert.equal(bytes.toString(), settled)
      assert.equal(version, 1)
    })

    it('restarted meanwhile: the operation succeeds', async () => {
      const patient = store(zookeeper.address, 20_000)
      const restarting = zookeeper.restart()
      assert.deepEqual(await patient.compareAndSet('users', atTarget, 0), {version: 1})
      await restarting
      await patient.close()
    })

    it('one dead server and one silent server beside it', async () => {
      const [dead, silent] = [await deadAddress(), await badServer()]
      try {
        // The library shuffles the servers: several times, so that each comes first.
        for (let round = 0; round < 6; round++) {
          const patient = store(`${dead}, ${silent.address},${zookeeper.address}`, 3000)
          assert.equal((await patient.read('users')).data.clusterName, 'onebox')
          await patient.close()
        }
      } finally {
        await silent.close()
      }
    })

    it('leaves nothing behind after success', async () => {
      await leavesNothing(async () => {
        const used = store(zookeeper.address, 5000)
        await used.read('users')
        await used.compareAndSet('users', atTarget, 0)
        await used.close()
      })
    })

    it('closing ends what waits, within a second', async () => {
      zookeeper.pause()
      const waiting = store(zookeeper.address, 60_000)
      const reading = assert.rejects(waiting.read('users'), (error) => isMigratorError(error, 'zk.closed'))
      const startMs = systemClock.nowMs()
      await waiting.close()
      await reading
      assert.ok(systemClock.nowMs() - startMs < 1000 + SLACK_MS)
      await assert.rejects(waiting.read('users'), (error) => isMigratorError(error, 'zk.closed'))
    })
  })
})
