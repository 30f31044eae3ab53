import {dataCalls} from '../rpc/calls.js'
import {encode, type ValueOf, type WireType} from '../rpc/codec.js'
import {type KeyValue, keyValue, scanResponse} from '../rpc/structs/rrdb.js'

/*
 * A row is written as: STRUCT 1, key; STRUCT 2, value; I32 3, expiry, or nothing; STOP. Keys and values are blobs
 * (protocol.md §1.4): a length of four bytes and the bytes.
 */
const KEY_HEAD = 0x0c_00_01
const VALUE_HEAD = 0x0c_00_02
const EXPIRY_HEAD = 0x08_00_03
const HEAD_BYTES = 3
const BLOB_AT = HEAD_BYTES + 4
const EXPIRY_BYTES = HEAD_BYTES + 4
const FEWEST_BYTES = 2 * BLOB_AT + 1
const STOP = 0

/**
 * The rows of one scan reply, left in the bytes that came: no object per row. Equal rows have equal bytes, whatever they
 * hold, as long as both sides wrote their expiry or both left it out.
 */
export class RowBatch {
  /** @param starts where each row begins, and where the last one ends */
  private constructor(
    readonly bytes: Buffer,
    private readonly view: DataView,
    private readonly starts: Uint32Array,
    /** Rows. */
    readonly length: number,
  ) {}

  /** Packs rows as a server writes them. */
  static of(rows: readonly KeyValue[]): RowBatch {
    const bytes = Buffer.concat(rows.map((row) => encode(keyValue, row)))
    const batch = RowBatch.at(bytes, 0, rows.length)
    if (!batch) throw new TypeError('rows that are not written as they are read')
    return batch
  }

  /**
   * Finds `count` rows from `position` on and checks every length, without taking anything out.
   * @returns undefined when they are not written as servers write them, or are cut short
   */
  static at(bytes: Buffer, position: number, count: number): RowBatch | undefined {
    if (count < 0 || count * FEWEST_BYTES > bytes.length - position) return undefined
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const starts = new Uint32Array(count + 1)
    return findRows(view, position, starts) ? new RowBatch(bytes, view, starts, count) : undefined
  }

  /** Of rows alone, without what else is in the reply. */
  get byteLength(): number {
    return this.end - this.offset(0)
  }

  /** Where the last row ends in `bytes`. */
  get end(): number {
    return this.offset(this.length)
  }

  /** Seconds since 2016-01-01 UTC, unsigned; 0: never, or the server did not tell. */
  expireTsSeconds(index: number): number {
    const at = this.valueEnd(index)
    return at + 1 === this.offset(index + 1) ? 0 : this.view.getUint32(at + HEAD_BYTES)
  }

  /** A view. */
  key(index: number): Buffer {
    return this.bytes.subarray(this.offset(index) + BLOB_AT, this.keyEnd(index))
  }

  /** The row as the generic decoder gives it; its buffers are views. */
  row(index: number): KeyValue {
    const valueEnd = this.valueEnd(index)
    const row: KeyValue = {key: this.key(index), value: this.bytes.subarray(this.keyEnd(index) + BLOB_AT, valueEnd)}
    if (valueEnd + 1 !== this.offset(index + 1)) row.expireTsSeconds = this.view.getInt32(valueEnd + HEAD_BYTES)
    return row
  }

  /** All of them. */
  rows(): KeyValue[] {
    return Array.from({length: this.length}, (_, index) => this.row(index))
  }

  /** The first `count` rows. */
  head(count: number): RowBatch {
    return new RowBatch(this.bytes, this.view, this.starts, count)
  }

  /** Whether the keys of rows `from` to `to`, exclusive, grow. One row always does. */
  ascends(from: number, to: number): boolean {
    const {starts, view} = this
    if (to - from < 2) return true
    let before = starts[from]! + BLOB_AT
    let beforeLength = view.getUint32(before - 4)
    for (let index = from + 1; index < to; index++) {
      const key = starts[index]! + BLOB_AT
      const keyLength = view.getUint32(key - 4)
      if (!isLess(view, before, beforeLength, key, keyLength)) return false
      before = key
      beforeLength = keyLength
    }

    return true
  }

  /** Byte order of one key of each batch, as Buffer.compare. */
  static compareKeys(a: RowBatch, indexOfA: number, b: RowBatch, indexOfB: number): number {
    const [fromA, fromB] = [a.offset(indexOfA) + BLOB_AT, b.offset(indexOfB) + BLOB_AT]
    return a.bytes.compare(b.bytes, fromB, b.keyEnd(indexOfB), fromA, a.keyEnd(indexOfA))
  }

  static haveEqualValues(a: RowBatch, indexOfA: number, b: RowBatch, indexOfB: number): boolean {
    return areEqual(a, a.keyEnd(indexOfA), a.valueEnd(indexOfA), b, b.keyEnd(indexOfB), b.valueEnd(indexOfB))
  }

  /** Whether `count` rows from there on are the same byte by byte: one comparison for all of them. */
  static areSame(a: RowBatch, indexOfA: number, b: RowBatch, indexOfB: number, count: number): boolean {
    const [endOfA, endOfB] = [a.offset(indexOfA + count), b.offset(indexOfB + count)]
    return areEqual(a, a.offset(indexOfA), endOfA, b, b.offset(indexOfB), endOfB)
  }

