import type {AppendFile, Files} from '../../src/lib/files.js'
import type {Life} from './life.js'

/** A machine's disk in memory. What was written stays when the process that wrote it dies. */
export class MemoryDisk {
  /** Set: every write fails with ENOSPC, except those to paths that this lets through. */
  full: ((path: string) => boolean) | undefined
  /** A file is about to be made that must not be there. */
  onCreate: ((path: string) => void) | undefined
  private readonly files = new Map<string, string>()

  /** The disk as a process uses it. */
  of(life: Life): Files {
    const {files} = this
    // What a dead process still does in memory never reaches the disk.
    const use = <T>(work: () => T): Promise<T> =>
      life.outside(
        Promise.resolve().then(() => {
          if (!life.isAlive) throw new Error('dead')
          return work()
        }),
      )
    const write = (path: string, text: string) => {
      if (this.full?.(path))
        throw Object.assign(new Error(`ENOSPC: no space left on device, write '${path}'`), {code: 'ENOSPC'})
      files.set(path, text)
    }

    return {
      createExclusively: async (path, text) => {
        this.onCreate?.(path)
        // What stops the process right here comes before the file.
        if (!life.isRunning) await life.outside(Promise.resolve())
        return use(() => {
          if (files.has(path)) return false
          write(path, text)
          return true
        })
      },
      list: (directory) =>
        use(() =>
          [...files.keys()]
            .filter((path) => path.startsWith(`${directory}/`))
            .map((path) => path.slice(directory.length + 1)),
        ),
      makeDirectory: () => use(() => {}),
      openForAppend: (path) =>
        use((): AppendFile => {
          if (!files.has(path)) write(path, '')
          return {
            append: (text) => use(() => write(path, (files.get(path) ?? '') + text)),
            close: () => use(() => {}),
          }
        }),
      read: (path) => use(() => files.get(path)),
      remove: (path) =>
        use(() => {
          files.delete(path)
        }),
      replace: (path, text) => use(() => write(path, text)),
    }
  }

  /** White-box. */
  get paths(): string[] {
    return [...this.files.keys()]
  }

  text(path: string): string | undefined {
    return this.files.get(path)
  }

  /** Cuts the last `bytes` of a file away, as a crash in the middle of a write does. */
  tear(path: string, bytes: number): void {
    const text = this.files.get(path)
    if (text !== undefined) this.files.set(path, text.slice(0, Math.max(0, text.length - bytes)))
  }
}
