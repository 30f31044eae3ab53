import type {HttpExchange, HttpResponse} from '../../src/lib/rpc/transport.js'

const NOTHING = Buffer.alloc(0)

/**
 * A GET as node:http sends it, and an answer as the servers here send theirs (whole, with its length), without the cost of
 * node's client: a simulation asks hundreds of times a second.
 */
export const plainExchange: HttpExchange = (stream, {address, path}, signal) =>
  new Promise((resolve, reject) => {
    let isAnswered = false
    let received: Buffer = NOTHING
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, {once: true})
    stream.on('data', (bytes: Buffer) => {
      received = received.length === 0 ? bytes : Buffer.concat([received, bytes])
      try {
        const response = responseIn(received)
        if (!response) return
        isAnswered = true
        resolve(response)
      } catch (error) {
        reject(error)
      }
    })
    stream.on('error', reject)
    stream.once('close', () => {
      signal.removeEventListener('abort', onAbort)
      if (!isAnswered) reject(new Error('socket hang up'))
    })
    stream.write(Buffer.from(`GET ${path} HTTP/1.1\r\nHost: ${address}\r\nConnection: close\r\n\r\n`))
  })

/** The answer at the head of `bytes`, once it is complete. */
function responseIn(bytes: Buffer): HttpResponse | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd === -1) return undefined
  const head = bytes.toString('latin1', 0, headEnd)
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]
  const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1]
  if (status === undefined || length === undefined) throw new Error(`not an answer: ${head}`)
  const bodyStart = headEnd + 4
  const bodyEnd = bodyStart + Number(length)
  if (bytes.length < bodyEnd) return undefined
  return {body: bytes.toString('utf8', bodyStart, bodyEnd), status: Number(status)}
}
