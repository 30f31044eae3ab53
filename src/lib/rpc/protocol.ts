import TBinaryProtocol from 'thrift/lib/nodejs/lib/thrift/binary_protocol.js'

import {isMigratorError, messageOf} from '../errors.js'
import {malformed, MemoryReader, MemoryWriter} from './memory-transport.js'

/** thrift's wire types that Pegasus uses. */
export const TType = {
  BOOL: 2,
  BYTE: 3,
  I16: 6,
  I32: 8,
  I64: 10,
  LIST: 15,
  MAP: 13,
  SET: 14,
  STOP: 0,
  STRING: 11,
  STRUCT: 12,
} as const

/** thrift's binary protocol over bytes in memory, for reading. */
export interface Reader {
  /** Values in lists and maps that were read or are being read. */
  elements: number
  protocol: TBinaryProtocol
  transport: MemoryReader
}

/** thrift's binary protocol over bytes in memory, for writing. */
export interface Writer {
  protocol: TBinaryProtocol
  transport: MemoryWriter
}

/** thrift's own makes two buffers for each number; this one writes numbers and strings where they go. */
class MemoryProtocol extends TBinaryProtocol {
  constructor(private readonly writer: MemoryWriter) {
    super(writer, true, true)
  }

  override writeBinary(bytes: Buffer): void {
    this.writer.writeI32(bytes.length)
    this.writer.write(bytes)
  }

  override writeByte(value: number): void {
    this.writer.writeByte(value)
  }

  override writeI16(value: number): void {
    this.writer.writeI16(value)
  }

  override writeI32(value: number): void {
    this.writer.writeI32(value)
  }

  override writeString(value: string): void {
    this.writer.writeI32(Buffer.byteLength(value, 'utf8'))
    this.writer.write(value)
  }
}

const noBytes = Buffer.alloc(0)

/** thrift's own makes a new buffer for no bytes at all, by a constructor that Node warns of. */
class MemoryReading extends TBinaryProtocol {
  constructor(private readonly reader: MemoryReader) {
    super(reader, true, true)
  }

  override readBinary(): Buffer {
    const length = this.reader.readI32()
    return length === 0 ? noBytes : this.reader.read(length)
  }
}

export function createWriter(): Writer {
  const transport = new MemoryWriter()
  return {protocol: new MemoryProtocol(transport), transport}
}

/**
 * Runs `decode` over `bytes`.
 * @throws MigratorError `rpc.malformed`, whatever the protocol library throws.
 */
export function decodeWith<T>(bytes: Buffer, decode: (reader: Reader) => T): T {
  const transport = new MemoryReader(bytes)
  try {
    return decode({elements: 0, protocol: new MemoryReading(transport), transport})
  } catch (error) {
    if (isMigratorError(error, 'rpc.malformed')) throw error
    throw malformed(messageOf(error) || 'thrift protocol error', error)
  }
}
