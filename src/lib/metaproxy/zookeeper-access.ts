import {type Clock, type Deadline, deadline, sleep} from '../clock.js'
import {isMigratorError, MigratorError} from '../errors.js'
import {KeptSession} from './kept-session.js'
import {connectionLost} from './zookeeper-errors.js'
import {parseZooKeeperHosts, type ZooKeeperAuth} from './zookeeper-options.js'
import {
  type OpenSession,
  openZooKeeperSession,
  type Session,
  type TransactionPart,
  type VersionedBytes,
} from './zookeeper-session.js'

export interface ZooKeeperAccessOptions {
  auth?: ZooKeeperAuth
  clock: Clock
  /** `host:port,host:port`, optionally with a chroot (`/...`) at the end. */
  hosts: string
  /** Default: with ZooKeeper itself. */
  openSession?: OpenSession
  operationTimeoutMs: number
}

/** What became of a transaction: done, refused by ZooKeeper, or sent and never answered. */
export type CommitOutcome = {error: MigratorError; kind: 'lost' | 'refused'} | {kind: 'done'}

type Use<T> = (session: Session, patience: AbortSignal) => Promise<T>

/** Only for the server: a session lives for one operation. */
const SESSION_TIMEOUT_MS = 10_000
/** A server that is starting takes connections that it never answers. */
const HANDSHAKE_LIMIT_MS = 2000
const RETRY_DELAY_MS = 200

/** Answers after which a session is as good as before. */
const ANSWERS = ['zk.bad_version', 'zk.no_node']

/** Reads and transactions, each in a session of its own unless one is kept, on whichever server of the ensemble answers. */
export class ZooKeeperAccess {
  private readonly base: string
  private closed = false
  private readonly farewells = new Set<Promise<void>>()
  private kept: KeptSession | undefined
  private readonly options: ZooKeeperAccessOptions
  private readonly servers: readonly string[]
  private readonly sessions = new Set<Session>()

  /** @throws MigratorError `zk.bad_option` for hosts that cannot be used */
  constructor(options: ZooKeeperAccessOptions) {
    const {base, servers} = parseZooKeeperHosts(options.hosts)
    this.base = base
    this.options = options
    this.servers = servers
  }

  /** Ends every session; what waits fails with `zk.closed`. At most 1 s. */
  async close(): Promise<void> {
    this.closed = true
    this.keep(false)
    for (const session of this.sessions) session.fail(closedError())
    await Promise.all(this.farewells)
  }

  /**
   * All parts or none, asked once.
   * @throws MigratorError `zk.unreachable`, `zk.timeout`, `zk.auth_failed`: nothing was sent; the parent signal's reason
   */
  async commit(parts: readonly TransactionPart[], limit: Deadline): Promise<CommitOutcome> {
    let sent = false
    try {
      await this.patiently(
        limit,
        () => !sent,
        (session, patience) => {
          sent = true
          return session.commit(
            parts.map((part) => ({...part, path: this.fullPath(part.path)})),
            patience,
          )
        },
      )
      return {kind: 'done'}
    } catch (error) {
      if (!sent || !(error instanceof MigratorError)) throw error
      return {error, kind: isMigratorError(error, 'zk.connection_lost', 'zk.timeout') ? 'lost' : 'refused'}
    }
  }

  /** As ZooKeeper knows it: below the chroot of the hosts. */
  fullPath(path: string): string {
    return this.base + path
  }

  /** A node's data, asked again on lost connections until the limit. @throws MigratorError as MetaproxyStore.read */
  getData(path: string, limit: Deadline): Promise<VersionedBytes> {
    return this.patiently(
      limit,
      () => true,
      (session, patience) => session.getData(this.fullPath(path), patience),
    )
  }

  /** Whether one session stays open from the next operation on. */
  keep(wanted: boolean): void {
    if (wanted === (this.kept !== undefined) || (wanted && this.closed)) return
    this.kept?.end()
    this.kept = wanted ? new KeptSession((session) => this.dismiss(session)) : undefined
  }

  /** A time limit for the methods above. */
  limit(timeoutMs: number, parent?: AbortSignal): Deadline {
    return deadline(this.options.clock, timeoutMs, () => new MigratorError(TIME_UP, `${timeoutMs} ms are over`), parent)
  }

