// A process of its own that answers scans from bytes made beforehand, so that the servers' side costs the reader nothing.
// It listens on two ports, one for each side of a comparison, and tells them to its parent.
import {once} from 'node:events'
import {type AddressInfo, createServer, type Socket} from 'node:net'
import {encodeKey} from '../src/lib/pegasus/key-hash.js'
import {dataCalls} from '../src/lib/rpc/calls.js'
import {decodeArguments, decodeRequest, encodeResponse, requestLength} from '../src/lib/rpc/frame.js'

/** What the parent asks for, as JSON in the first argument. */
export interface CannedTable {
  rowsPerPartition: number
  valueBytes: number
}

const table = JSON.parse(process.argv[2]!) as CannedTable
const SORT_KEY = Buffer.from('profile:')
const value = Buffer.alloc(table.valueBytes, 'the quick brown fox jumps over the lazy dog ')

/** 20 bytes, and the length of the hash key before them. */
function keyOf(row: number): Buffer {
  return encodeKey(Buffer.from(`user${String(row).padStart(8, '0')}`), SORT_KEY)
}

interface CannedReply {
  head: Buffer
  rest: Buffer
  seqidAt: number
}

const replies = new Map<string, CannedReply>()

/** The same for every partition; the id of a scan is the number of the row it goes on at, and its batch size. */
function replyFor(call: string, from: number, batchSize: number): CannedReply {
  const id = `${call} ${from} ${batchSize}`
  let reply = replies.get(id)
  if (reply) return reply
  const end = Math.min(from + batchSize, table.rowsPerPartition)
  const kvs = Array.from({length: end - from}, (_, n) => ({expireTsSeconds: 0, key: keyOf(from + n), value}))
  const contextId = end === table.rowsPerPartition ? -1n : (BigInt(batchSize) << 32n) | BigInt(end)
  const response = {appId: 1, contextId, error: 0, kvs, partitionIndex: 0, server: ''}
  const bytes = encodeResponse(call, 0, 'ERR_OK', {type: dataCalls.scan.response, value: response})
  // Length, error, version and name of the message.
  const seqidAt = 4 + (4 + 'ERR_OK'.length) + 4 + (4 + `${call}_ACK`.length)
  reply = {head: bytes.subarray(0, seqidAt + 4), rest: bytes.subarray(seqidAt + 4), seqidAt}
  replies.set(id, reply)
  return reply
}

function rowAfter(startKey: Buffer, inclusive: boolean): number {
  if (startKey.length <= 2) return 0
  return Number(startKey.toString('latin1', 6, 14)) + (inclusive ? 0 : 1)
}

function answer(socket: Socket, request: Buffer): void {
  const {args, head} = decodeRequest(request)
  let reply: CannedReply
  if (head.name === dataCalls.getScanner.name) {
    const {batchSize, startInclusive, startKey} = decodeArguments(dataCalls.getScanner.request, args)
    reply = replyFor(head.name, rowAfter(startKey, startInclusive), batchSize)
  } else if (head.name === dataCalls.scan.name) {
    const {contextId} = decodeArguments(dataCalls.scan.request, args)
    reply = replyFor(head.name, Number(contextId & 0xff_ff_ff_ffn), Number(contextId >> 32n))
  } else return
  const first = Buffer.from(reply.head)
  first.writeInt32BE(head.seqid, reply.seqidAt)
  socket.cork()
  socket.write(first)
  socket.write(reply.rest)
  socket.uncork()
}

function serve(socket: Socket): void {
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  let bytes: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
    for (let length = requestLength(bytes); length !== undefined && length <= bytes.length;) {
      answer(socket, bytes.subarray(0, length))
      bytes = bytes.subarray(length)
      length = requestLength(bytes)
    }
  })
}

const servers = [createServer(serve), createServer(serve)]
for (const server of servers) server.listen(0, '127.0.0.1')
await Promise.all(servers.map((server) => once(server, 'listening')))
// Made now, not while somebody measures.
for (const call of [dataCalls.getScanner.name, dataCalls.scan.name]) replyFor(call, 0, 20)
for (let from = 20; from < table.rowsPerPartition; from += 1000)
  replyFor(from === 20 ? dataCalls.getScanner.name : dataCalls.scan.name, from, 1000)
process.send!(servers.map((server) => `127.0.0.1:${(server.address() as AddressInfo).port}`))
process.on('disconnect', () => {
  for (const server of servers) server.close()
})
