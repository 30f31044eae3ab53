import {bool, decodeWrapped, encodeWrapped, i32, i64, opt, struct, type WireType} from './codec.js'
import type {Gpid} from './custom-types.js'
import {malformed} from './memory-transport.js'
import {createWriter, decodeWith, type Writer} from './protocol.js'
import {tooLargeError} from './rpc-errors.js'

const MAGIC = 0x54_48_46_54
const CALL = 1
const REPLY = 2

/** thrift_request_meta_v1 (protocol.md §1.1). */
const requestMeta = struct('thrift_request_meta_v1', {
  appId: opt(1, i32),
  partitionIndex: opt(2, i32),
  clientTimeoutMs: opt(3, i32),
  clientPartitionHash: opt(4, i64),
  isBackupRequest: opt(5, bool),
})

export interface RequestHead {
  clientTimeoutMs: number
  isBackupRequest: boolean
  name: string
  partitionHash: bigint
  pid: Gpid
  seqid: number
}

/** Length of a whole request, or undefined while its header is not complete. */
export function requestLength(bytes: Buffer): number | undefined {
  if (bytes.length < 16) return undefined
  if (bytes.readUInt32BE(0) !== MAGIC) throw malformed('request does not begin with THFT')
  const version = bytes.readUInt32BE(4)
  if (version === 1) return 16 + bytes.readUInt32BE(8) + bytes.readUInt32BE(12)
  if (version !== 0 || bytes.readUInt32BE(8) !== 48) throw malformed(`request header version ${version}`)
  return bytes.length < 20 ? undefined : 48 + bytes.readUInt32BE(16)
}

/** A whole request with header version 1: the server works out the thread hash by itself (protocol.md §1.1). */
export function encodeRequest<T>(head: RequestHead, type: WireType<T>, value: T): Buffer {
  const writer = createWriter()
  const {transport} = writer
  transport.writeI32(MAGIC)
  transport.writeI32(1)
  // The lengths of what follows.
  transport.writeI32(0)
  transport.writeI32(0)
  requestMeta.write(writer, {
    appId: head.pid.appId,
    clientPartitionHash: BigInt.asIntN(64, head.partitionHash),
    clientTimeoutMs: head.clientTimeoutMs,
    isBackupRequest: head.isBackupRequest,
    partitionIndex: head.pid.partitionIndex,
  })
  const bodyStart = transport.length
  writeRequestBody(writer, head.name, head.seqid, type, value)
  transport.setI32(8, bodyStart - 16)
  transport.setI32(12, transport.length - bodyStart)
  return transport.toBuffer()
}

/** The message part of a request: TMessage and arguments (protocol.md §1.2). */
export function encodeRequestBody<T>(name: string, seqid: number, type: WireType<T>, value: T): Buffer {
  const writer = createWriter()
  writeRequestBody(writer, name, seqid, type, value)
  return writer.transport.toBuffer()
}

function writeRequestBody<T>(writer: Writer, name: string, seqid: number, type: WireType<T>, value: T): void {
  writer.protocol.writeMessageBegin(name, CALL, seqid)
  encodeWrapped(writer, 1, type, value)
}

export interface DecodedRequest {
  /** The arguments' bytes, still encoded: their type depends on `head.name`. */
  args: Buffer
  /** TMessage and arguments. */
  body: Buffer
  head: RequestHead
  headerVersion: 0 | 1
}

/** Reads a whole request of either header version; the server's side, and the golden tests. */
export function decodeRequest(bytes: Buffer): DecodedRequest {
  if (requestLength(bytes) !== bytes.length) throw malformed('request length differs from its header')
  const version1 = bytes.readUInt32BE(4) === 1
  const bodyStart = version1 ? 16 + bytes.readUInt32BE(8) : 48
  const meta = version1
    ? decodeWith(bytes.subarray(16, bodyStart), (reader) => requestMeta.read(reader))
    : {
        appId: bytes.readInt32BE(24),
        clientPartitionHash: bytes.readBigInt64BE(40),
        clientTimeoutMs: bytes.readInt32BE(32),
        isBackupRequest: false,
        partitionIndex: bytes.readInt32BE(28),
      }
  const body = bytes.subarray(bodyStart)
  return decodeWith(body, (reader) => {
    const {fname, rseqid} = reader.protocol.readMessageBegin()
    return {
      args: body.subarray(reader.transport.position),
      body,
      head: {
        clientTimeoutMs: meta.clientTimeoutMs ?? 0,
        isBackupRequest: meta.isBackupRequest ?? false,
        name: fname,
        partitionHash: BigInt.asUintN(64, meta.clientPartitionHash ?? 0n),
        pid: {appId: meta.appId ?? 0, partitionIndex: meta.partitionIndex ?? 0},
        seqid: rseqid,
      },
      headerVersion: version1 ? 1 : 0,
    }
  })
}

/** The arguments of a request, of the type that its name tells. */
export function decodeArguments<T>(type: WireType<T>, args: Buffer): T {
  return decodeWith(args, (reader) => {
    const value = decodeWrapped(reader, type)
    if (reader.transport.remaining > 0) throw malformed(`${reader.transport.remaining} bytes after the arguments`)
    return value
  })
}

export interface DecodedResponse {
  /** `ERR_OK`, or why the server did not run the call; an open set of names. */
  error: string
  /** `<request>_ACK` */
  name: string
  /** The result's bytes, still encoded; empty for most errors. */
  result: Buffer
  seqid: number
}

/** Length of a whole response, this prefix included, or undefined while it is not known. */
export function responseLength(bytes: Buffer, maxBytes: number): number | undefined {
  if (bytes.length < 4) return undefined
  const length = bytes.readInt32BE(0)
  if (length < 24) throw malformed(`response of ${length} bytes`)
  if (length > maxBytes) throw tooLargeError('response', length, maxBytes)
  return length
}

/** Reads a whole response, length prefix included (protocol.md §1.3). */
export function decodeResponse(bytes: Buffer): DecodedResponse {
  return decodeWith(bytes.subarray(4), (reader) => {
    const error = reader.protocol.readString()
    const {fname, mtype, rseqid} = reader.protocol.readMessageBegin()
    if (mtype !== REPLY) throw malformed(`message type ${mtype} in a response`)
    return {error, name: fname, result: bytes.subarray(4 + reader.transport.position), seqid: rseqid}
  })
}

/** The result of a response, of the type that the request's name tells. */
export function decodeResult<T>(type: WireType<T>, result: Buffer): T {
  return decodeArguments(type, result)
}

/** A whole response; without `result` only the RPC-level error is sent, as servers do. */
export function encodeResponse<T>(
  name: string,
  seqid: number,
  error: string,
  result?: {type: WireType<T>; value: T},
): Buffer {
  const writer = createWriter()
  // The length of all.
  writer.transport.writeI32(0)
  writer.protocol.writeString(error)
  writer.protocol.writeMessageBegin(`${name}_ACK`, REPLY, seqid)
  if (result) encodeWrapped(writer, 0, result.type, result.value)
  writer.transport.setI32(0, writer.transport.length)
  return writer.transport.toBuffer()
}
