import {responseLength} from './frame.js'

/** Cuts a stream of bytes into responses. Holds at most one incomplete message, never larger than `maxBytes`. */
export class MessageReader {
  private readonly chunks: Buffer[] = []
  private length = 0
  private wanted: number | undefined

  constructor(private readonly maxBytes: number) {}

  /**
   * Adds what has arrived; yields each response that is complete, length prefix included.
   * @throws MigratorError rpc.malformed or rpc.too_large; the stream cannot be read on after that.
   */
  *push(chunk: Buffer): Generator<Buffer> {
    this.chunks.push(chunk)
    this.length += chunk.length
    for (;;) {
      if (this.wanted === undefined && this.length >= 4) this.wanted = responseLength(this.join(), this.maxBytes)
      if (this.wanted === undefined || this.length < this.wanted) return
      const bytes = this.join()
      const message = bytes.subarray(0, this.wanted)
      this.chunks[0] = bytes.subarray(this.wanted)
      this.length -= this.wanted
      this.wanted = undefined
      yield message
    }
  }

  private join(): Buffer {
    if (this.chunks.length > 1) this.chunks.splice(0, this.chunks.length, Buffer.concat(this.chunks))
    return this.chunks[0]!
  }
}
