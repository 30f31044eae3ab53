import assert from 'node:assert/strict'
import type {Duplex} from 'node:stream'

import {HttpClient} from '../../../src/lib/rpc/http.js'
import {memoryNetwork} from '../../sandbox/network.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {httpResponse, rawHttp} from '../../support/raw-http.js'

/* What is said of a request that failed, and what is left of it. */

async function bed(accept: (stream: Duplex) => void, maxBodyBytes?: number) {
  const clock = new VirtualClock()
  const network = memoryNetwork()
  const {address} = await network.listen(accept)
  let stream: Duplex | undefined
  const http = new HttpClient({
    clock,
    maxBodyBytes,
    transport: {
      async connect(to, signal) {
        stream = await network.transport.connect(to, signal)
        return stream
      },
    },
  })
  return {
    address,
    clock,
    get: (path: string, o = {}) => clock.run(http.get(address, path, {timeoutMs: 1000, ...o})),
    http,
    isOpen: () => stream !== undefined && !stream.destroyed,
  }
}

describe('an HTTP request that fails', () => {
  it('is told without what was asked behind the path', async () => {
    const {address, get, isOpen} = await bed(rawHttp(() => undefined))
    await assert.rejects(get('/replica/duplication?appid=1'), {
      code: 'http.timeout',
      facts: {address, path: '/replica/duplication', timeoutMs: 1000},
      message: `${address} did not answer GET /replica/duplication within 1000 ms`,
    })
    assert.equal(isOpen(), false)
  })

  it('is told with the call, the server and the reason when it is given up', async () => {
    const {address, clock, get, http, isOpen} = await bed(rawHttp(() => undefined))
    const leaving = new AbortController()
    clock.setTimer(100, () => leaving.abort(new Error('Ctrl-C')))
    const facts = {address, call: 'GET /version'}
    await assert.rejects(get('/version?x', {signal: leaving.signal}), {
      code: 'rpc.aborted',
      facts,
      message: `GET /version to ${address} was given up: Ctrl-C`,
    })
    assert.equal(isOpen(), false)
    clock.setTimer(100, () => http.close())
    await assert.rejects(get('/version'), {
      code: 'rpc.aborted',
      facts,
      message: `GET /version to ${address} was given up: the HTTP client was closed`,
    })
  })

  it('before it was connected says so too', async () => {
    const clock = new VirtualClock()
    const seen: AbortSignal[] = []
    const http = new HttpClient({
      clock,
      transport: {
        connect: (_address, signal) =>
          new Promise((_, reject) => {
            seen.push(signal)
            signal.addEventListener('abort', () => reject(signal.reason))
          }),
      },
    })
    await assert.rejects(clock.run(http.get('a:1', '/x', {timeoutMs: 300})), {code: 'http.timeout'})
    assert.equal(clock.nowMs(), 300)
    const aborted = AbortSignal.abort(new Error('Ctrl-C'))
    await assert.rejects(http.get('a:1', '/x', {signal: aborted, timeoutMs: 300}), {code: 'rpc.aborted'})
    assert.equal(seen.length, 1, 'nothing is connected to')
  })

  it('for another reason names that, and may be sent again', async () => {
    const cause = new Error('ECONNREFUSED')
    const clock = new VirtualClock()
    const http = new HttpClient({clock, transport: {connect: () => Promise.reject(cause)}})
    await assert.rejects(http.get('a:1', '/x?y', {timeoutMs: 300}), (error: Error) => {
      assert.equal(error.message, 'GET /x of a:1 failed: ECONNREFUSED')
      assert.equal(error.cause, cause)
      return true
    })
    await assert.rejects(clock.run(new Promise(() => {})), /nothing left/)
  })

  it('for a body that is too large says how much is read', async () => {
    const {address, get, isOpen} = await bed(
      rawHttp(() => httpResponse(200, 'x'.repeat(2000))),
      1000,
    )
    await assert.rejects(get('/x'), {
      code: 'http.too_large',
      facts: {address, maxBytes: 1000},
      message: `${address} answered more than 1000 bytes`,
    })
    assert.equal(isOpen(), false)
  })

  it('for a path of the metas was never sent', async () => {
    const {get, isOpen} = await bed(rawHttp(() => httpResponse(200, '')))
    await assert.rejects(get('/meta/app'), {message: 'metas are asked by RPC only, not /meta/app', name: 'TypeError'})
    assert.equal(isOpen(), false)
    assert.deepEqual(await get('/metadata'), {body: '', status: 200})
  })
})

describe('an HTTP request', () => {
  it('closes its connection when it is answered', async () => {
    const {get, isOpen} = await bed(rawHttp(() => httpResponse(200, 'ok')))
    assert.deepEqual(await get('/version'), {body: 'ok', status: 200})
    assert.equal(isOpen(), false)
  })

  it('reads what comes in pieces as one text, whole characters too', async () => {
    const {get} = await bed((stream) => {
      stream.on('error', () => {})
      stream.once('data', () => {
        const bytes = Buffer.from('grün')
        stream.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`)
        stream.write(bytes.subarray(0, 3))
        stream.write(bytes.subarray(3))
      })
    })
    assert.equal((await get('/version')).body, 'grün')
  })

  it('has one Host header, of the server', async () => {
    let head = ''
    const {address, get} = await bed(
      rawHttp((request) => {
        head = request
        return httpResponse(200, '')
      }),
    )
    await get('/version')
    assert.deepEqual(head.match(/^host: .*$/gim), [`Host: ${address}`])
  })
})
