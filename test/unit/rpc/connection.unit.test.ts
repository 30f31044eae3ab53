import assert from 'node:assert/strict'
import type {Duplex} from 'node:stream'

import {dataCalls, metaCalls, serverCalls} from '../../../src/lib/rpc/calls.js'
import {Connection} from '../../../src/lib/rpc/connection.js'
import {encodeResponse} from '../../../src/lib/rpc/frame.js'
import {memoryStreamPair} from '../../sandbox/memory-transport.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {assertAtRest} from '../../support/at-rest.js'
import {FakeServer, type ReceivedCall} from '../../support/fake-server.js'

const address = '10.0.0.1:34801'
const command = serverCalls.remoteCommand

interface Bed {
  clock: VirtualClock
  connection: Connection
  far: Duplex
  /** Calls of `command` that wait for an answer. */
  held: Array<ReceivedCall<{args: string[]; cmd: string}, string>>
  server: FakeServer
}

function bed(maxMessageBytes?: number): Bed {
  const clock = new VirtualClock()
  const [near, far] = memoryStreamPair()
  const held: Bed['held'] = []
  const server = new FakeServer().on(command, (call) => held.push(call))
  server.accept(far)
  return {clock, connection: new Connection(near, {address, clock, maxMessageBytes}), far, held, server}
}

const ask = (
  connection: Connection,
  cmd: string,
  o: {idempotent?: boolean; signal?: AbortSignal; timeoutMs?: number} = {},
) => connection.call(command, {args: [], cmd}, {timeoutMs: 5000, ...o})

