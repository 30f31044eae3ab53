import {responseLength} from './frame.js'

const PREFIX_BYTES = 4

/**
 * Puts responses together from pieces of a stream. The pieces are copied, so whoever reads the stream may use one buffer
 * for all of them; each message has memory of its own. Holds at most one incomplete message, never larger than `maxBytes`.
 */
export class MessageReader {
  private filled = 0
  private message: Buffer | undefined
  private readonly prefix = Buffer.alloc(PREFIX_BYTES)

  constructor(private readonly maxBytes: number) {}

  /**
   * Adds what has arrived; yields each response that is complete, length prefix included.
   * @throws MigratorError rpc.malformed or rpc.too_large; the stream cannot be read on after that.
   */
  *push(piece: Buffer): Generator<Buffer> {
    for (let at = 0; at < piece.length;) {
      const into = this.message ?? this.prefix
      const copied = piece.copy(into, this.filled, at)
      at += copied
      this.filled += copied
      if (this.filled < into.length) return
      if (this.message) {
        yield this.message
        this.message = undefined
        this.filled = 0
      } else {
        this.message = Buffer.allocUnsafe(responseLength(this.prefix, this.maxBytes)!)
        this.prefix.copy(this.message)
      }
    }
  }
}
