import {type Clock, deadline, sleep} from '../clock.js'
import {isMigratorError, MigratorError} from '../errors.js'
import {
  type AcquireOptions,
  lockHeld,
  lockLost,
  type LockNote,
  parseLockNote,
  type SharedLock,
  type SharedLocks,
} from './shared-lock.js'
import type {VersionCheck} from './store.js'
import {connectionLost} from './zookeeper-errors.js'
import {normalizePath, parseZooKeeperHosts, type ZooKeeperAuth} from './zookeeper-options.js'
import {
  type OpenSession,
  openZooKeeperSession,
  type Session,
  type SessionIdentity,
  type SessionOptions,
} from './zookeeper-session.js'

export interface ZooKeeperLocksOptions {
  auth?: ZooKeeperAuth
  clock: Clock
  /** `host:port,host:port`, optionally with a chroot at the end. */
  hosts: string
  /** Default: with ZooKeeper itself. */
  openSession?: OpenSession
  /** Path above the tables' nodes. */
  root: string
  /** After so long without a word from its holder ZooKeeper takes a lock away. Default 10 s. */
  sessionTimeoutMs?: number
}

const LOCK_PREFIX = 'migration-lock-'
const HANDSHAKE_LIMIT_MS = 2000
const OPERATION_LIMIT_MS = 5000
const POLL_MS = 300
const RECONNECT_PATIENCE_MS = 8000

/**
 * Locks as nodes that end with their holder's session, below the node of the table: `<root>/<table>/migration-lock-0000000007`. The
 * lowest number holds it; a number never comes twice, so that "this node is there" means "the lock is held by me".
 */
export class ZooKeeperLocks implements SharedLocks {
  private readonly base: string
  private readonly servers: string
  private readonly root: string
  private readonly sessionTimeoutMs: number

  /** @throws MigratorError `zk.bad_option` */
  constructor(private readonly options: ZooKeeperLocksOptions) {
    const {base, servers} = parseZooKeeperHosts(options.hosts)
    this.base = base
    this.root = normalizePath(options.root)
    this.servers = servers.join(',')
    this.sessionTimeoutMs = options.sessionTimeoutMs ?? 10_000
  }

  async acquire(options: AcquireOptions): Promise<SharedLock> {
    const lock = new HeldLock(this, options, this.options.clock, this.sessionTimeoutMs)
    await lock.take(options.signal, options.waitMs)
    return lock
  }

  async holder(table: string, signal: AbortSignal): Promise<LockNote | undefined> {
    const session = await this.open(signal)
    try {
      const [lowest] = await this.contenders(session, table, signal)
      return lowest === undefined ? undefined : await this.noteOf(session, lowest, signal)
    } finally {
      await session.close()
    }
  }

  /** Paths of everybody who wants the lock, the holder first. */
  async contenders(session: Session, table: string, signal: AbortSignal): Promise<string[]> {
    const names = await session.children(this.fullPath(table), signal)
    return names
      .filter((name) => name.startsWith(LOCK_PREFIX))
      .sort((a, b) => numberOf(a) - numberOf(b))
      .map((name) => `${this.fullPath(table)}/${name}`)
  }

  /** @returns undefined when it is gone */
  async noteOf(session: Session, path: string, signal: AbortSignal): Promise<LockNote | undefined> {
    try {
      const {bytes} = await session.getData(path, signal)
      const note = parseLockNote(bytes.toString('utf8'))
      if (note) return note
      throw new MigratorError('lock.foreign', `${path} is no lock of ours: ${bytes.toString('utf8', 0, 80)}`, {
        facts: {path},
        next: 'Find out who made it, and delete it.',
      })
    } catch (error) {
      if (isMigratorError(error, 'zk.no_node')) return undefined
      throw error
    }
  }

  async open(signal: AbortSignal, more: Partial<SessionOptions> = {}): Promise<Session> {
    const {auth, clock, openSession = openZooKeeperSession} = this.options
    const session = openSession({
      ...(auth ? {auth} : {}),
      clock,
      handshakeLimitMs: HANDSHAKE_LIMIT_MS,
      hosts: this.servers,
      sessionTimeoutMs: this.sessionTimeoutMs,
      ...more,
    })
    try {
      await this.limited(signal, (limit) => session.connect(limit))
      return session
    } catch (error) {
      session.destroy()
      throw error
    }
  }

  /** Below the chroot of the hosts. */
  fullPath(table: string): string {
    return `${this.base}${this.root}/${table}`
  }

  /** The path as `MetaproxyStore` takes it. */
  withoutBase(path: string): string {
    return path.slice(this.base.length)
  }

  /** One operation within its time limit. @throws also `zk.timeout` */
  async limited<T>(parent: AbortSignal, use: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const {clock, hosts} = this.options
    const reason = () =>
      new MigratorError('zk.timeout', `no answer within ${OPERATION_LIMIT_MS} ms from ZooKeeper at ${hosts}`, {
        facts: {hosts},
        retrySafe: true,
      })
    const limit = deadline(clock, OPERATION_LIMIT_MS, reason, parent)
    try {
      return await use(limit.signal)
    } finally {
      limit.dispose()
    }
  }
}

/** One lock, and the session that it lives as long as. */
class HeldLock implements SharedLock {
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

function numberOf(name: string): number {
  return Number(name.slice(LOCK_PREFIX.length))
}

function isExpired(error: unknown): boolean {
  return isMigratorError(error, 'zk.connection_lost') && error.facts.detail === 'the session expired'
}
