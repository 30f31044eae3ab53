import assert from 'node:assert/strict'

import {MigratorError} from '../../../src/lib/errors.js'
import {serverCalls} from '../../../src/lib/rpc/calls.js'
import {Connection} from '../../../src/lib/rpc/connection.js'
import {encodeResponse} from '../../../src/lib/rpc/frame.js'
import {malformed} from '../../../src/lib/rpc/memory-transport.js'
import * as errors from '../../../src/lib/rpc/rpc-errors.js'
import {splitAddress} from '../../../src/lib/rpc/transport.js'
import {memoryStreamPair} from '../../sandbox/memory-transport.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {FakeServer, type ReceivedCall} from '../../support/fake-server.js'

const address = '10.0.0.1:34801'
const site = {address, call: 'X'}
const cause = new Error('why')

function told({cause: its, code, facts, message, next, retrySafe}: MigratorError) {
  return {cause: its, code, facts, message, next, retrySafe}
}

describe('errors of RPC', () => {
  it('say what failed where, and whether it may be repeated', () => {
    const rest = {cause: undefined, next: undefined, retrySafe: false}
    assert.deepEqual(told(errors.connectError(address, cause)), {
      cause,
      code: 'rpc.connect',
      facts: {address},
      message: `no connection to ${address}: why`,
      next: undefined,
      retrySafe: true,
    })
    const lost = {...rest, cause, code: 'rpc.connection_lost', facts: site}
    const lostAs = (o: {retrySafe: boolean; unsent?: boolean}) => told(errors.lostError(site, 'closed', {cause, ...o}))
    const because = (outcome: string) => `${address} closed during X; ${outcome}`
    assert.deepEqual(lostAs({retrySafe: false}), {...lost, message: because('it may have been executed')})
    assert.deepEqual(lostAs({retrySafe: true}), {...lost, message: because('safe to repeat'), retrySafe: true})
    const unsent = lostAs({retrySafe: true, unsent: true})
    assert.deepEqual(unsent, {...lost, message: because('nothing was sent'), retrySafe: true})
    assert.deepEqual(told(errors.timeoutError(site, 99.6, true)), {
      ...rest,
      code: 'rpc.timeout',
      facts: {...site, timeoutMs: 100},
      retrySafe: true,
      message: `${address} did not answer X within 100 ms`,
    })
    assert.deepEqual(told(errors.abortedError(site, cause)), {
      ...rest,
      cause,
      code: 'rpc.aborted',
      facts: site,
      message: `X to ${address} was given up: why`,
    })
    assert.deepEqual(told(errors.tooLargeError('reply', 2, 1)), {
      ...rest,
      code: 'rpc.too_large',
      facts: {bytes: 2, maxBytes: 1},
      message: 'reply of 2 bytes, at most 1 accepted',
    })
    assert.deepEqual(told(errors.brokenError(site, malformed('odd', cause), true)), {
      ...rest,
      cause,
      code: 'rpc.malformed',
      facts: site,
      retrySafe: true,
      message: `X of ${address}: malformed message: odd`,
    })
  })

  it('of a server name it, and know which of them executed nothing', () => {
    const error = errors.serverError(site, 'ERR_\u001B', false)
    assert.deepEqual([error.message, error.facts], [`${address} answered ERR_ to X`, {...site, error: 'ERR_'}])
    assert.equal(errors.rpcErrorName(errors.serverError(site, 'ERR_X', false)), 'ERR_X')
    assert.equal(errors.rpcErrorName(errors.tooLargeError('x', 2, 1)), undefined)
    const executedNothing = ['ACL_DENY', 'BUSY', 'HANDLER_NOT_FOUND', 'OBJECT_NOT_FOUND', 'OPERATION_DISABLED']
    for (const name of executedNothing) assert.equal(errors.serverError(site, `ERR_${name}`, false).retrySafe, true)
    assert.equal(errors.serverError(site, 'ERR_TIMEOUT', false).retrySafe, false)
    assert.equal(errors.serverError(site, 'ERR_TIMEOUT', true).retrySafe, true)
  })

  it('of Kerberos say what is offered', () => {
    const {facts, message, next} = errors.unauthenticatedError(address, 'GSSAPI', cause)
    assert.match(message, /^10\.0\.0\.1:34801 requires Kerberos .* an answer and offers GSSAPI$/)
    assert.deepEqual(facts, {address, mechanisms: 'GSSAPI'})
    assert.match(next!, /mandatory_auth = false/)
    assert.match(errors.unauthenticatedError(address, '\0', cause).message, /offers no mechanism$/)
  })

  it('quote what a server sent: cut, on one line, without anything that steers a terminal', () => {
    assert.equal(errors.excerpt(' a\r\n\u001B[2J\u202Eb '), 'a [2J b')
    assert.equal(errors.excerpt('x'.repeat(200)), 'x'.repeat(200))
    assert.equal(errors.excerpt('x'.repeat(201)), `${'x'.repeat(200)}…`)
    assert.equal(errors.excerpt('abcd', 3), 'abc…')
    assert.equal(errors.excerpt(`\n${'x'.repeat(5)}`, 3), 'xxx…')
  })

  it('of an address say what it was', () => {
    for (const [text, host, port] of [
      ['a:1', 'a', 1],
      ['127.0.0.1:65535', '127.0.0.1', 65_535],
      ['[::1]:2', '::1', 2],
    ] as const)
      assert.deepEqual(splitAddress(text), {host, port})
    for (const text of ['a', 'a:0', 'a:65536', ':1', 'a b:1', 'a:1x', 'xa:b:1', '[::1:2', '[x]y:1 ', 'a:123456', ''])
      assert.throws(() => splitAddress(text), new TypeError(`not host:port: ${JSON.stringify(text)}`))
  })
})

