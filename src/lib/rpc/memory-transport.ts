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

/** The writing half: collects chunks. */
export class MemoryWriter {
  private readonly chunks: Buffer[] = []

  flush(): void {
    // Everything is in memory already; thrift calls this at the end of a message.
  }

  setCurrSeqId(): void {
    // thrift's clients match replies by this; our connections do that themselves.
  }

  toBuffer(): Buffer {
    return Buffer.concat(this.chunks)
  }

  write(bytes: Buffer | Uint8Array | string): void {
    this.chunks.push(typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : Buffer.from(bytes))
  }
}

/** The error for bytes that break the protocol. */
export function malformed(detail: string, cause?: unknown): MigratorError {
  return new MigratorError('rpc.malformed', `malformed message: ${detail}`, {cause})
}
