import {type Clock, deadline} from '../../clock.js'
import {isMigratorError, MigratorError} from '../../errors.js'
import type {LockNote, SharedLocks} from '../../metaproxy/shared-lock.js'
import type {MigrationLock} from '../lock.js'
import {mayPass} from '../wait.js'

const LOOK_LIMIT_MS = 2000
/** So soon after the lock was seen free nobody else can have denied writes: whoever takes it looks at the table first. */
const GRACE_MS = 10_000

export interface DriversLockOptions {
  clock: Clock
  /** Undefined where only one machine knows of the migration: then nobody else is seen (docs/guard.md). */
  locks: SharedLocks | undefined
  table: string
  /** Of the driver's locks. */
  token: string | undefined
}

/**
 * The table's lock as the guard looks at it. It takes none itself, because it must never keep anybody from mending: it acts in
 * its driver's name, as long as the driver has the lock or nobody has it.
 */
export class DriversLock implements MigrationLock {
  readonly token = undefined
  private freeAtMs = Number.NEGATIVE_INFINITY

  constructor(private readonly options: DriversLockOptions) {}

  /** Before each effect. @throws MigratorError `guard.yields` when another command holds the lock; `zk.*` */
  async check(signal: AbortSignal): Promise<void> {
    try {
      const holder = await this.otherHolder(signal)
      if (holder) throw yields(this.options.table, holder)
    } catch (error) {
      signal.throwIfAborted()
      const {clock} = this.options
      if (!mayPass(error) || clock.nowMs() - this.freeAtMs > GRACE_MS) throw error
    }
  }

  /** @returns who but the driver holds the lock, on whatever machine. @throws MigratorError `zk.*` when nobody can tell */
  async otherHolder(signal: AbortSignal): Promise<LockNote | undefined> {
    const {clock, locks, table, token} = this.options
    if (!locks) return undefined
    const reason = () => new MigratorError('zk.timeout', `no answer about the lock within ${LOOK_LIMIT_MS} ms`)
    const limit = deadline(clock, LOOK_LIMIT_MS, reason, signal)
    try {
      const holder = await locks.holder(table, limit.signal)
      if (holder && holder.token !== token) return holder
    } catch (error) {
      // There no lock can be made either.
      if (!isMigratorError(error, 'zk.auth_failed', 'zk.no_node')) throw error
    } finally {
      limit.dispose()
    }

    this.freeAtMs = clock.nowMs()
    return undefined
  }

  regain(signal: AbortSignal): Promise<void> {
    return this.check(signal)
  }

  async release(): Promise<void> {
    // Nothing was taken.
  }

  versionCheck(): undefined {
    return undefined
  }
}

/** Who holds it, in words. */
export function holderText({command, host, pid}: LockNote): string {
  return `process ${pid} on ${host} (${command})`
}

function yields(table: string, holder: LockNote): MigratorError {
  return new MigratorError('guard.yields', `${holderText(holder)} works on ${table} now and answers for its write-deny`)
}