describe('Connection', () => {
  it('carries many calls at once and matches replies that come in any order', async () => {
    const {clock, connection, held} = bed()
    const calls = Array.from({length: 200}, (_, n) => ask(connection, `echo ${n}`))
    await clock.advance(0)
    assert.equal(connection.inFlight, 200)
    assert.equal(new Set(held.map(({head}) => head.seqid)).size, 200)
    for (const call of held.reverse()) call.reply(`re: ${call.request.cmd}`)
    const answers = await clock.run(Promise.all(calls))
    assert.deepEqual(
      answers,
      Array.from({length: 200}, (_, n) => `re: echo ${n}`),
    )
    assert.equal(connection.inFlight, 0)
  })

  it('reads replies however they are cut into chunks', async () => {
    const {clock, connection, far, held} = bed()
    const calls = [ask(connection, 'a'), ask(connection, 'b')]
    await clock.advance(0)
    const bytes = Buffer.concat([held[1]!.replyBytes('B'.repeat(1000)), held[0]!.replyBytes('A')])
    for (const byte of bytes) far.write(Buffer.from([byte]))
    assert.deepEqual(await clock.run(Promise.all(calls)), ['A', 'B'.repeat(1000)])
  })

  it('tells the server the partition, its hash and the time-out', async () => {
    const {clock, connection, server} = bed()
    let head: unknown
    server.on(dataCalls.get, (call) => {
      head = call.head
      call.reply({appId: 2, error: 0, partitionIndex: 3, server: '', value: Buffer.from('v')})
    })
    const pid = {appId: 2, partitionIndex: 3}
    const options = {isBackupRequest: true, partitionHash: 2n ** 64n - 1n, pid, timeoutMs: 1500}
    const {value} = await clock.run(connection.call(dataCalls.get, Buffer.from('key'), options))
    assert.equal(value.toString(), 'v')
    const name = 'RPC_RRDB_RRDB_GET'
    assert.deepEqual(head, {
      clientTimeoutMs: 1500,
      isBackupRequest: true,
      name,
      partitionHash: 2n ** 64n - 1n,
      pid,
      seqid: 1,
    })
  })

  it('gives up at the time-out and ignores the reply that comes late', async () => {
    const {clock, connection, held} = bed()
    const first = ask(connection, 'slow', {timeoutMs: 100})
    await assert.rejects(clock.run(first), (error: Error & {facts: object}) => {
      assert.equal((error as {code?: string}).code, 'rpc.timeout')
      assert.deepEqual(error.facts, {address, call: command.name, timeoutMs: 100})
      return true
    })
    assert.equal(clock.nowMs(), 100)
    held[0]!.reply('too late')
    const second = ask(connection, 'quick')
    await clock.advance(0)
    held[1]!.reply('in time')
    assert.equal(await clock.run(second), 'in time')
  })

  it('ignores a reply with a number that nobody asked for', async () => {
    const {clock, connection, far, held} = bed()
    const call = ask(connection, 'x')
    await clock.advance(0)
    far.write(encodeResponse(command.name, 4711, 'ERR_OK', {type: command.response, value: 'whose?'}))
    held[0]!.reply('mine')
    assert.equal(await clock.run(call), 'mine')
  })

  it('says whether a retry is safe when the stream breaks', async () => {
    const {clock, connection, held} = bed()
    const calls = [ask(connection, 'act'), ask(connection, 'read', {idempotent: true})]
    await clock.advance(0)
    held[0]!.cut()
    const results = await clock.run(Promise.allSettled(calls))
    const errors = results.map((result) => (result as PromiseRejectedResult).reason)
    assert.deepEqual(
      errors.map(({code, retrySafe}) => ({code, retrySafe})),
      [
        {code: 'rpc.connection_lost', retrySafe: false},
        {code: 'rpc.connection_lost', retrySafe: true},
      ],
    )
    assert.match(errors[0].message, /10\.0\.0\.1:34801 .*RPC_CLI_CLI_CALL; it may have been executed/)
    assert.equal(connection.closed, true)
    await assert.rejects(ask(connection, 'late'), {code: 'rpc.connection_lost', retrySafe: true})
    await clock.run(connection.ended)
  })

  it('a time-out is safe to repeat only for an idempotent call', async () => {
    const {clock, connection} = bed()
    const calls = [ask(connection, 'act', {timeoutMs: 10}), ask(connection, 'read', {idempotent: true, timeoutMs: 10})]
    const results = await clock.run(Promise.allSettled(calls))
    assert.deepEqual(
      results.map((result) => (result as PromiseRejectedResult).reason.retrySafe),
      [false, true],
    )
  })

  it("ends a call when its caller's signal is aborted, before or during it", async () => {
    const {clock, connection, held, server} = bed()
    const controller = new AbortController()
    const call = ask(connection, 'x', {signal: controller.signal})
    await clock.advance(0)
    const reason = new Error('Ctrl-C')
    controller.abort(reason)
    await assert.rejects(clock.run(call), {cause: reason, code: 'rpc.aborted'})
    assert.equal(connection.inFlight, 0)
    await assert.rejects(ask(connection, 'y', {signal: controller.signal}), {code: 'rpc.aborted'})
    await clock.advance(0)
    assert.equal(server.received.length, 1)
    held[0]!.reply('nobody listens')
    await clock.advance(0)
    assert.equal(connection.closed, false)
  })

  it('turns an RPC-level error into rpc.server_error', async () => {
    const {clock, connection, held} = bed()
    const call = ask(connection, 'x')
    await clock.advance(0)
    held[0]!.fail('ERR_INVALID_STATE')
    const facts = {address, call: command.name, error: 'ERR_INVALID_STATE'}
    await assert.rejects(clock.run(call), {code: 'rpc.server_error', facts, retrySafe: false})
    const busy = ask(connection, 'x')
    await clock.advance(0)
    held[1]!.fail('ERR_BUSY')
    await assert.rejects(clock.run(busy), {code: 'rpc.server_error', retrySafe: true})
  })

  it('shows no control characters of an error name that makes no sense', async () => {
    const {clock, connection, held} = bed()
    const call = ask(connection, 'x')
    await clock.advance(0)
    held[0]!.fail(`\u001B[31mERR\n${'x'.repeat(10_000)}`)
    await assert.rejects(clock.run(call), (error: Error) => {
      // eslint-disable-next-line no-control-regex
      assert.doesNotMatch(error.message, /[\u0000-\u001F]/)
      assert.ok(error.message.length < 200)
      return true
    })
  })

  it('fails only the call whose result cannot be read', async () => {
    const {clock, connection, far, held} = bed()
    const calls = [ask(connection, 'a'), ask(connection, 'b')]
    await clock.advance(0)
    const {seqid} = held[0]!.head
    far.write(encodeResponse(command.name, seqid, 'ERR_OK', {type: metaCalls.listNodes.request, value: {status: 1}}))
    held[1]!.reply('fine')
    const [bad, good] = await clock.run(Promise.allSettled(calls))
    assert.equal((bad as PromiseRejectedResult).reason.code, 'rpc.malformed')
    assert.deepEqual((bad as PromiseRejectedResult).reason.facts, {address, call: command.name})
    assert.equal((good as PromiseFulfilledResult<string>).value, 'fine')
  })

  it('refuses a reply to another call', async () => {
    const {clock, connection, far, held} = bed()
    const call = ask(connection, 'a')
    await clock.advance(0)
    far.write(encodeResponse('RPC_OTHER', held[0]!.head.seqid, 'ERR_OK', {type: command.response, value: 'x'}))
    await assert.rejects(clock.run(call), /RPC_OTHER_ACK/)
  })

  for (const [what, hex, code] of [
    ['a length of 2^31', '80000000', 'rpc.malformed'],
    ['a length of 0', '00000000', 'rpc.malformed'],
    ['HTTP', Buffer.from('HTTP/1.1 400 Bad Request\r\n').toString('hex'), 'rpc.too_large'],
    ['a length beyond the bound', '04000001', 'rpc.too_large'],
    ['a reply without a message', `00000020${'00'.repeat(28)}`, 'rpc.malformed'],
  ]) {
    it(`ends the connection at ${what}`, async () => {
      const {clock, connection, far} = bed()
      const calls = [ask(connection, 'a'), ask(connection, 'b', {idempotent: true})]
      await clock.advance(0)
      far.write(Buffer.from(hex!, 'hex'))
      const results = await clock.run(Promise.allSettled(calls))
      const errors = results.map((result) => (result as PromiseRejectedResult).reason)
      assert.deepEqual(
        errors.map((error) => [error.code, error.retrySafe]),
        [
          [code, false],
          [code, true],
        ],
      )
      assert.deepEqual([errors[0].facts.address, errors[0].facts.call], [address, command.name])
      assert.equal(connection.closed, true)
    })
  }

  it('holds no more than one message of the size allowed', async () => {
    const {clock, connection, held} = bed(1000)
    const fits = ask(connection, 'a')
    await clock.advance(0)
    held[0]!.reply('x'.repeat(900))
    assert.equal((await clock.run(fits)).length, 900)
    await assert.rejects(ask(connection, 'y'.repeat(1000)), {code: 'rpc.too_large'})
    const tooLong = ask(connection, 'b')
    await clock.advance(0)
    held[1]!.reply('x'.repeat(1000))
    await assert.rejects(clock.run(tooLong), {code: 'rpc.too_large'})
  })

  it('uses no sequence number twice at a time, also when they begin anew', async () => {
    const {clock, connection, held} = bed()
    const first = ask(connection, 'first')
    await clock.advance(0)
    Object.assign(connection, {seqid: 0x7f_ff_ff_fe})
    const rest = [ask(connection, 'a'), ask(connection, 'b')]
    await clock.advance(0)
    assert.deepEqual(
      held.map(({head}) => head.seqid),
      [1, 0x7f_ff_ff_ff, 2],
    )
    for (const call of held) call.reply(call.request.cmd)
    assert.deepEqual(await clock.run(Promise.all([first, ...rest])), ['first', 'a', 'b'])
  })

  it('sends what has no reply', async () => {
    const {clock, connection, server} = bed()
    let cleared: bigint | undefined
    server.on(dataCalls.clearScanner, ({request}) => {
      cleared = request
    })
    connection.send(dataCalls.clearScanner, -7n, {timeoutMs: 1000})
    await clock.advance(0)
    assert.equal(cleared, -7n)
    assert.equal(connection.inFlight, 0)
  })

  it('close() fails what is in flight and ends the stream', async () => {
    const {clock, connection, server} = bed()
    const call = ask(connection, 'x')
    await clock.advance(0)
    connection.close()
    await assert.rejects(clock.run(call), {code: 'rpc.connection_lost'})
    await clock.run(connection.ended)
    await clock.advance(0)
    assert.equal(server.open.size, 0)
  })

  it('retire() waits for what is in flight', async () => {
    const {clock, connection, held} = bed()
    const call = ask(connection, 'x')
    await clock.advance(0)
    connection.retire()
    assert.equal(connection.closed, false)
    held[0]!.reply('done')
    assert.equal(await clock.run(call), 'done')
    assert.equal(connection.closed, true)
  })

  it('is suspect when a call timed out in full silence, not when others were answered', async () => {
    const {clock, connection, held} = bed()
    const silent = ask(connection, 'timeout*write', {timeoutMs: 100})
    const answered = ask(connection, 'read')
    await clock.advance(50)
    held[1]!.reply('x')
    await clock.run(Promise.allSettled([silent, answered]))
    assert.equal(connection.suspect, false)
    await clock.run(Promise.allSettled([ask(connection, 'again', {timeoutMs: 100})]))
    assert.equal(connection.suspect, true)
  })

  it('leaves no timer behind', async () => {
    const {clock, connection, held} = bed()
    const call = ask(connection, 'x', {timeoutMs: 60_000})
    await clock.advance(0)
    held[0]!.reply('done')
    await clock.run(call)
    connection.close()
    await assertAtRest(clock)
  })
})
