import {i32, string, type WireType} from './codec.js'
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
  // One i64 with the partition in its upper half.
  read(r) {
    const partitionIndex = i32.read(r)
    return {appId: i32.read(r), partitionIndex}
  },
  write(w, v) {
    i32.write(w, v.partitionIndex)
    i32.write(w, v.appId)
  },
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
  // One i64: the IP in its upper half, then port and type.
  read(r) {
    const ip = i32.read(r)
    const portAndType = i32.read(r)
    const type = portAndType & 0xff_ff
    if (type === 0) return null
    if (type !== 1) throw malformed(`rpc_address of type ${type}`)
    return `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}:${portAndType >>> 16}`
  },
  write(w, v) {
    const {ip, port} = v === null ? NO_ADDRESS : splitIp(v)
    i32.write(w, ip)
    i32.write(w, v === null ? 0 : (port << 16) | 1)
  },
  zero: () => null,
})

const NO_ADDRESS = {ip: 0, port: 0}

function splitIp(address: string): {ip: number; port: number} {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3}):(\d{1,5})$/.exec(address)
  const parts = match?.slice(1).map(Number)
  if (!parts || parts.slice(0, 4).some((octet) => octet > 255) || parts[4]! > 65_535) {
    throw new TypeError(`not an IPv4 address with port: ${address}`)
  }

  const [a, b, c, d, port] = parts as [number, number, number, number, number]
  return {ip: (a << 24) | (b << 16) | (c << 8) | d, port}
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