describe('errors of a connection', () => {
  const command = serverCalls.remoteCommand
  const held: Array<ReceivedCall<{args: string[]; cmd: string}, string>> = []

  function bed(maxMessageBytes?: number) {
    held.length = 0
    const clock = new VirtualClock()
    const [near, far] = memoryStreamPair()
    new FakeServer().on(command, (call) => held.push(call)).accept(far)
    return {clock, connection: new Connection(near, {address, clock, maxMessageBytes}), far, near}
  }

  const ask = (connection: Connection, o: {idempotent?: boolean; signal?: AbortSignal} = {}) =>
    connection.call(command, {args: [], cmd: 'x'}, {timeoutMs: 5000, ...o})

  async function messageOf(clock: VirtualClock, asked: Promise<unknown>): Promise<[string, boolean]> {
    try {
      await clock.run(asked)
    } catch (error) {
      assert.ok(error instanceof MigratorError)
      return [error.message, error.retrySafe]
    }

    throw new assert.AssertionError({message: 'it was answered'})
  }

  const name = command.name

  it('that the server ends, breaks or that we end', async () => {
    const ended = bed()
    const asked = messageOf(ended.clock, ask(ended.connection, {idempotent: true}))
    ended.far.end()
    assert.deepEqual(await asked, [`${address} closed the connection during ${name}; safe to repeat`, true])
    // Nothing is sent any more: not even what is not idempotent can have been executed.
    const later = await messageOf(ended.clock, ask(ended.connection))
    assert.deepEqual(later, [`${address} closed the connection during ${name}; nothing was sent`, true])

    const broken = bed()
    const breaking = ask(broken.connection)
    broken.near.destroy(cause)
    const error = await broken.clock.run(breaking).catch((error_: unknown) => error_)
    assert.ok(error instanceof MigratorError)
    assert.equal(error.message, `${address} broke the connection during ${name}; it may have been executed`)
    assert.equal(error.cause, cause)

    const ours = bed()
    const closing = messageOf(ours.clock, ask(ours.connection))
    ours.connection.close()
    ours.connection.close()
    assert.match((await closing)[0], /was disconnected by us during/)
    const before = await messageOf(ours.clock, ask(ours.connection))
    assert.match(before[0], /was disconnected by us .* nothing was sent/)
  })

  it('that carries a reply of the wrong type: whether it may be repeated is the call to tell', async () => {
    for (const idempotent of [true, false, undefined]) {
      const {clock, connection} = bed()
      const asking = ask(connection, {idempotent})
      await clock.advance(0)
      const {head, stream} = held[0]!
      stream.write(
        encodeResponse(head.name, head.seqid, 'ERR_OK', {
          type: serverCalls.queryReplicaDecree.response,
          value: {err: 'ERR_OK', lastDecree: 1},
        }),
      )
      const [message, retrySafe] = await messageOf(clock, asking)
      assert.equal(
        message,
        `${name} of ${address}: malformed message: argument or result: wire type 12 where 11 belongs`,
      )
      assert.equal(retrySafe, idempotent ?? false)
    }
  })

  it('that is to carry more than it may', async () => {
    const measured = bed()
    let exact = 0
    measured.far.on('data', (chunk: Buffer) => {
      exact = chunk.length
    })
    ask(measured.connection).catch(() => {})
    await measured.clock.advance(0)
    measured.connection.close()
    const {clock, connection} = bed(exact)
    const fits = ask(connection)
    await clock.advance(0)
    assert.equal(held.length, 1)
    held[0]!.reply('y')
    assert.equal(await clock.run(fits), 'y')
    const small = bed(exact - 1)
    const [message] = await messageOf(small.clock, ask(small.connection))
    assert.equal(message, `request ${name} to ${address} of ${exact} bytes, at most ${exact - 1} accepted`)
  })

  it('that takes no new calls ends with its last one, at once where there is none', async () => {
    const idle = bed()
    idle.connection.retire()
    assert.equal(idle.connection.closed, true)
    const busy = bed()
    const both = [ask(busy.connection), ask(busy.connection)]
    await busy.clock.advance(0)
    busy.connection.retire()
    held[0]!.reply('1')
    await busy.clock.advance(0)
    assert.equal(busy.connection.closed, false)
    held[1]!.reply('2')
    assert.deepEqual(await busy.clock.run(Promise.all(both)), ['1', '2'])
    assert.equal(busy.connection.closed, true)
  })

  it('is suspect only when nothing at all came while a call ran out of time', async () => {
    const {clock, connection} = bed()
    const slow = ask(connection)
    slow.catch(() => {})
    await clock.advance(100)
    const quick = ask(connection)
    await clock.advance(0)
    held[1]!.reply('here')
    await quick
    assert.match((await messageOf(clock, slow))[0], /did not answer/)
    assert.equal(connection.suspect, false)
    await messageOf(clock, ask(connection))
    assert.equal(connection.suspect, true)
  })

  it('leaves no listener on a signal that outlives the call', async () => {
    const {clock, connection} = bed()
    const {signal} = new AbortController()
    let listeners = 0
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
    signal.addEventListener = (...all: Parameters<typeof add>) => {
      listeners++
      add(...all)
    }

    signal.removeEventListener = (...all: Parameters<typeof remove>) => {
      if (all[0] === 'abort') listeners--
      remove(...all)
    }

    const asked = ask(connection, {signal})
    await clock.advance(0)
    held[0]!.reply('y')
    await clock.run(asked)
    assert.equal(listeners, 0)
  })
})