  private keyEnd(index: number): number {
    const at = this.offset(index)
    return at + BLOB_AT + this.view.getUint32(at + HEAD_BYTES)
  }

  private offset(index: number): number {
    return this.starts[index]!
  }

  private valueEnd(index: number): number {
    const at = this.keyEnd(index)
    return at + BLOB_AT + this.view.getUint32(at + HEAD_BYTES)
  }
}

function areEqual(a: RowBatch, fromA: number, toA: number, b: RowBatch, fromB: number, toB: number): boolean {
  return toA - fromA === toB - fromB && a.bytes.compare(b.bytes, fromB, toB, fromA, toA) === 0
}

/** Fills `starts`. @returns false when a row is not in the usual form; a DataView throws where bytes are missing */
function findRows(view: DataView, position: number, starts: Uint32Array): boolean {
  const count = starts.length - 1
  const {byteLength} = view
  let at = position
  starts[0] = at
  try {
    for (let index = 1; index <= count; index++) {
      if (view.getUint32(at) >>> 8 !== KEY_HEAD) return false
      at += BLOB_AT + view.getUint32(at + HEAD_BYTES)
      if (view.getUint32(at) >>> 8 !== VALUE_HEAD) return false
      at += BLOB_AT + view.getUint32(at + HEAD_BYTES)
      if (view.getUint8(at) !== STOP) {
        if (view.getUint32(at) >>> 8 !== EXPIRY_HEAD) return false
        at += EXPIRY_BYTES
        if (view.getUint8(at) !== STOP) return false
      }

      at++
      starts[index] = at
    }
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }

  return at <= byteLength
}

/** Four bytes at a time: neighbours have long beginnings in common. */
function isLess(view: DataView, a: number, lengthOfA: number, b: number, lengthOfB: number): boolean {
  const shorter = Math.min(lengthOfA, lengthOfB)
  let at = 0
  for (; at + 4 <= shorter; at += 4) {
    const [x, y] = [view.getUint32(a + at), view.getUint32(b + at)]
    if (x !== y) return x < y
  }

  for (; at < shorter; at++) {
    const [x, y] = [view.getUint8(a + at), view.getUint8(b + at)]
    if (x !== y) return x < y
  }

  return lengthOfA < lengthOfB
}

/** `scan_response` (idl.md) with its rows left in the reply. */
export interface ScanReply {
  contextId: bigint
  error: number
  kvCount?: number
  rows: RowBatch
}

const noRows = RowBatch.of([])
const [I32, I64, STRING, LIST, STRUCT] = [8, 10, 11, 15, 12]

/** A reply as servers write it: these fields, or fewer, in any order. @returns its end, or undefined for any other */
function readUsual(bytes: Buffer, position: number): {end: number; reply: ScanReply} | undefined {
  const reply: ScanReply = {contextId: 0n, error: 0, rows: noRows}
  let at = position
  for (;;) {
    const type = bytes.readUInt8(at)
    if (type === STOP) return {end: at + 1, reply}
    const field = type * 256 + bytes.readUInt16BE(at + 1)
    at += HEAD_BYTES
    switch (field) {
      case I32 * 256 + 1: {
        reply.error = bytes.readInt32BE(at)
        at += 4
        break
      }

      case LIST * 256 + 2: {
        const count = bytes.readInt32BE(at + 1)
        const rows = RowBatch.at(bytes, at + 5, count)
        if (!rows || (count > 0 && bytes[at] !== STRUCT)) return undefined
        reply.rows = rows
        at = rows.end
        break
      }

      case I64 * 256 + 3: {
        reply.contextId = bytes.readBigInt64BE(at)
        at += 8
        break
      }

      // The partition that it came from.
      case I32 * 256 + 4:
      case I32 * 256 + 5: {
        at += 4
        break
      }

      // Its server.
      case STRING * 256 + 6: {
        at += 4 + bytes.readUInt32BE(at)
        break
      }

      case I32 * 256 + 7: {
        reply.kvCount = bytes.readInt32BE(at)
        at += 4
        break
      }

      default: {
        return undefined
      }
    }
  }
}

/** Reads what it can where it lies; anything unusual goes through the generic decoder, which also says what is wrong. */
const scanReply: WireType<ScanReply> = {
  minBytes: scanResponse.minBytes,
  read(reader) {
    const {transport} = reader
    let usual: ReturnType<typeof readUsual>
    try {
      usual = readUsual(transport.bytes, transport.position)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
    }

    if (usual) {
      transport.position = usual.end
      return usual.reply
    }

    const {contextId, error, kvCount, kvs} = scanResponse.read(reader)
    return {contextId, error, kvCount, rows: RowBatch.of(kvs)}
  },
  typeId: scanResponse.typeId,
  write(writer, {rows, ...others}) {
    scanResponse.write(writer, {...(scanResponse.zero() as ValueOf<typeof scanResponse>), ...others, kvs: rows.rows()})
  },
  zero: () => ({contextId: 0n, error: 0, rows: noRows}),
}

/** The calls of a scan, with rows left in the replies. */
export const packedCalls = {
  getScanner: {...dataCalls.getScanner, response: scanReply},
  scan: {...dataCalls.scan, response: scanReply},
} as const
