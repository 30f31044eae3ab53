import {randomUUID} from 'node:crypto'
import {join} from 'node:path'

import {type Clock, sleep} from '../clock.js'
import {messageOf, MigratorError} from '../errors.js'
import {diskFiles, type Files} from '../files.js'
import {lockHeld, lockLost, type LockNote, parseLockNote} from '../metaproxy/shared-lock.js'
import {machineProcesses, type Processes} from '../processes.js'

/* The lock that this machine sees: a file beside the journals (docs/rollback.md, "One at a time"). */

const TAKEOVER_LIMIT_MS = 10_000
const TAKEOVER_POLL_MS = 100

/** The machine that a lock file is on. */
export interface LockMachine {
  /** Default: the machine's disk. */
  files?: Files
  /** Default: the machine's own. */
  processes?: Processes
}

/** This process, as it signs its locks. */
export async function ownNote(
  command: string,
  clock: Clock,
  processes: Processes = machineProcesses,
): Promise<LockNote> {
  return {command, ...(await processes.own()), sinceMs: clock.wallMs(), token: randomUUID()}
}

/** Where the lock of a table of a cluster is. */
export function lockPath(directory: string, table: string, sourceCluster: string): string {
  const part = (text: string) => encodeURIComponent(text).replaceAll('.', '%2E')
  return join(directory, `${part(table)}@${part(sourceCluster)}.lock`)
}

/** Who holds the lock on this machine, and whether that process lives. @throws MigratorError `lock.unusable` */
export async function readLockFile(
  path: string,
  {files = diskFiles, processes = machineProcesses}: LockMachine = {},
): Promise<{dead: boolean; holder: LockNote} | undefined> {
  const holder = await readNote(files, path)
  return holder && {dead: await processes.isDead(holder), holder}
}

/** The lock file, held. */
export class LockFile {
  private constructor(
    private readonly path: string,
    private readonly note: LockNote,
    private readonly table: string,
    private readonly clock: Clock,
    private readonly files: Files,
    private readonly processes: Processes,
  ) {}

  /** @throws MigratorError `lock.held`, `lock.unusable` */
  static async take(
    path: string,
    table: string,
    note: LockNote,
    clock: Clock,
    {files = diskFiles, processes = machineProcesses}: LockMachine = {},
  ): Promise<LockFile> {
    const lock = new LockFile(path, note, table, clock, files, processes)
    await lock.obtain()
    return lock
  }

  /** @throws MigratorError `lock.lost` when the file is gone or somebody else's */
  async check(): Promise<void> {
    const holder = await this.holder()
    if (holder?.token !== this.note.token)
      throw lockLost(this.table, `${this.path} is ${holder ? "somebody else's" : 'gone'}`)
  }

  /** Like `check`, and takes it again when nobody who lives has it. @throws MigratorError `lock.held`, `lock.unusable` */
  async regain(): Promise<void> {
    const holder = await this.holder()
    if (holder?.token !== this.note.token) await this.obtain()
  }

  async release(): Promise<void> {
    const holder = await this.holder()
    if (holder?.token === this.note.token) await this.files.remove(this.path)
  }

  private holder(): Promise<LockNote | undefined> {
    return readNote(this.files, this.path)
  }

  /** Takes it from nobody, or from the dead. @throws MigratorError `lock.held`, `lock.unusable` */
  private async obtain(): Promise<void> {
    const {files, note, path, processes, table} = this
    try {
      await files.makeDirectory(join(path, '..'))
      while (!(await files.createExclusively(path, JSON.stringify(note)))) {
        const holder = await this.holder()
        if (!holder) continue
        if (!(await processes.isDead(holder))) throw lockHeld(table, holder)
        await this.clearDead(holder)
      }
    } catch (error) {
      if (error instanceof MigratorError) throw error
      throw unusable(path, error)
    }
  }

  /** One at a time, so that nobody removes the lock of a process that was quicker. */
  private async clearDead(dead: LockNote): Promise<void> {
    const guard = `${this.path}.takeover`
    if (!(await enter(this.files, guard, this.clock))) return
    try {
      const now = await this.holder()
      if (now?.token === dead.token) await this.files.remove(this.path)
    } finally {
      await this.files.remove(guard)
    }
  }
}

/** @returns whether the way is ours; false: somebody else was there, look again */
async function enter(files: Files, guard: string, clock: Clock): Promise<boolean> {
  if (await files.createExclusively(guard, String(clock.wallMs()))) return true
  await sleep(clock, TAKEOVER_POLL_MS)
  const sinceMs = Number((await files.read(guard)) ?? clock.wallMs())
  // Its maker died in the middle of a takeover, which takes milliseconds; the clock may have been set back since.
  if (!(Math.abs(clock.wallMs() - sinceMs) < TAKEOVER_LIMIT_MS)) await files.remove(guard)
  return false
}

async function readNote(files: Files, path: string): Promise<LockNote | undefined> {
  let text: string | undefined
  try {
    text = await files.read(path)
  } catch (error) {
    throw unusable(path, error)
  }

  if (text === undefined) return undefined
  const note = parseLockNote(text)
  if (!note) throw unusable(path, new Error('it does not name a holder'))
  return note
}

function unusable(path: string, error: unknown): MigratorError {
  return new MigratorError('lock.unusable', `lock file ${path} cannot be used: ${messageOf(error)}`, {
    cause: error,
    next: 'Make its directory writable; if the file is damaged and no migration of the table runs here, delete it.',
  })
}