  /** Opens session after session until one lasts, as long as `mayRepeat`. */
  private async patiently<T>(limit: Deadline, mayRepeat: () => boolean, use: Use<T>): Promise<T> {
    for (;;) {
      try {
        return await this.inSession(limit.signal, use)
      } catch (error) {
        if (!isMigratorError(error, 'zk.connection_lost') || !mayRepeat()) throw error
        try {
          await sleep(this.options.clock, RETRY_DELAY_MS, limit.signal)
        } catch (error_) {
          throw isTimeUp(error_) ? this.timedOut(error.message, error) : error_
        }
      }
    }
  }

  private async inSession<T>(limit: AbortSignal, use: Use<T>): Promise<T> {
    const place = await this.enter(limit)
    let session = place?.session
    let good: Session | undefined
    try {
      if (session) this.sessions.add(session)
      else {
        session = this.open()
        await this.connect(session, limit)
      }

      const result = await this.use(session, limit, use)
      good = session
      return result
    } catch (error) {
      if (place && isMigratorError(error, ...ANSWERS)) good = session
      else session?.destroy()
      throw isTimeUp(error) ? this.timedOut('it let us in and did not answer', error) : error
    } finally {
      if (session) this.sessions.delete(session)
      if (place) place.leave(good)
      else if (good) this.dismiss(good)
    }
  }

  /** Where a session is kept: when it is free. */
  private async enter(limit: AbortSignal) {
    if (this.closed) throw closedError()
    try {
      return await this.kept?.enter(limit)
    } catch (error) {
      throw isTimeUp(error) ? this.timedOut('it has not answered an earlier question', error) : error
    }
  }

  private async use<T>(session: Session, limit: AbortSignal, use: Use<T>): Promise<T> {
    const {clock, hosts, operationTimeoutMs} = this.options
    // Half of the limit, so that a server that freezes in between leaves time for another one.
    const patienceMs = Math.round(operationTimeoutMs / 2)
    const noAnswer = () => connectionLost(hosts, `no answer within ${patienceMs} ms`)
    const patience = deadline(clock, patienceMs, noAnswer, limit)
    try {
      return await use(session, patience.signal)
    } finally {
      patience.dispose()
    }
  }

  private async connect(session: Session, limit: AbortSignal): Promise<void> {
    try {
      await session.connect(limit)
    } catch (error) {
      if (!isTimeUp(error)) throw error
      if (session.wasAccepted) throw this.timedOut(session.trouble, error)
      throw new MigratorError(
        'zk.unreachable',
        `nothing answers at ZooKeeper's ${this.options.hosts}: ${session.trouble}`,
        {
          cause: error,
          facts: {detail: session.trouble, hosts: this.options.hosts},
          next: 'check the ZooKeeper addresses (--node) and the network',
          retrySafe: true,
        },
      )
    }
  }

  /** Lets a session end by itself, in the background. */
  private dismiss(session: Session): void {
    const farewell = session.close().finally(() => this.farewells.delete(farewell))
    this.farewells.add(farewell)
  }

  private open(): Session {
    if (this.closed) throw closedError()
    const {auth, clock, openSession = openZooKeeperSession, operationTimeoutMs} = this.options
    const session = openSession({
      auth,
      clock,
      handshakeLimitMs: Math.min(HANDSHAKE_LIMIT_MS, operationTimeoutMs / 2 / this.servers.length),
      hosts: this.servers.join(','),
      sessionTimeoutMs: SESSION_TIMEOUT_MS,
    })
    this.sessions.add(session)
    return session
  }

  private timedOut(detail: string, cause: unknown): MigratorError {
    return new MigratorError('zk.timeout', `no answer in time from ZooKeeper at ${this.options.hosts}: ${detail}`, {
      cause,
      facts: {detail, hosts: this.options.hosts},
      next: 'check that ZooKeeper is alive, then run the same command again',
      retrySafe: true,
    })
  }
}

/** Marks a limit's own reason; always replaced by an error that says what was going on. */
const TIME_UP = 'zk.time_up'

function isTimeUp(error: unknown): boolean {
  return isMigratorError(error, TIME_UP)
}

function closedError(): MigratorError {
  return new MigratorError('zk.closed', 'the access to ZooKeeper was closed')
}
