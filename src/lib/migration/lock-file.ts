import {randomUUID} from 'node:crypto'
import {link, mkdir, open, readFile, readlink, rm, stat, unlink, writeFile} from 'node:fs/promises'
import {hostname} from 'node:os'
import {join} from 'node:path'

import {type Clock, sleep} from '../clock.js'
import {messageOf, MigratorError} from '../errors.js'
import {lockHeld, lockLost, type LockNote, parseLockNote} from '../metaproxy/shared-lock.js'

/* The lock that this machine sees: a file beside the journals (docs/rollback.md, "One at a time"). */

const TAKEOVER_LIMIT_MS = 10_000
const TAKEOVER_POLL_MS = 100

/** This process, as it signs its locks. */
export async function ownNote(command: string, clock: Clock): Promise<LockNote> {
  return {
    command,
    host: hostname(),
    pid: process.pid,
    pidSpace: await pidSpace(),
    sinceMs: clock.wallMs(),
    started: await startOf(process.pid),
    token: randomUUID(),
  }
}

/**
 * Whether a holder is known to be dead: it ran on this machine, and its pid is free or belongs to another process now.
 * A holder on another machine is never known to be.
 */
export async function isDeadHere(holder: LockNote): Promise<boolean> {
  if (holder.host !== hostname() || holder.pidSpace !== (await pidSpace())) return false
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return true
  }

  const started = await startOf(holder.pid)
  return holder.started !== '' && started !== '' && started !== holder.started
}

/** Where the lock of a table of a cluster is. */
export function lockPath(directory: string, table: string, sourceCluster: string): string {
  const part = (text: string) => encodeURIComponent(text).replaceAll('.', '%2E')
  return join(directory, `${part(table)}@${part(sourceCluster)}.lock`)
}

/** Who holds the lock on this machine, and whether that process lives. @throws MigratorError `lock.unusable` */
export async function readLockFile(path: string): Promise<{dead: boolean; holder: LockNote} | undefined> {
  const holder = await readNote(path)
  return holder && {dead: await isDeadHere(holder), holder}
}

/** The lock file, held. */
export class LockFile {
  private constructor(
    private readonly path: string,
    private readonly note: LockNote,
    private readonly table: string,
  ) {}

  /** @throws MigratorError `lock.held`, `lock.unusable` */
  static async take(path: string, table: string, note: LockNote, clock: Clock): Promise<LockFile> {
    const lock = new LockFile(path, note, table)
    try {
      await mkdir(join(path, '..'), {mode: 0o700, recursive: true})
      for (;;) {
        if (await lock.write()) return lock
        const holder = await readNote(path)
        if (!holder) continue
        if (!(await isDeadHere(holder))) throw lockHeld(table, holder)
        await lock.clearDead(holder, clock)
      }
    } catch (error) {
      if (error instanceof MigratorError) throw error
      throw unusable(path, error)
    }
  }

  /** @throws MigratorError `lock.lost` when the file is gone or somebody else's */
  async check(): Promise<void> {
    const holder = await readNote(this.path)
    if (holder?.token !== this.note.token)
      throw lockLost(this.table, `${this.path} is ${holder ? "somebody else's" : 'gone'}`)
  }

  /** Like `check`, and takes it again when nobody else has it. @throws MigratorError `lock.held`, `lock.unusable` */
  async regain(): Promise<void> {
    const holder = await readNote(this.path)
    if (holder?.token === this.note.token) return
    if (holder && !(await isDeadHere(holder))) throw lockHeld(this.table, holder)
    if (!holder) await this.write()
  }

  async release(): Promise<void> {
    const holder = await readNote(this.path)
    if (holder?.token === this.note.token) await rm(this.path, {force: true})
  }

  /** All of the file or nothing: a link to a file that is written already. @returns whether there was none */
  private async write(): Promise<boolean> {
    const draft = `${this.path}.${this.note.token}`
    await writeFile(draft, JSON.stringify(this.note), {mode: 0o600})
    try {
      await link(draft, this.path)
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      return false
    } finally {
      await rm(draft, {force: true})
    }
  }

  /** One at a time, so that nobody removes the lock of a process that was quicker. */
  private async clearDead(dead: LockNote, clock: Clock): Promise<void> {
    const guard = `${this.path}.takeover`
    if (!(await enter(guard, clock))) return
    try {
      const now = await readNote(this.path)
      if (now?.token === dead.token) await unlink(this.path)
    } finally {
      await rm(guard, {force: true})
    }
  }
}

/** @returns whether the way is ours; false: somebody else was there, look again */
async function enter(guard: string, clock: Clock): Promise<boolean> {
  try {
    const handle = await open(guard, 'wx', 0o600)
    await handle.close()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }

  await sleep(clock, TAKEOVER_POLL_MS)
  const ageMs = await stat(guard).then(
    ({mtimeMs}) => clock.wallMs() - mtimeMs,
    () => 0,
  )
  // Its maker died in the middle of a takeover, which takes milliseconds.
  if (ageMs > TAKEOVER_LIMIT_MS) await rm(guard, {force: true})
  return false
}

async function readNote(path: string): Promise<LockNote | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unusable(path, error)
  }

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

/** The process's start in ticks since boot (proc(5), field 22); empty where the system does not tell. */
async function startOf(pid: number): Promise<string> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8')
    // The second field may hold anything, blanks and brackets too.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return '' // no such file on other systems, or no such process: then the pid alone counts
  }
}

async function pidSpace(): Promise<string> {
  try {
    return await readlink('/proc/self/ns/pid')
  } catch {
    return '' // only Linux has them
  }
}
