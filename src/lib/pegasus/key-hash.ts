/*
 * Which partition a key belongs to (protocol.md §8.1).
 */

/** Reflected polynomial of Pegasus's CRC-64, in two halves: BigInt per byte would be some 20 times slower. */
const POLYNOMIAL_HIGH = 0x9a_6c_93_29
const POLYNOMIAL_LOW = 0xac_4b_c9_b5

const tableHigh = new Uint32Array(256)
const tableLow = new Uint32Array(256)
for (let index = 0; index < 256; index++) {
  let [high, low] = [0, index]
  for (let bit = 0; bit < 8; bit++) {
    const odd = low & 1
    low = (low >>> 1) | (high << 31)
    high >>>= 1
    if (odd) {
      low ^= POLYNOMIAL_LOW
      high ^= POLYNOMIAL_HIGH
    }
  }

  tableHigh[index] = high
  tableLow[index] = low
}

/** The CRC-64 of `bytes` as an unsigned 64-bit number. */
export function crc64(bytes: Uint8Array): bigint {
  let high = 0xff_ff_ff_ff
  let low = 0xff_ff_ff_ff
  for (const byte of bytes) {
    const index = (low ^ byte) & 0xff
    low = ((low >>> 8) | (high << 24)) ^ tableLow[index]!
    high = (high >>> 8) ^ tableHigh[index]!
  }

  return (BigInt(~high >>> 0) << 32n) | BigInt(~low >>> 0)
}

/** The partition hash: of the hash key, or of the sort key when the hash key is empty. */
export function keyHash(hashKey: Uint8Array, sortKey: Uint8Array): bigint {
  return crc64(hashKey.length > 0 ? hashKey : sortKey)
}

/** The key as it is stored: length of the hash key in two bytes, hash key, sort key. */
export function encodeKey(hashKey: Uint8Array, sortKey: Uint8Array): Buffer {
  if (hashKey.length >= 0xff_ff) throw new RangeError(`hash key of ${hashKey.length} bytes, at most 65534`)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(hashKey.length)
  return Buffer.concat([length, hashKey, sortKey])
}

/** Takes a stored key apart. @throws RangeError when it is shorter than it says */
export function decodeKey(key: Buffer): {hashKey: Buffer; sortKey: Buffer} {
  const end = key.length < 2 ? Infinity : 2 + key.readUInt16BE(0)
  if (end > key.length) throw new RangeError(`key of ${key.length} bytes is shorter than it says`)
  return {hashKey: key.subarray(2, end), sortKey: key.subarray(end)}
}

/** Index of the partition that serves `hash`, unsigned. */
export function partitionOf(hash: bigint, partitionCount: number): number {
  return Number(BigInt.asUintN(64, hash) % BigInt(partitionCount))
}

interface FoundKeys {
  byPartition: Map<number, Buffer>
  next: number
}

/** Found so far, by prefix and partition count: a table's probes look for a key of each partition, again and again. */
const foundKeys = new Map<string, FoundKeys>()

/** A hash key that begins with `prefix` and belongs to the partition; always the same one. */
export function hashKeyFor(partitionIndex: number, partitionCount: number, prefix: string): Buffer {
  if (!Number.isInteger(partitionIndex) || partitionIndex < 0 || partitionIndex >= partitionCount) {
    throw new RangeError(`partition ${partitionIndex} of ${partitionCount}`)
  }

  const id = `${partitionCount}/${prefix}`
  const found = foundKeys.get(id) ?? {byPartition: new Map<number, Buffer>(), next: 0}
  foundKeys.set(id, found)
  for (;;) {
    const known = found.byPartition.get(partitionIndex)
    if (known) return known
    const key = Buffer.from(`${prefix}${found.next++}`)
    const index = partitionOf(crc64(key), partitionCount)
    if (!found.byPartition.has(index)) found.byPartition.set(index, key)
  }
}
