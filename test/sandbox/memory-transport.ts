import {Duplex} from 'node:stream'

/** One end of an in-memory connection: what is written here is read at the other end, in order. */
class MemoryStream extends Duplex {
  peer!: MemoryStream
  private readable_: (() => void) | undefined

  constructor() {
    super({allowHalfOpen: false})
  }

  override _read(): void {
    const resume = this.readable_
    this.readable_ = undefined
    resume?.()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    // Held back until the next turn, as a network would: a writer never runs its reader's code.
    process.nextTick(() => {
      if (this.peer.destroyed) {
        callback(new Error('ECONNRESET: the other end is gone'))
      } else if (this.peer.push(Buffer.from(chunk))) {
        callback()
      } else {
        this.peer.readable_ = () => callback()
      }
    })
  }

  override _final(callback: (error?: Error | null) => void): void {
    process.nextTick(() => {
      if (!this.peer.destroyed) this.peer.push(null)
      callback()
    })
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const peer = this.peer
    process.nextTick(() => {
      if (!peer.destroyed) peer.destroy()
    })
    callback(error)
  }
}

/** Two ends of one connection. */
export function memoryStreamPair(): [Duplex, Duplex] {
  const near = new MemoryStream()
  const far = new MemoryStream()
  near.peer = far
  far.peer = near
  return [near, far]
}
