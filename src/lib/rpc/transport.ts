import {connect, type OnReadOpts} from 'node:net'
import type {Duplex} from 'node:stream'

/** Opens byte streams to servers. TCP in production; in-memory streams in simulations. */
export interface Transport {
  /**
   * @param address `host:port`
   * @param receive where a transport can, it gives what arrives to this, in a buffer that it uses again, instead of
   *   emitting `data`: no memory per piece
   * @throws the signal's reason when it is aborted, else the reason why no connection could be had
   */
  connect(address: string, signal: AbortSignal, receive?: (piece: Buffer) => void): Promise<Duplex>
  /** How one GET goes over one of its streams; default: by node:http. Simulations have a lighter way. */
  exchange?: HttpExchange
}

export interface HttpResponse {
  body: string
  status: number
}

/**
 * Sends a GET on a stream that was opened for it, and reads the whole answer.
 * @throws why there is none, or the signal's reason
 */
export type HttpExchange = (
  stream: Duplex,
  request: {address: string; path: string},
  signal: AbortSignal,
) => Promise<HttpResponse>

/** Read at once; a batch of a scan is some 100 KiB. */
const READ_BYTES = 256 * 1024
/**
 * One for all connections, which may be hundreds: where the kernel says that there is something to read, it is read and handed over in
 * one go. On Windows a buffer is given away before anything arrives.
 */
let sharedBuffer: Buffer | undefined

function readBuffer(): Buffer {
  if (process.platform === 'win32') return Buffer.allocUnsafeSlow(READ_BYTES)
  sharedBuffer ??= Buffer.allocUnsafeSlow(READ_BYTES)
  return sharedBuffer
}

/** Splits `host:port`. @throws TypeError when it is neither */
export function splitAddress(address: string): {host: string; port: number} {
  const match = /^(\[[\d:a-f]+]|[^:\s]+):(\d{1,5})$/i.exec(address)
  const port = Number(match?.[2])
  if (!match || port < 1 || port > 65_535) throw new TypeError(`not host:port: ${JSON.stringify(address)}`)
  return {host: match[1]!.replaceAll(/[[\]]/g, ''), port}
}

export const tcpTransport: Transport = {
  connect(address, signal, receive) {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const socket = connect({
        ...splitAddress(address),
        keepAlive: true,
        noDelay: true,
        ...(receive && {onread: readingInto(readBuffer(), receive)}),
      })
      const onAbort = () => {
        socket.destroy()
        reject(signal.reason)
      }

      signal.addEventListener('abort', onAbort, {once: true})
      socket.once('error', reject)
      socket.once('connect', () => {
        signal.removeEventListener('abort', onAbort)
        socket.off('error', reject)
        resolve(socket)
      })
    })
  },
}

function readingInto(buffer: Buffer, receive: (piece: Buffer) => void): OnReadOpts {
  return {
    buffer,
    callback(bytes) {
      receive(buffer.subarray(0, bytes))
      return true
    },
  }
}
