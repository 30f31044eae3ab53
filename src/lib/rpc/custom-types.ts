import {i64, string, type WireType} from './codec.js'
import {malformed} from './memory-transport.js'
import {TType} from './protocol.js'

/*
 * Payloads that carry the wire type STRUCT but have neither field headers nor a STOP byte (protocol.md §1.4).
 */

function custom<T>(inner: Omit<WireType<T>, 'typeId'>): WireType<T> {
  return {...inner, typeId: TType.STRUCT}
}

/** Name of an error, an open set: `ERR_OK`, `ERR_BUSY`, ... */
export const errorCode: WireType<string> = custom({...string, zero: () => 'ERR_UNKNOWN'})

export const taskCode: WireType<string> = custom({...string})

const noBytes = Buffer.alloc(0)

/** Bytes; a view into the message that was decoded. */
export const blob: WireType<Buffer> = custom({
  minBytes: 4,
  read: (r) => r.protocol.readBinary(),
  write: (w, v) => w.protocol.writeBinary(v),
  zero: () => noBytes,
})

/** One partition of one table. */
export interface Gpid {
  appId: number
  partitionIndex: number
}

export const gpid: WireType<Gpid> = custom({
  minBytes: 8,
  read(r) {
    const value = i64.read(r)
    return {appId: Number(BigInt.asIntN(32, value)), partitionIndex: Number(value >> 32n)}
  },
  write: (w, v) => i64.write(w, (BigInt(v.partitionIndex) << 32n) | BigInt.asUintN(32, BigInt(v.appId))),
  zero: () => ({appId: 0, partitionIndex: 0}),
})

/** `a.partition` as Pegasus prints it. */
export function formatGpid(pid: Gpid): string {
  return `${pid.appId}.${pid.partitionIndex}`
}

/** `a.b.c.d:port`, or null for the invalid address (no primary). */
export type RpcAddress = null | string

export const rpcAddress: WireType<RpcAddress> = custom({
  minBytes: 8,
  read(r) {
    const value = BigInt.asUintN(64, i64.read(r))
    const type = Number(value & 0xff_ffn)
    if (type === 0) return null
    if (type !== 1) throw malformed(`rpc_address of type ${type}`)
    const ip = Number(value >> 32n)
    return `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}:${Number((value >> 16n) & 0xff_ffn)}`
  },
  write(w, v) {
    i64.write(w, v === null ? 0n : BigInt.asIntN(64, packAddress(v)))
  },
  zero: () => null,
})

function packAddress(address: string): bigint {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3}):(\d{1,5})$/.exec(address)
  const parts = match?.slice(1).map(Number)
  if (!parts || parts.slice(0, 4).some((octet) => octet > 255) || parts[4]! > 65_535) {
    throw new TypeError(`not an IPv4 address with port: ${address}`)
  }

  const ip = parts.slice(0, 4).reduce((sum, octet) => sum * 256 + octet, 0)
  return (BigInt(ip) << 32n) | (BigInt(parts[4]!) << 16n) | 1n
}

/** master's name of a server beside its rpc_address. */
export interface HostPort {
  host: string
  port: number
  type: number
}

export const hostPort: WireType<HostPort> = custom({
  minBytes: 7,
  read: (r) => ({
    host: r.protocol.readString(),
    port: r.protocol.readI16() & 0xff_ff,
    type: r.protocol.readByte(),
  }),
  write(w, v) {
    w.protocol.writeString(v.host)
    w.protocol.writeI16((v.port << 16) >> 16)
    w.protocol.writeByte(v.type)
  },
  zero: () => ({host: '', port: 0, type: 0}),
})
