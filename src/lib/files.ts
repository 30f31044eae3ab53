import {randomUUID} from 'node:crypto'
import {constants} from 'node:fs'
import {link, mkdir, open, readdir, readFile, rename, rm, writeFile} from 'node:fs/promises'

/** A file that is only ever appended to. */
export interface AppendFile {
  /** Appends and waits until it is on the disk. */
  append(text: string): Promise<void>
  close(): Promise<void>
}

/**
 * The few things that this project does with files, all of them private to their owner (0600, directories 0700).
 * Injected, so that simulations keep their files in memory. Errors are Node's, with a `code`.
 */
export interface Files {
  /** Makes a file with this text, all of it or nothing, unless there is one. @returns whether it was made */
  createExclusively(path: string, text: string): Promise<boolean>
  /** Names of what is in a directory; none when there is no such directory. */
  list(path: string): Promise<string[]>
  makeDirectory(path: string): Promise<void>
  openForAppend(path: string): Promise<AppendFile>
  /** @returns undefined when there is no such file */
  read(path: string): Promise<string | undefined>
  /** Removes it if it is there. */
  remove(path: string): Promise<void>
  /** Replaces a file as a whole: a reader sees the old text or the new one, never half of it. */
  replace(path: string, text: string): Promise<void>
}

const PRIVATE = 0o600

/** The machine's disk. */
export const diskFiles: Files = {
  async createExclusively(path, text) {
    // A link to a file that is written already: nobody ever reads half of it.
    const draft = `${path}.${randomUUID()}`
    try {
      const handle = await open(draft, 'wx', PRIVATE)
      try {
        await handle.writeFile(text)
        await handle.sync()
      } finally {
        await handle.close()
      }

      await link(draft, path)
      return true
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return false
      throw error
    } finally {
      await rm(draft, {force: true})
    }
  },

  async list(path) {
    try {
      return await readdir(path)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    }
  },

  async makeDirectory(path) {
    await mkdir(path, {mode: 0o700, recursive: true})
  },

  async openForAppend(path) {
    const handle = await open(path, constants.O_APPEND | constants.O_CREAT | constants.O_RDWR, PRIVATE)
    return {
      async append(text) {
        await handle.appendFile(text)
        await handle.sync()
      },
      close: () => handle.close(),
    }
  },

  async read(path) {
    try {
      return await readFile(path, 'utf8')
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined
      throw error
    }
  },

  async remove(path) {
    await rm(path, {force: true})
  },

  async replace(path, text) {
    const fresh = `${path}.new`
    await writeFile(fresh, text, {mode: PRIVATE})
    await rename(fresh, path)
  },
}

/** Whether a thrown thing carries this `code`. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
