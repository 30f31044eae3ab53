import {type Clock, deadline} from '../clock.js'
import {isMigratorError, MigratorError} from '../errors.js'
import {HeldLock, LOCK_PREFIX} from './held-lock.js'
import {type AcquireOptions, type LockNote, parseLockNote, type SharedLock, type SharedLocks} from './shared-lock.js'
import {normalizePath, parseZooKeeperHosts, type ZooKeeperAuth} from './zookeeper-options.js'
import {type OpenSession, openZooKeeperSession, type Session, type SessionOptions} from './zookeeper-session.js'

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

const HANDSHAKE_LIMIT_MS = 2000
const OPERATION_LIMIT_MS = 5000

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

function numberOf(name: string): number {
  return Number(name.slice(LOCK_PREFIX.length))
}
