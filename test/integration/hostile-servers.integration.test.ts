import assert from 'node:assert/strict'
import {once} from 'node:events'
import {type AddressInfo, createServer, type Server, type Socket} from 'node:net'

import {systemClock} from '../../src/lib/clock.js'
import {isMigratorError} from '../../src/lib/errors.js'
import {ZooKeeperStore} from '../../src/lib/metaproxy/zookeeper-store.js'
import {PegasusClient} from '../../src/lib/pegasus/client.js'
import {metaCalls, serverCalls} from '../../src/lib/rpc/calls.js'
import {decodeRequest, encodeResponse} from '../../src/lib/rpc/frame.js'
import {tcpTransport} from '../../src/lib/rpc/transport.js'

/* Servers that mean harm, over real sockets: every one of them meets a limit, in time and in memory. */

const MIB = 1024 * 1024
const LIMIT_MS = 1500
/** What a busy machine may add. */
const SLACK_MS = 3000

const {negotiation, remoteCommand} = serverCalls
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

/** A whole response whose result is these bytes. */
function response(name: string, seqid: number, result: Buffer): Buffer {
  const bytes = Buffer.concat([encodeResponse(name, seqid, 'ERR_OK'), result])
  bytes.writeInt32BE(bytes.length)
  return bytes
}

const text = (word: string) => ({type: remoteCommand.response, value: word})

