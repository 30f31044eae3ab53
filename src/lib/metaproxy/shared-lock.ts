import {MigratorError} from '../errors.js'
import {isInstant, isPid} from '../values.js'
import type {VersionCheck} from './store.js'

/** Who holds a lock; what `table:migrate-status` shows. */
export interface LockNote {
  /** The command, e.g. `table:migrate -t users -c onebox2`. */
  command: string
  host: string
  pid: number
  /** Tells processes apart that share a host's name and not its process ids (containers); empty where nobody can tell. */
  pidSpace: string
  /** When it was taken; milliseconds since 1970. */
  sinceMs: number
  /** When the process began, in the system's own words: a pid may be used again. Empty where nobody can tell. */
  started: string
  /** Unique to one run. */
  token: string
}

/** A lock that was taken and is seen by every machine. Everything throws MigratorError, or the signal's reason. */
export interface SharedLock {
  /**
   * @throws `lock.lost` once it was ours no more, even for a moment: what was observed under it may not be so any more;
   *   `zk.*` while nobody can tell
   */
  check(signal: AbortSignal): Promise<void>
  /** Like `check`; takes a lost lock again if nobody else has it. @throws `lock.held`, `zk.*` */
  regain(signal: AbortSignal): Promise<void>
  /** Gives it back; never takes longer than 2 s, and leaves neither socket nor timer behind. */
  release(): Promise<void>
  /** Holds as long as the lock is held, and never again: for the transaction of the switch (I6). Undefined once it is lost. */
  versionCheck(): undefined | VersionCheck
}

export interface AcquireOptions {
  /** Whether the holder is known to be dead, so that its lock may be taken away. */
  isDead(holder: LockNote): Promise<boolean>
  note: LockNote
  /** Hears who holds it, while it is waited for. */
  onWait?(holder: LockNote): void
  signal: AbortSignal
  table: string
  /** How long to wait for a holder that may just have died. */
  waitMs: number
}

/** Locks that every machine sees. An interface, so that simulations can put a model behind it. */
export interface SharedLocks {
  /**
   * @throws `lock.held` facts {command, host, pid, sinceMs}; `zk.auth_failed` where the ACL forbids it, `zk.no_node` where
   *   the table has no node; `zk.unreachable`, `zk.timeout`, `zk.connection_lost`
   */
  acquire(options: AcquireOptions): Promise<SharedLock>
  /** @returns who holds the table's lock right now. @throws `zk.*` */
  holder(table: string, signal: AbortSignal): Promise<LockNote | undefined>
}

/** Reads a note as it was written by `JSON.stringify`; undefined when it is none. */
export function parseLockNote(text: string): LockNote | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined // somebody else's node or file; the caller says so
  }

  if (typeof value !== 'object' || value === null) return undefined
  const {command, host, pid, pidSpace, sinceMs, started, token} = value as Record<string, unknown>
  if (!isPid(pid) || !isInstant(sinceMs) || typeof token !== 'string') return undefined
  const word = (part: unknown) => (typeof part === 'string' ? part : '')
  return {
    command: word(command),
    host: word(host),
    pid,
    pidSpace: word(pidSpace),
    sinceMs,
    started: word(started),
    token,
  }
}

/** Somebody else acts on the table. */
export function lockHeld(table: string, {command, host, pid, sinceMs}: LockNote): MigratorError {
  const since = new Date(sinceMs).toISOString()
  return new MigratorError(
    'lock.held',
    `${table} is being worked on by process ${pid} on ${host} since ${since}: ${command}`,
    {
      facts: {command, host, pid, since},
      next: 'Wait for it, or end it there; its lock goes with it.',
    },
  )
}

export function lockLost(table: string, why: string, cause?: unknown): MigratorError {
  return new MigratorError('lock.lost', `the lock of ${table} was lost: ${why}`, {
    cause,
    next: 'Somebody else may act on the table now. Running the same command again goes on from where things are.',
  })
}
