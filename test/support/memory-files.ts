import {dirname} from 'node:path'

import type {Files} from '../../src/lib/files.js'

/** Files in memory: nothing of them waits for a disk, so that they may be used on virtual time. */
export class MemoryFiles implements Files {
  readonly texts = new Map<string, string>()

  async createExclusively(path: string, text: string): Promise<boolean> {
    if (this.texts.has(path)) return false
    this.texts.set(path, text)
    return true
  }

  async list(path: string): Promise<string[]> {
    return [...this.texts.keys()].filter((file) => dirname(file) === path).map((file) => file.slice(path.length + 1))
  }

  async makeDirectory(): Promise<void> {
    // Every path has its directory here.
  }

  async openForAppend(path: string) {
    this.texts.set(path, this.texts.get(path) ?? '')
    return {
      append: async (text: string) => {
        this.texts.set(path, this.texts.get(path)! + text)
      },
      async close() {
        // Nothing is held open.
      },
    }
  }

  async read(path: string): Promise<string | undefined> {
    return this.texts.get(path)
  }

  async remove(path: string): Promise<void> {
    this.texts.delete(path)
  }

  async replace(path: string, text: string): Promise<void> {
    this.texts.set(path, text)
  }
}