describe('hostile servers', () => {
  const servers: {server: Server; sockets: Set<Socket>}[] = []
  const clients: PegasusClient[] = []
  let mostBytes = 0
  let watch: NodeJS.Timeout

  async function listen(accept: (socket: Socket) => void): Promise<string> {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => sockets.delete(socket))
      accept(socket)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    servers.push({server, sockets})
    return `127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  /** A server that sends what `answer` makes of each request. */
  const answering = (answer: (seqid: number, name: string, socket: Socket) => Buffer) =>
    listen((socket) => {
      socket.on('data', (chunk) => {
        const {head} = decodeRequest(chunk)
        socket.write(answer(head.seqid, head.name, socket))
      })
    })

  /** Writes the same again and again, as fast as it is taken. */
  const flood = (socket: Socket, bytes: Buffer) => {
    const go = () => {
      while (!socket.destroyed && socket.write(bytes));
    }

    socket.on('drain', go)
    go()
  }

  function client(): PegasusClient {
    const made = new PegasusClient({clock: systemClock, random: Math.random, transport: tcpTransport})
    clients.push(made)
    return made
  }

  const ask = (address: string, from = client()) =>
    from.pool.call(address, remoteCommand, {args: [], cmd: 'x'}, {timeoutMs: LIMIT_MS})

  /** Fails with one of the codes, within the limit. */
  async function fails(asked: Promise<unknown>, ...codes: string[]): Promise<Error> {
    const startMs = performance.now()
    let value: unknown
    try {
      value = await asked
    } catch (error) {
      assert.ok(isMigratorError(error, ...codes), `not ${codes.join(' or ')}: ${String(error)}`)
      assert.ok(performance.now() - startMs < LIMIT_MS + SLACK_MS, 'too late')
      return error
    }

    throw new assert.AssertionError({actual: value, message: 'it was believed'})
  }

  beforeEach(() => {
    const startBytes = process.memoryUsage().rss
    mostBytes = 0
    watch = setInterval(() => {
      mostBytes = Math.max(mostBytes, process.memoryUsage().rss - startBytes)
    }, 10)
  })

  afterEach(async () => {
    clearInterval(watch)
    await Promise.all(clients.splice(0).map((made) => made.close()))
    for (const {server, sockets} of servers.splice(0)) {
      for (const socket of sockets) socket.destroy()
      server.close()
    }

    // Most of it is what the server in this process sends.
    assert.ok(mostBytes < 160 * MIB, `${Math.round(mostBytes / MIB)} MiB more`)
  })

  it('RPC: claims a reply of 2^31 - 1 bytes', async () => {
    await fails(ask(await answering(() => int32(0x7f_ff_ff_ff))), 'rpc.too_large')
  })

  it('RPC: claims a reply of -2^31 bytes, or of none', async () => {
    await fails(ask(await answering(() => int32(-0x80_00_00_00))), 'rpc.malformed')
    await fails(ask(await answering(() => int32(0))), 'rpc.malformed')
  })

  it('RPC: claims 64 MiB and sends nothing of them', async () => {
    await fails(ask(await answering(() => int32(64 * MIB))), 'rpc.timeout')
  })

  it('RPC: a list of 10^9 elements', async () => {
    const result = hex('0c 0000 0c 0001 00000006 4552525f4f4b 0f 0002 0c 3b9aca00')
    const address = await answering((seqid, name) => response(name, seqid, result))
    const asked = client().pool.call(address, metaCalls.listApps, {status: 0}, {timeoutMs: LIMIT_MS})
    assert.match((await fails(asked, 'rpc.malformed')).message, /list claims 1000000000 elements/)
  })

  it('RPC: nests maps, lists and structs in a field that nobody knows', async () => {
    for (const nest of ['0d 7fff 0d0d00000001', '0f 7fff 0f00000001', '0c 7fff 0c0001']) {
      const [head, layer] = [hex(nest).subarray(0, 3), hex(nest).subarray(3)]
      const result = Buffer.concat([hex('0c 0000'), head, ...Array.from({length: 50_000}, () => layer)])
      const address = await answering((seqid, name) => response(name, seqid, result))
      const asked = client().pool.call(address, metaCalls.listApps, {status: 0}, {timeoutMs: LIMIT_MS})
      assert.match((await fails(asked, 'rpc.malformed')).message, /depth/)
    }
  })

  it('RPC: two million empty structs in a reply', async () => {
    const result = Buffer.concat([hex('0c 0000 0f 0002 0c'), int32(1_999_000), Buffer.alloc(1_999_002)])
    const address = await answering((seqid, name) => response(name, seqid, result))
    const asked = client().pool.call(address, metaCalls.listApps, {status: 0}, {timeoutMs: LIMIT_MS})
    assert.match((await fails(asked, 'rpc.malformed')).message, /more than 2000000 values/)
  })

  it('RPC: never finishes a reply', async () => {
    await fails(
      ask(await answering((seqid, name) => encodeResponse(name, seqid, 'ERR_OK', text('abc')).subarray(0, -1))),
      'rpc.timeout',
    )
  })

  it('RPC: drips a byte a second', async () => {
    const address = await listen((socket) => {
      const bytes = encodeResponse(remoteCommand.name, 1, 'ERR_OK', text('abc'))
      let sent = 0
      const drip = setInterval(() => socket.write(bytes.subarray(sent, ++sent)), 1000)
      socket.on('close', () => clearInterval(drip))
      socket.resume()
    })
    await fails(ask(address), 'rpc.timeout')
  })

  it("RPC: answers with another call's seqid", async () => {
    const address = await answering((seqid, name) => encodeResponse(name, seqid + 1000, 'ERR_OK', text('not yours')))
    await fails(ask(address), 'rpc.timeout')
  })

  it("RPC: answers under another call's name", async () => {
    const address = await answering((seqid) => encodeResponse(negotiation.name, seqid, 'ERR_OK', text('not yours')))
    assert.match((await fails(ask(address), 'rpc.malformed')).message, /reply is named RPC_NEGOTIATION_ACK/)
  })

  it('RPC: answers twice, and answers what was not asked yet', async () => {
    let count = 0
    const address = await answering((seqid, name) => {
      const own = encodeResponse(name, seqid, 'ERR_OK', text(`answer ${++count}`))
      const again = encodeResponse(name, seqid, 'ERR_OK', text('again'))
      return Buffer.concat([own, again, encodeResponse(name, seqid + 1, 'ERR_OK', text('too early'))])
    })
    const one = client()
    assert.deepEqual([await ask(address, one), await ask(address, one)], ['answer 1', 'answer 2'])
  })

  it('RPC: floods us with replies that nobody asked for', async () => {
    const piece = Buffer.concat(
      Array.from({length: 100}, () => encodeResponse('X', 7777, 'ERR_OK', text('x'.repeat(600)))),
    )
    await fails(ask(await listen((socket) => flood(socket, piece))), 'rpc.timeout')
  })

  it('RPC: sends a reply of 60 MiB in pieces, and never its end', async () => {
    const piece = Buffer.alloc(MIB)
    const address = await listen((socket) => {
      socket.resume()
      socket.write(int32(60 * MIB))
      for (let n = 0; n < 59; n++) socket.write(piece)
    })
    await fails(ask(address), 'rpc.timeout')
  })

  const get = (address: string) =>
    client().cluster([address]).server(address).duplicationStates(2, {timeoutMs: LIMIT_MS})
  const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n'

  it('HTTP: promises 10^12 bytes and sends none', async () => {
    await fails(
      get(await listen((socket) => socket.write(`${head}Content-Length: 1000000000000\r\n\r\n`))),
      'http.timeout',
    )
  })

  it('HTTP: a body without end', async () => {
    const address = await listen((socket) => {
      socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n`)
      flood(socket, Buffer.from(`10000\r\n${'x'.repeat(65_536)}\r\n`))
    })
    await fails(get(address), 'http.too_large')
  })

  it('HTTP: a head without end', async () => {
    const address = await listen((socket) => {
      socket.write('HTTP/1.1 200 OK\r\n')
      flood(socket, Buffer.from(`X-Header: ${'x'.repeat(1000)}\r\n`))
    })
    await fails(get(address), 'http.connection')
  })

  it('HTTP: drips a byte a second', async () => {
    const address = await listen((socket) => {
      let sent = 0
      const drip = setInterval(() => socket.write(head[sent++ % head.length]!), 1000)
      socket.on('close', () => clearInterval(drip))
    })
    await fails(get(address), 'http.timeout')
  })

  it('HTTP: two million brackets', async () => {
    const body = Buffer.alloc(2 * 1024 * 1024, '[')
    const address = await listen((socket) => {
      socket.write(`${head}Content-Length: ${body.length}\r\n\r\n`)
      socket.write(body)
    })
    assert.match((await fails(get(address), 'rpc.malformed')).message, /more than 500000 values/)
  })

  it('HTTP: sends us somewhere else', async () => {
    let visitors = 0
    const elsewhere = await listen(() => visitors++)
    const answer = `HTTP/1.1 302 Found\r\nLocation: http://${elsewhere}/\r\nContent-Length: 0\r\n\r\n`
    await fails(get(await listen((socket) => socket.write(answer))), 'http.status')
    assert.equal(visitors, 0)
  })

  const read = async (address: string) => {
    const store = new ZooKeeperStore({clock: systemClock, hosts: address, operationTimeoutMs: LIMIT_MS, root: '/x'})
    try {
      return await store.read('temp')
    } finally {
      await store.close()
    }
  }

  const zooKeeperCodes = ['zk.unreachable', 'zk.timeout', 'zk.connection_lost']

  it('ZooKeeper: claims an answer of 2^31 - 1 bytes and sends for ever', async () => {
    const address = await listen((socket) => {
      socket.write(int32(0x7f_ff_ff_ff))
      flood(socket, Buffer.alloc(65_536))
    })
    await fails(read(address), ...zooKeeperCodes)
  })

  it('ZooKeeper: claims an answer of -2^31 bytes', async () => {
    await fails(read(await listen((socket) => socket.write(int32(-0x80_00_00_00)))), ...zooKeeperCodes)
  })

  it('ZooKeeper: drips a byte a second', async () => {
    const address = await listen((socket) => {
      const drip = setInterval(() => socket.write('\0'), 1000)
      socket.on('close', () => clearInterval(drip))
      socket.resume()
    })
    await fails(read(address), ...zooKeeperCodes)
  })
})
