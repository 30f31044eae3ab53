import {type Call, dataCalls} from '../../../src/lib/rpc/calls.js'
import {decodeArguments} from '../../../src/lib/rpc/frame.js'

/* Keys and hashes as the servers compute them (protocol.md §8.1); written apart from src/lib on purpose, so that a
 * mistake there shows here. */

const POLYNOMIAL = 0x9a_6c_93_29_ac_4b_c9_b5n
const tableHigh = new Uint32Array(256)
const tableLow = new Uint32Array(256)
for (let i = 0; i < 256; i++) {
  let crc = BigInt(i)
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1n) === 1n ? (crc >> 1n) ^ POLYNOMIAL : crc >> 1n
  tableHigh[i] = Number(crc >> 32n)
  tableLow[i] = Number(crc & 0xff_ff_ff_ffn)
}

/** crc64 of the servers, as an unsigned number of 64 bits. */
export function crc64(bytes: Uint8Array): bigint {
  let high = 0xff_ff_ff_ff
  let low = 0xff_ff_ff_ff
  for (const byte of bytes) {
    const index = (low ^ byte) & 0xff
    low = (((low >>> 8) | (high << 24)) ^ tableLow[index]!) >>> 0
    high = ((high >>> 8) ^ tableHigh[index]!) >>> 0
  }

  return (BigInt(~high >>> 0) << 32n) | BigInt(~low >>> 0)
}

/** u16 length of the hash key, hash key, sort key. */
export function encodeKey(hashKey: Uint8Array, sortKey: Uint8Array): Buffer {
  const head = Buffer.alloc(2)
  head.writeUInt16BE(hashKey.length)
  return Buffer.concat([head, hashKey, sortKey])
}

export function splitKey(key: Buffer): {hashKey: Buffer; sortKey: Buffer} {
  const length = key.readUInt16BE(0)
  return {hashKey: key.subarray(2, 2 + length), sortKey: key.subarray(2 + length)}
}

/** Hash of a whole key: of its hash key, or of its sort key when that is empty. */
export function keyHash(key: Buffer): bigint {
  const {hashKey, sortKey} = splitKey(key)
  return crc64(hashKey.length > 0 ? hashKey : sortKey)
}

/** Above every key that begins with `prefix`; undefined when nothing is. */
export function afterPrefix(prefix: Buffer): Buffer | undefined {
  const end = Buffer.from(prefix)
  for (let i = end.length - 1; i >= 0; i--) {
    if (end[i] !== 0xff) {
      end[i]!++
      return end.subarray(0, i + 1)
    }
  }

  return undefined
}

function args<Q>(call: Call<Q, unknown>, bytes: Buffer): Q {
  return decodeArguments(call.request, bytes)
}

/** The hash under which a logged write is shipped. */
export function hashOfWrite(taskCode: string, bytes: Buffer): bigint {
  switch (taskCode) {
    case dataCalls.put.name: {
      return keyHash(args(dataCalls.put, bytes).key)
    }

    case dataCalls.remove.name: {
      return keyHash(args(dataCalls.remove, bytes))
    }

    case dataCalls.multiPut.name: {
      return crc64(args(dataCalls.multiPut, bytes).hashKey)
    }

    case dataCalls.multiRemove.name: {
      return crc64(args(dataCalls.multiRemove, bytes).hashKey)
    }

    default: {
      throw new Error(`no hash for ${taskCode}`)
    }
  }
}
