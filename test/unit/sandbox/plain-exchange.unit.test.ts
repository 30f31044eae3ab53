import assert from 'node:assert/strict'
import type {Duplex} from 'node:stream'

import {HttpClient} from '../../../src/lib/rpc/http.js'
import {memoryNetwork} from '../../sandbox/network.js'
import {plainExchange} from '../../sandbox/plain-exchange.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {httpResponse} from '../../support/raw-http.js'

const ANSWER = Buffer.from(httpResponse(404, 'no primary for app [appid=9], überhaupt'))

/** What the server got of one GET, and what the client made of the pieces that it answered with. */
async function ask(isPlain: boolean, pieces: Buffer[], isCutAfter = false) {
  const clock = new VirtualClock()
  const {listen, transport} = memoryNetwork()
  let got = ''
  const serve = (stream: Duplex) => {
    stream.on('error', () => {})
    stream.on('data', (bytes: Buffer) => {
      got += bytes.toString()
      if (!got.endsWith('\r\n\r\n')) return
      for (const piece of pieces) stream.write(piece)
      if (isCutAfter) stream.end()
    })
  }

  const {address} = await listen(serve)
  const http = new HttpClient({clock, transport: {...transport, ...(isPlain ? {exchange: plainExchange} : {})}})
  const answer = http.get(address, '/replica/duplication?appid=9', {timeoutMs: 1000}).catch((error: unknown) => error)
  return {answer: await clock.run(answer), atMs: clock.nowMs(), got}
}

describe('a plain exchange', () => {
  it('sends and reads what node:http does, however the answer is cut', async () => {
    for (let at = 0; at < ANSWER.length; at += 7) {
      const pieces = [ANSWER.subarray(0, at), ANSWER.subarray(at)].filter(({length}) => length > 0)
      assert.deepEqual(await ask(true, pieces), await ask(false, pieces))
    }
  })

  it('fails as node:http does when the connection ends too early, or nothing more comes', async () => {
    for (const bytes of [Buffer.alloc(0), ANSWER.subarray(0, 20), ANSWER.subarray(0, -1)]) {
      const pieces = bytes.length > 0 ? [bytes] : []
      for (const isCut of [true, false]) {
        const [plain, byNode] = [await ask(true, pieces, isCut), await ask(false, pieces, isCut)]
        assert.equal((plain.answer as {code: string}).code, isCut ? 'http.connection' : 'http.timeout')
        assert.equal((byNode.answer as {code: string}).code, isCut ? 'http.connection' : 'http.timeout')
        assert.equal(plain.atMs, byNode.atMs)
      }
    }
  })
})
