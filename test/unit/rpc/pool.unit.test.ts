import assert from 'node:assert/strict'

import {serverCalls} from '../../../src/lib/rpc/calls.js'
import type {ConnectionPool} from '../../../src/lib/rpc/pool.js'
import {NegotiationStatus} from '../../../src/lib/rpc/structs/cluster.js'
import {assertAtRest} from '../../support/at-rest.js'
import {FakeCluster} from '../../support/fake-cluster.js'
import {FakeServer} from '../../support/fake-server.js'

const command = serverCalls.remoteCommand
const ask = (
  pool: ConnectionPool,
  address: string,
  o: {idempotent?: boolean; signal?: AbortSignal; timeoutMs?: number} = {},
) => pool.call(address, command, {args: [], cmd: 'x'}, {timeoutMs: 5000, ...o})

const echo = () => new FakeServer().on(command, (call) => call.reply(call.request.cmd))

describe('pool', () => {
  describe('ConnectionPool', () => {
    it('shares one connection per address among all callers', async () => {
      const cluster = new FakeCluster()
      const [a, b] = [await cluster.listen(echo()), await cluster.listen(echo())]
      const {pool} = cluster.client
      await cluster.run(Promise.all([a, b, a, b, a].map(({address}) => ask(pool, address))))
      await cluster.run(ask(pool, a.address))
      assert.deepEqual(cluster.connected.sort(), [a.address, b.address])
    })

    it('connects again after a loss', async () => {
      const cluster = new FakeCluster()
      const {address} = await cluster.listen(echo())
      const {pool} = cluster.client
      await cluster.run(ask(pool, address))
      await cluster.kill(address)
      await cluster.clock.advance(0)
      await assert.rejects(cluster.run(ask(pool, address)), {code: 'rpc.connect', facts: {address}, retrySafe: true})
      await cluster.restart(address)
      assert.equal(await cluster.run(ask(pool, address)), 'x')
    })

    it('gives up connecting after 3 s, or earlier when the call has less time', async () => {
      const cluster = new FakeCluster()
      const address = '10.9.9.9:1'
      cluster.unreachable.add(address)
      const {pool} = cluster.client
      await assert.rejects(cluster.run(ask(pool, address)), {code: 'rpc.connect', retrySafe: true})
      assert.equal(cluster.clock.nowMs(), 3000)
      await assert.rejects(cluster.run(ask(pool, address, {timeoutMs: 500})), {code: 'rpc.connect', retrySafe: true})
      assert.equal(cluster.clock.nowMs(), 3500)
    })

    it('counts the time for connecting against the call', async () => {
      const cluster = new FakeCluster()
      const {address} = await cluster.listen(new FakeServer().on(command, () => {}))
      await assert.rejects(cluster.run(ask(cluster.client.pool, address, {timeoutMs: 700})), {code: 'rpc.timeout'})
      assert.equal(cluster.clock.nowMs(), 700)
    })

    it('one caller that gives up does not end the connecting of others', async () => {
      const cluster = new FakeCluster()
      const {address} = await cluster.listen(echo())
      const controller = new AbortController()
      const {pool} = cluster.client
      const calls = [ask(pool, address, {signal: controller.signal}), ask(pool, address)]
      controller.abort(new Error('Ctrl-C'))
      const [first, second] = await cluster.run(Promise.allSettled(calls))
      assert.equal((first as PromiseRejectedResult).reason.code, 'rpc.aborted')
      assert.equal((second as PromiseFulfilledResult<string>).value, 'x')
      await assert.rejects(ask(pool, address, {signal: controller.signal}), {code: 'rpc.aborted'})
    })

    it('replaces a connection that went silent, and lets its calls end', async () => {
      const cluster = new FakeCluster()
      let replies = false
      const server = new FakeServer().on(command, (call) => replies && call.reply('alive'))
      const {address} = await cluster.listen(server)
      const {pool} = cluster.client
      const patient = ask(pool, address, {timeoutMs: 60_000})
      await assert.rejects(cluster.run(ask(pool, address, {timeoutMs: 100})), {code: 'rpc.timeout'})
      replies = true
      assert.equal(await cluster.run(ask(pool, address)), 'alive')
      assert.equal(cluster.connected.length, 2)
      assert.equal(server.open.size, 2)
      await assert.rejects(cluster.run(patient), {code: 'rpc.timeout'})
      await cluster.clock.advance(0)
      assert.equal(server.open.size, 1)
    })

    it('close() ends calls, connections and connecting, and takes no more calls', async () => {
      const cluster = new FakeCluster()
      const {address, server} = await cluster.listen(new FakeServer().on(command, () => {}))
      cluster.unreachable.add('10.9.9.9:1')
      const {pool} = cluster.client
      const calls = [ask(pool, address), ask(pool, '10.9.9.9:1')]
      await cluster.clock.advance(10)
      const failed = Promise.allSettled(calls)
      await cluster.run(pool.close())
      const codes = (await failed).map((result) => (result as PromiseRejectedResult).reason.code)
      assert.deepEqual(codes, ['rpc.connection_lost', 'rpc.aborted'])
      await cluster.clock.advance(0)
      assert.equal(server.open.size, 0)
      await assert.rejects(cluster.run(ask(pool, address)), {code: 'rpc.aborted'})
      await assertAtRest(cluster.clock)
    })

    it('an address that is none is rpc.connect', async () => {
      const cluster = new FakeCluster()
      await assert.rejects(cluster.run(ask(cluster.client.pool, 'nonsense')), {code: 'rpc.connect'})
    })
  })

  describe('a server that demands Kerberos', () => {
    const cutting = () => new FakeServer().on(command, (call) => call.cut())

    it('is named as such, not as a time-out or a loss', async () => {
      const cluster = new FakeCluster()
      const server = cutting().always(serverCalls.negotiation, {
        msg: Buffer.from('GSSAPI'),
        status: NegotiationStatus.SASL_LIST_MECHANISMS_RESP,
      })
      const {address} = await cluster.listen(server)
      const calls = [ask(cluster.client.pool, address), ask(cluster.client.pool, address, {idempotent: true})]
      const results = await cluster.run(Promise.allSettled(calls))
      for (const result of results) {
        const {code, message, next} = (result as PromiseRejectedResult).reason
        assert.equal(code, 'rpc.unauthenticated')
        assert.match(message, /requires Kerberos \(SASL\) authentication.*GSSAPI/)
        assert.match(next, /mandatory_auth/)
      }

      const asked = server.received.filter((name) => name === serverCalls.negotiation.name)
      assert.equal(asked.length, 1, 'both callers share one question')
    })

    it('is told from one that closes connections for other reasons', async () => {
      const cluster = new FakeCluster()
      const server = cutting().always(serverCalls.negotiation, {
        msg: Buffer.alloc(0),
        status: NegotiationStatus.SASL_AUTH_DISABLE,
      })
      const {address} = await cluster.listen(server)
      await assert.rejects(cluster.run(ask(cluster.client.pool, address)), {
        code: 'rpc.connection_lost',
        retrySafe: false,
      })
    })

    it('is told from one that is gone, without more than 3 s of waiting', async () => {
      const cluster = new FakeCluster()
      const server = new FakeServer().on(serverCalls.negotiation, () => {})
      const {address} = await cluster.listen(server)
      server.on(command, (call) => call.cut())
      await assert.rejects(cluster.run(ask(cluster.client.pool, address)), {code: 'rpc.connection_lost'})
      assert.equal(cluster.clock.nowMs(), 3000)
    })

    it('costs no call more than its own time, and ends with its caller', async () => {
      const cluster = new FakeCluster()
      const server = new FakeServer().on(serverCalls.negotiation, () => {})
      const {address} = await cluster.listen(server)
      server.on(command, (call) => cluster.clock.setTimer(400, () => call.cut()))
      const {pool} = cluster.client
      await assert.rejects(cluster.run(ask(pool, address, {timeoutMs: 500})), {code: 'rpc.connection_lost'})
      assert.equal(cluster.clock.nowMs(), 500)
      const controller = new AbortController()
      cluster.clock.setTimer(1000, () => controller.abort(new Error('Ctrl-C')))
      await assert.rejects(cluster.run(ask(pool, address, {signal: controller.signal})), {code: 'rpc.aborted'})
      assert.equal(cluster.clock.nowMs(), 1500)
    })

    it('is not suspected of a server that has answered before', async () => {
      const cluster = new FakeCluster()
      const server = echo()
      const {address} = await cluster.listen(server)
      await cluster.run(ask(cluster.client.pool, address))
      server.on(command, (call) => call.cut())
      await assert.rejects(cluster.run(ask(cluster.client.pool, address)), {code: 'rpc.connection_lost'})
      assert.ok(!server.received.includes(serverCalls.negotiation.name))
    })
  })
})
