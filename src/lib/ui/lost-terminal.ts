import type {Writable} from 'node:stream'

const bearable = new Set(['EIO', 'EPIPE', 'ENXIO'])
const guarded = new WeakSet<Writable>()

/**
 * Lets the process outlive its terminal: whoever closes it (SIGHUP), or the pipe behind it, must not end a run that
 * has writes to allow again. oclif would throw, from the event, on the first line written after that. It stays so
 * until the process ends, because the last lines fail after the run.
 */
export function outliveTerminal(streams: readonly Writable[]): void {
  for (const stream of streams) {
    if (guarded.has(stream)) continue
    guarded.add(stream)
    const others = stream.listeners('error') as ((error: Error) => void)[]
    stream.removeAllListeners('error')
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (!bearable.has(error.code ?? '')) for (const other of others) other.call(stream, error)
    })
  }
}
