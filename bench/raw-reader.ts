import {connect} from 'node:net'
import {once} from 'node:events'
import {dataCalls} from '../src/lib/rpc/calls.js'
import {encodeRequest} from '../src/lib/rpc/frame.js'
import {splitAddress} from '../src/lib/rpc/transport.js'

export interface RawOptions {
  addresses: readonly string[]
  batchRows: number
  /** Scans under way on each connection. */
  inFlight: number
  partitionCount: number
  rowsPerPartition: number
}

/**
 * Asks for the same batches over the same kind of sockets and only counts bytes: of a reply nothing is looked at but
 * its length. As fast as this Node can read here.
 * @returns bytes received
 */
export async function readRaw(options: RawOptions): Promise<number> {
  const bytes = await Promise.all(options.addresses.map((address) => readSide(address, options)))
  return bytes.reduce((sum, count) => sum + count, 0)
}

async function readSide(address: string, options: RawOptions): Promise<number> {
  const {batchRows, inFlight, partitionCount, rowsPerPartition} = options
  const pid = {appId: 1, partitionIndex: 0}
  const head = {
    clientTimeoutMs: 10_000,
    isBackupRequest: false,
    name: dataCalls.scan.name,
    partitionHash: 0n,
    pid,
    seqid: 1,
  }
  const requests: Buffer[] = []
  for (let from = 20; from < rowsPerPartition; from += batchRows) {
    const contextId = (BigInt(batchRows) << 32n) | BigInt(from)
    for (let partition = 0; partition < partitionCount; partition++)
      requests.push(encodeRequest(head, dataCalls.scan.request, {contextId}))
  }

  const socket = connect({...splitAddress(address), noDelay: true})
  await once(socket, 'connect')
  return new Promise((resolve, reject) => {
    let [next, replies, received] = [0, 0, 0]
    /** Bytes of the reply that are still to come; at most 4 bytes of its length are kept. */
    let left = 0
    let prefix: Buffer = Buffer.alloc(0)
    const send = () => {
      if (next < requests.length) socket.write(requests[next++]!)
    }

    socket.on('error', reject)
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length
      let at = 0
      for (;;) {
        const skipped = Math.min(left, chunk.length - at)
        at += skipped
        left -= skipped
        if (left > 0) return
        if (prefix.length === 4) {
          prefix = Buffer.alloc(0)
          send()
          if (++replies === requests.length) {
            socket.destroy()
            resolve(received)
            return
          }
        }

        const piece = chunk.subarray(at, at + 4 - prefix.length)
        if (piece.length === 0) return
        prefix = Buffer.concat([prefix, piece])
        at += piece.length
        if (prefix.length < 4) return
        left = prefix.readInt32BE(0) - 4
      }
    })
    for (let n = 0; n < inFlight; n++) send()
  })
}
