import assert from 'node:assert/strict'
import type {Duplex} from 'node:stream'

import {HttpClient} from '../../../src/lib/rpc/http.js'
import {memoryNetwork} from '../../sandbox/network.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {assertAtRest} from '../../support/at-rest.js'
import {httpResponse, rawHttp} from '../../support/raw-http.js'

async function bed(accept: (stream: Duplex) => void, maxBodyBytes?: number) {
  const clock = new VirtualClock()
  const network = memoryNetwork()
  const {address} = await network.listen(accept)
  const http = new HttpClient({clock, maxBodyBytes, transport: network.transport})
  return {
    address,
    clock,
    http,
    get: (path: string, o = {}) => clock.run(http.get(address, path, {timeoutMs: 1000, ...o})),
  }
}

describe('HttpClient', () => {
  it('gets status and body, and closes its connection', async () => {
    let head = ''
    let open = 0
    const serve = rawHttp((request) => {
      head = request
      return httpResponse(404, 'no primary for app [appid=9999]')
    })
    const {address, clock, get} = await bed((stream) => {
      open++
      stream.on('close', () => open--)
      serve(stream)
    })
    assert.deepEqual(await get('/replica/duplication?appid=9999'), {
      body: 'no primary for app [appid=9999]',
      status: 404,
    })
    assert.match(head, /^GET \/replica\/duplication\?appid=9999 HTTP\/1\.1\r\n/)
    assert.match(head, new RegExp(`Host: ${address}`))
    await clock.advance(0)
    assert.equal(open, 0)
    await assertAtRest(clock)
  })

  it('follows no redirect', async () => {
    const {get} = await bed(
      rawHttp(() => 'HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nLocation: http://x/y\r\n\r\n'),
    )
    assert.deepEqual(await get('/x'), {body: '', status: 307})
  })

  it('never asks a path of the metas', async () => {
    const {get} = await bed(rawHttp(() => httpResponse(200, '')))
    for (const path of ['/meta/cluster', '//meta/app?name=x', '/meta']) await assert.rejects(get(path), TypeError)
  })

  it('times out', async () => {
    const {address, clock, get} = await bed(rawHttp(() => undefined))
    await assert.rejects(get('/version'), {
      code: 'http.timeout',
      facts: {address, path: '/version', timeoutMs: 1000},
      retrySafe: true,
    })
    assert.equal(clock.nowMs(), 1000)
  })

  it('times out in the middle of a body too', async () => {
    const {get} = await bed(rawHttp(() => 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'))
    await assert.rejects(get('/version'), {code: 'http.timeout'})
  })

  it('ends with its caller', async () => {
    const {get} = await bed(rawHttp(() => undefined))
    const controller = new AbortController()
    const call = get('/version', {signal: controller.signal})
    controller.abort(new Error('Ctrl-C'))
    await assert.rejects(call, {code: 'rpc.aborted'})
    await assert.rejects(get('/version', {signal: controller.signal}), {code: 'rpc.aborted'})
  })

  it('ends with close()', async () => {
    const {get, http} = await bed(rawHttp(() => undefined))
    const calls = [get('/version'), get('/version', {signal: new AbortController().signal})]
    http.close()
    for (const call of calls) await assert.rejects(call, {code: 'rpc.aborted'})
    await assert.rejects(get('/version'), {code: 'rpc.aborted'})
  })

  for (const [what, answer] of [
    ['an empty answer', ''],
    ['half a head', 'HTTP/1.1 200 O'],
    ['half a body', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'],
    ['what is no HTTP', 'THFT\u0000\u0000\u0000\u0001'],
    ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n'],
    ['an endless head', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}`],
  ]) {
    it(`${what} and a closed connection is http.connection`, async () => {
      const {address, get} = await bed((stream) => {
        stream.on('error', () => stream.destroy())
        stream.once('data', () => stream.end(answer))
      })
      await assert.rejects(get('/version'), {
        code: 'http.connection',
        facts: {address, path: '/version'},
        retrySafe: true,
      })
    })
  }

  it('a refused connection is http.connection', async () => {
    const clock = new VirtualClock()
    const http = new HttpClient({clock, transport: memoryNetwork().transport})
    const get = http.get('127.0.0.1:1', '/version', {timeoutMs: 1000})
    await assert.rejects(clock.run(get), {code: 'http.connection', retrySafe: true})
  })

  it('reads no more than it is allowed to', async () => {
    const {get} = await bed(
      rawHttp(() => httpResponse(200, 'x'.repeat(1001))),
      1000,
    )
    await assert.rejects(get('/configs'), {code: 'http.too_large'})
    const fits = await bed(
      rawHttp(() => httpResponse(200, 'x'.repeat(1000))),
      1000,
    )
    assert.equal((await fits.get('/configs')).body.length, 1000)
  })
})
