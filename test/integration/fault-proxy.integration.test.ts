import assert from 'node:assert/strict'
import {once} from 'node:events'
import {type AddressInfo, connect, createServer, type Server, type Socket} from 'node:net'
import type {Duplex} from 'node:stream'

import {sleep, systemClock} from '../../src/lib/clock.js'
import {splitAddress} from '../../src/lib/rpc/transport.js'
import {FaultProxy, FaultyNetwork} from '../support/fault-proxy.js'

/** How long nothing must come to count as silence. */
const SILENCE_MS = 300

const gone = (socket: Duplex) =>
  new Promise<void>((resolve) => {
    if (socket.destroyed) resolve()
    else socket.once('close', resolve)
  })

describe('fault proxy', () => {
  let echo: Server
  let target: string
  let proxy: FaultProxy
  const sockets: Socket[] = []

  beforeEach(async () => {
    echo = createServer((socket) => {
      socket.on('error', () => {})
      socket.pipe(socket)
    })
    echo.listen(0, '127.0.0.1')
    await once(echo, 'listening')
    target = `127.0.0.1:${(echo.address() as AddressInfo).port}`
    proxy = await FaultProxy.start(target)
  })

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await proxy.stop()
    echo.close()
    await once(echo, 'close')
  })

  async function dial(): Promise<Socket> {
    const socket = connect(splitAddress(proxy.address))
    socket.on('error', () => {})
    sockets.push(socket)
    // A reset may come as early as that.
    await Promise.race([once(socket, 'connect').catch(() => {}), gone(socket)])
    return socket
  }

  /** Sends a text and collects what comes until it is whole, or until there is silence. */
  async function say(socket: Socket, text: string, waitMs = 5000): Promise<string> {
    let heard = ''
    const hear = (bytes: Buffer) => {
      heard += bytes.toString('latin1')
    }

    socket.on('data', hear)
    socket.write(text)
    for (const startMs = performance.now(); heard.length < text.length && performance.now() - startMs < waitMs;)
      await sleep(systemClock, 5)
    socket.off('data', hear)
    return heard
  }

  it('carries everything both ways, and the end', async () => {
    const socket = await dial()
    assert.equal(await say(socket, 'x'.repeat(1_000_000)), 'x'.repeat(1_000_000))
    socket.end()
    await gone(socket)
  })

  it('delays, and keeps the order', async () => {
    const socket = await dial()
    proxy.set({delayMs: 100, kind: 'delay'})
    const startMs = performance.now()
    assert.equal(await say(socket, 'one'), 'one')
    assert.ok(performance.now() - startMs >= 195, 'there and back')
    proxy.set({kind: 'none'})
    assert.equal(await say(socket, 'two'), 'two')
  })

  it('cuts what is open and what comes, and lets through again', async () => {
    const socket = await dial()
    await say(socket, 'x')
    proxy.set({kind: 'cut'})
    await gone(socket)
    const next = await dial()
    await gone(next)
    proxy.set({kind: 'none'})
    assert.equal(await say(await dial(), 'again'), 'again')
    assert.ok(proxy.open >= 1)
  })

  it('leaves connections half open: nothing comes, nothing ends, and they never live again', async () => {
    const socket = await dial()
    await say(socket, 'x')
    proxy.set({kind: 'half-open'})
    assert.equal(await say(socket, 'lost', SILENCE_MS), '')
    const young = await dial()
    assert.equal(await say(young, 'lost', SILENCE_MS), '')
    proxy.set({kind: 'none'})
    assert.equal(await say(socket, 'lost', SILENCE_MS), '')
    assert.equal(socket.destroyed, false)
    assert.equal(await say(await dial(), 'fresh'), 'fresh')
  })

  it('throttles', async () => {
    const socket = await dial()
    proxy.set({bytesPerSecond: 10_000, kind: 'throttle'})
    const startMs = performance.now()
    assert.equal((await say(socket, 'x'.repeat(2000))).length, 2000)
    assert.ok(performance.now() - startMs >= 395, 'two times 200 ms')
  })

  it('damages answers, not questions', async () => {
    const socket = await dial()
    proxy.set({kind: 'corrupt'})
    assert.equal(await say(socket, 'abc'), `${String.fromCodePoint(0x61 ^ 0xc5)}bc`)
  })

  it('stands before each server of a network by itself', async () => {
    const network = new FaultyNetwork()
    const {signal} = new AbortController()
    try {
      await network.set([target], {kind: 'cut'})
      const cut = await network.transport.connect(target, signal).catch(() => undefined)
      if (cut) await gone(cut.on('error', () => {}))
      await network.heal()
      const stream = await network.transport.connect(target, signal)
      stream.write('x')
      assert.equal(String((await once(stream, 'data'))[0]), 'x')
      stream.destroy()
    } finally {
      await network.stop()
    }
  })
})
