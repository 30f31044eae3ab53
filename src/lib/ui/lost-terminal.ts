import type {Writable} from 'node:stream'

const bearable = new Set(['EIO', 'EPIPE', 'ENXIO'])

/**
 * Lets the process outlive its terminal: whoever closes it (SIGHUP), or the pipe behind it, must not end a run that
 * has writes to allow again. oclif would throw, from the event, on the first line written after that.
 * @returns what puts the streams back
 */
export function outliveTerminal(streams: readonly Writable[]): () => void {
  const undo = streams.map((stream) => {
    const others = stream.listeners('error') as ((error: Error) => void)[]
    const listener = (error: NodeJS.ErrnoException) => {
      if (!bearable.has(error.code ?? '')) for (const other of others) other.call(stream, error)
    }

    stream.removeAllListeners('error')
    stream.on('error', listener)
    return () => {
      stream.off('error', listener)
      for (const other of others) stream.on('error', other)
    }
  })
  return () => {
    for (const put of undo) put()
  }
}
