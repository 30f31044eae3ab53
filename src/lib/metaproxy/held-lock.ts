import {type Clock, sleep} from '../clock.js'
import {isMigratorError, MigratorError} from '../errors.js'
import {type AcquireOptions, lockHeld, lockLost, type SharedLock} from './shared-lock.js'
import type {VersionCheck} from './store.js'
import {connectionLost} from './zookeeper-errors.js'
import type {ZooKeeperLocks} from './zookeeper-lock.js'
import type {Session, SessionIdentity} from './zookeeper-session.js'

export const LOCK_PREFIX = 'migration-lock-'
const POLL_MS = 300
const RECONNECT_PATIENCE_MS = 8000

/** One lock, and the session that it lives as long as. */
export class HeldLock implements SharedLock {
  private readonly life = new AbortController()
  private lost: MigratorError | undefined
  /** Of our node; undefined while we have none. */
  private path: string | undefined
  private reconnecting: Promise<void> | undefined
  private session: Session | undefined
  /** One operation at a time: a session takes no more. */
  private turn: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly locks: ZooKeeperLocks,
    private readonly options: AcquireOptions,
    private readonly clock: Clock,
    private readonly sessionTimeoutMs: number,
  ) {}

  check(signal: AbortSignal): Promise<void> {
    return this.inTurn(async () => {
      if (this.lost) throw this.lost
      await this.look(signal)
    })
  }

  regain(signal: AbortSignal): Promise<void> {
    return this.inTurn(async () => {
      try {
        await this.look(signal)
      } catch (error) {
        if (!isMigratorError(error, 'lock.lost')) throw error
        this.lost ??= error
        await this.take(signal, 0)
      }
    })
  }

  async release(): Promise<void> {
    this.life.abort(new MigratorError('lock.released', 'the lock was given back'))
    await this.reconnecting
    const {session} = this
    this.session = undefined
    // The node ends with the session, at once.
    await session?.close()
  }

  versionCheck(): undefined | VersionCheck {
    return this.path === undefined ? undefined : {path: this.locks.withoutBase(this.path), version: 0}
  }

  /** Takes the lock, waiting for a holder that may be dead. */
  async take(signal: AbortSignal, waitMs: number): Promise<void> {
    const {isDead, note, onWait, table} = this.options
    const session = await this.locks.open(signal, {onLost: () => this.onLost()})
    const startMs = this.clock.nowMs()
    try {
      const data = Buffer.from(JSON.stringify(note))
      const prefix = `${this.locks.fullPath(table)}/${LOCK_PREFIX}`
      const own = await this.locks.limited(signal, (limit) => session.createNumbered(prefix, data, limit))
      for (;;) {
        const [lowest] = await this.locks.limited(signal, (limit) => this.locks.contenders(session, table, limit))
        if (lowest === own) break
        if (lowest === undefined) throw connectionLost(table, 'the session ended while the lock was taken')
        const holder = await this.locks.limited(signal, (limit) => this.locks.noteOf(session, lowest, limit))
        if (!holder) continue
        if (holder.token === note.token || (await isDead(holder))) {
          await this.remove(session, lowest, signal)
          continue
        }

        if (this.clock.nowMs() - startMs >= waitMs) throw lockHeld(table, holder)
        onWait?.(holder)
        await sleep(this.clock, POLL_MS, signal)
      }

      this.session?.destroy()
      this.session = session
      this.path = own
    } catch (error) {
      await session.close()
      throw error
    }
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(work, work)
    this.turn = mine.catch(() => {})
    return mine
  }

  /** Whether our node is there; asked again when the connection is cut meanwhile. */
  private async look(signal: AbortSignal): Promise<void> {
    const untilMs = this.clock.nowMs() + RECONNECT_PATIENCE_MS
    for (;;) {
      if (this.path !== undefined && this.session?.isOver) this.onLost()
      await this.reconnected(signal, untilMs)
      const {path, session} = this
      if (path === undefined || !session) throw this.lost ?? lockLost(this.options.table, 'it was given back')
      try {
        const note = await this.locks.limited(signal, (limit) => this.locks.noteOf(session, path, limit))
        if (note?.token === this.options.note.token) return
      } catch (error) {
        if (!isMigratorError(error, 'zk.connection_lost') || this.clock.nowMs() >= untilMs) throw error
        continue
      }

      this.path = undefined
      this.lost ??= lockLost(this.options.table, 'its node is gone')
      throw this.lost
    }
  }

  /** The connection was cut: goes on with the same session elsewhere, as long as ZooKeeper keeps it. */
  private onLost(): void {
    if (this.life.signal.aborted || this.session === undefined || this.reconnecting) return
    const {identity} = this.session
    this.reconnecting = this.reconnect(identity).finally(() => {
      this.reconnecting = undefined
      // Cut once more before anybody looked.
      if (this.path !== undefined && this.session?.isOver) this.onLost()
    })
  }

  private async reconnect(resume: SessionIdentity): Promise<void> {
    const {signal} = this.life
    const untilMs = this.clock.nowMs() + 2 * this.sessionTimeoutMs
    while (!signal.aborted) {
      try {
        this.session = await this.locks.open(signal, {onLost: () => this.onLost(), resume})
        return
      } catch (error) {
        if (signal.aborted) return
        if (isExpired(error) || this.clock.nowMs() > untilMs) {
          this.path = undefined
          this.lost = lockLost(this.options.table, 'its ZooKeeper session expired', error)
          return
        }
      }

      await sleep(this.clock, POLL_MS, signal).catch(() => {})
    }
  }

  /** Waits for a connection that is being made anew, not for ever. */
  private async reconnected(signal: AbortSignal, untilMs: number): Promise<void> {
    const {reconnecting} = this
    if (!reconnecting) return
    const wait = new AbortController()
    const leave = AbortSignal.any([signal, wait.signal])
    await Promise.race([reconnecting, sleep(this.clock, untilMs - this.clock.nowMs(), leave)]).finally(() =>
      wait.abort(new Error('waited long enough')),
    )
    signal.throwIfAborted()
  }

  private async remove(session: Session, path: string, signal: AbortSignal): Promise<void> {
    try {
      await this.locks.limited(signal, (limit) => session.remove(path, limit))
    } catch (error) {
      if (!isMigratorError(error, 'zk.no_node')) throw error
    }
  }
}

function isExpired(error: unknown): boolean {
  return isMigratorError(error, 'zk.connection_lost') && error.facts.detail === 'the session expired'
}
