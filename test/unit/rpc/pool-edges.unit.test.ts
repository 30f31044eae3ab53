import assert from 'node:assert/strict'
import {Duplex} from 'node:stream'

import {encodeResponse} from '../../../src/lib/rpc/frame.js'
import {serverCalls} from '../../../src/lib/rpc/calls.js'
import {ConnectionPool} from '../../../src/lib/rpc/pool.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {FakeCluster} from '../../support/fake-cluster.js'
import {FakeServer} from '../../support/fake-server.js'

/* What a pool says of its end and of trouble, and what it leaves open. */

const command = serverCalls.remoteCommand
const request = {args: [], cmd: 'x'}
const GONE = '10.9.9.9:1'

function pending(promise: Promise<unknown>): () => boolean {
  let settled = false
  const settle = () => {
    settled = true
  }

  promise.then(settle, settle)
  return () => !settled
}

describe('a pool in trouble', () => {
  describe('names the call and the server', () => {
    const site = {address: GONE, call: command.name}
    const given = {
      code: 'rpc.aborted',
      facts: site,
      message: `${command.name} to ${GONE} was given up: Ctrl-C`,
    }

    it('of a call that was given up before it began: nothing is connected to', async () => {
      const cluster = new FakeCluster()
      const signal = AbortSignal.abort(new Error('Ctrl-C'))
      await assert.rejects(cluster.client.pool.call(GONE, command, request, {signal, timeoutMs: 100}), given)
      assert.deepEqual(cluster.connected, [])
    })

    it('of a call that was given up while it connects', async () => {
      const cluster = new FakeCluster()
      cluster.unreachable.add(GONE)
      const leaving = new AbortController()
      const call = cluster.client.pool.call(GONE, command, request, {signal: leaving.signal, timeoutMs: 10_000})
      cluster.clock.setTimer(100, () => leaving.abort(new Error('Ctrl-C')))
      await assert.rejects(cluster.run(call), given)
      assert.equal(cluster.clock.nowMs(), 100)
    })

    it('of a call that was given up while the server is asked for Kerberos', async () => {
      const cluster = new FakeCluster()
      const server = new FakeServer().on(serverCalls.negotiation, () => {}).on(command, (call) => call.cut())
      const {address} = await cluster.listen(server)
      const leaving = new AbortController()
      const call = cluster.client.pool.call(address, command, request, {signal: leaving.signal, timeoutMs: 10_000})
      cluster.clock.setTimer(100, () => leaving.abort(new Error('Ctrl-C')))
      await assert.rejects(cluster.run(call), {code: 'rpc.aborted', facts: {address, call: command.name}})
    })

    it('of a connection that the pool’s own end cut short', async () => {
      const cluster = new FakeCluster()
      cluster.unreachable.add(GONE)
      const {pool} = cluster.client
      const call = pool.call(GONE, command, request, {timeoutMs: 10_000})
      await cluster.clock.advance(10)
      await Promise.all([
        cluster.run(pool.close()),
        assert.rejects(call, {
          code: 'rpc.aborted',
          facts: {address: GONE, call: 'connect'},
          message: `connect to ${GONE} was given up: the connection pool was closed`,
        }),
      ])
    })
  })

  it('says for how long it has tried to connect: its own limit, or that of a call with less time', async () => {
    const cluster = new FakeCluster()
    cluster.unreachable.add(GONE)
    const {pool} = cluster.client
    for (const [timeoutMs, triedMs] of [
      [10_000, 3000],
      [500, 500],
    ] as const) {
      await assert.rejects(cluster.run(pool.call(GONE, command, request, {timeoutMs})), {
        code: 'rpc.connect',
        message: `no connection to ${GONE}: not connected within ${triedMs} ms`,
      })
      await cluster.clock.advance(5000)
    }
  })

  describe('that asks for Kerberos', () => {
    it('closes the connection that it asked on', async () => {
      const cluster = new FakeCluster()
      const server = new FakeServer().on(serverCalls.negotiation, () => {}).on(command, (call) => call.cut())
      const {address} = await cluster.listen(server)
      await assert.rejects(cluster.run(cluster.client.pool.call(address, command, request, {timeoutMs: 5000})), {
        code: 'rpc.connection_lost',
      })
      await cluster.clock.advance(0)
      assert.equal(server.open.size, 0)
    })

    it('leaves the loss as it is where nothing listens any more', async () => {
      const cluster = new FakeCluster()
      const server = new FakeServer()
      const {address} = await cluster.listen(server)
      server.on(command, (call) => {
        void cluster.kill(address)
        call.cut()
      })
      await assert.rejects(cluster.run(cluster.client.pool.call(address, command, request, {timeoutMs: 5000})), {
        code: 'rpc.connection_lost',
      })
    })
  })

  describe('over a transport of its own', () => {
    class Line extends Duplex {
      override _read(): void {}

      override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
        this.written += 1
        done()
      }

      written = 0
    }

    it('reads what the transport hands over instead of emitting it', async () => {
      const clock = new VirtualClock()
      const line = new Line()
      let hand: ((piece: Buffer) => void) | undefined
      const pool = new ConnectionPool({
        clock,
        transport: {
          async connect(_address, _signal, receive) {
            hand = receive
            return line
          },
        },
      })
      const call = pool.call('a:1', command, request, {timeoutMs: 1000})
      await clock.advance(10)
      assert.ok(line.written > 0)
      hand!(encodeResponse(command.name, 1, 'ERR_OK', {type: command.response, value: 'handed'}))
      assert.equal(await clock.run(call), 'handed')
      await clock.run(pool.close())
    })

    it('closes a connection that comes only after its end, and waits for it', async () => {
      const clock = new VirtualClock()
      const line = new Line()
      const pool = new ConnectionPool({
        clock,
        transport: {
          connect: () =>
            new Promise((resolve) => {
              clock.setTimer(500, () => resolve(line))
            }),
        },
      })
      const call = pool.call('a:1', command, request, {timeoutMs: 2000})
      const failed = assert.rejects(call, {code: 'rpc.connection_lost'})
      await clock.advance(10)
      const isClosing = pending(pool.close())
      await clock.advance(400)
      assert.equal(isClosing(), true)
      await clock.advance(100)
      assert.deepEqual([isClosing(), line.destroyed], [false, true])
      await failed
    })
  })
})
