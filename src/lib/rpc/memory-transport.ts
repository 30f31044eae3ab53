import {MigratorError} from '../errors.js'

/**
 * What thrift's protocols need of a transport, over bytes in memory. Reads never pass the end: a message that
 * is cut short or lies about a length fails with `rpc.malformed`, before anything of that length is allocated.
 */
export class MemoryReader {
  position = 0

  constructor(readonly bytes: Buffer) {}

  get remaining(): number {
    return this.bytes.length - this.position
  }

  read(length: number): Buffer {
    const start = this.take(length)
    return this.bytes.subarray(start, start + length)
  }

  readByte(): number {
    return this.bytes.readInt8(this.take(1))
  }

  readDouble(): number {
    return this.bytes.readDoubleBE(this.take(8))
  }

  readI16(): number {
    return this.bytes.readInt16BE(this.take(2))
  }

  readI32(): number {
    return this.bytes.readInt32BE(this.take(4))
  }

  readI64(): bigint {
    return this.bytes.readBigInt64BE(this.take(8))
  }

  readString(length: number): string {
    const start = this.take(length)
    return this.bytes.toString('utf8', start, start + length)
  }

  private take(length: number): number {
    if (length < 0 || length > this.remaining) {
      throw malformed(`${length} bytes wanted at offset ${this.position}, ${this.remaining} left`)
    }

    const start = this.position
    this.position += length
    return start
  }
}

/** Most messages are smaller. */
const FIRST_BYTES = 256

/** The writing half: one buffer that grows. */
export class MemoryWriter {
  /** How much was written so far. */
  length = 0
  private bytes = Buffer.allocUnsafe(FIRST_BYTES)

  flush(): void {
    // Everything is in memory already; thrift calls this at the end of a message.
  }

  setCurrSeqId(): void {
    // thrift's clients match replies by this; our connections do that themselves.
  }

  /** What was written so far; a copy. */
  toBuffer(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.length))
  }

  write(bytes: Buffer | Uint8Array | string): void {
    if (typeof bytes === 'string') {
      const length = Buffer.byteLength(bytes, 'utf8')
      const at = this.make(length)
      this.bytes.write(bytes, at, length, 'utf8')
    } else {
      const at = this.make(bytes.length)
      this.bytes.set(bytes, at)
    }
  }

  writeByte(value: number): void {
    const at = this.make(1)
    this.bytes[at] = value
  }

  writeI16(value: number): void {
    const at = this.make(2)
    this.bytes[at] = value >> 8
    this.bytes[at + 1] = value
  }

  writeI32(value: number): void {
    this.setI32(this.make(4), value)
  }

  writeI64(value: bigint): void {
    const at = this.make(8)
    this.bytes.writeBigInt64BE(value, at)
  }

  /** Writes over what was written at `at`: a length that is known only later. */
  setI32(at: number, value: number): void {
    this.bytes[at] = value >> 24
    this.bytes[at + 1] = value >> 16
    this.bytes[at + 2] = value >> 8
    this.bytes[at + 3] = value
  }

  /** Makes room. @returns where it begins */
  private make(length: number): number {
    const at = this.length
    this.length += length
    if (this.length > this.bytes.length) {
      const bigger = Buffer.allocUnsafe(Math.max(this.length, 2 * this.bytes.length))
      this.bytes.copy(bigger, 0, 0, at)
      this.bytes = bigger
    }

    return at
  }
}

/** The error for bytes that break the protocol. */
export function malformed(detail: string, cause?: unknown): MigratorError {
  return new MigratorError('rpc.malformed', `malformed message: ${detail}`, {cause})
}
