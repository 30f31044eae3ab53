import {createRequire} from 'node:module'
import type * as ZooKeeperClient from 'node-zookeeper-client'

import type {Clock} from '../clock.js'
import type {MigratorError} from '../errors.js'
import {Connecting, type ConnectionManager} from './zookeeper-connecting.js'
import {type Answer, connectionLost, translate, unauthenticated} from './zookeeper-errors.js'
import type {ZooKeeperAuth} from './zookeeper-options.js'

/** Loaded with the first session: that takes some 45 ms, and many commands need none. */
const library = () => createRequire(import.meta.url)('node-zookeeper-client') as typeof ZooKeeperClient

/** A node's data with its version. */
export interface VersionedBytes {
  bytes: Buffer
  version: number
}

/** One part of a transaction: `data` sets the node, without it only the version is checked. */
export interface TransactionPart {
  data?: Buffer
  path: string
  version: number
}

/** What ZooKeeper knows a session by: with it another connection goes on with the same one. */
export interface SessionIdentity {
  id: Buffer
  password: Buffer
}

export interface SessionOptions {
  auth?: ZooKeeperAuth
  clock: Clock
  /** How long one server may take to let us in before the next is tried. */
  handshakeLimitMs: number
  /** `host:port,host:port` */
  hosts: string
  /** Called once when the session ends without `close` or `destroy`. */
  onLost?(): void
  /** Goes on with this session, if ZooKeeper has it still. */
  resume?: SessionIdentity
  sessionTimeoutMs: number
}

/** One session with ZooKeeper; behind an interface, so that simulations can put a model in its place. */
export type Session = Pick<
  ZooKeeperSession,
  | 'children'
  | 'close'
  | 'commit'
  | 'connect'
  | 'createNumbered'
  | 'destroy'
  | 'fail'
  | 'getData'
  | 'identity'
  | 'isOver'
  | 'remove'
  | 'trouble'
  | 'wasAccepted'
>

/** Makes a session that is not connected yet. */
export type OpenSession = (options: SessionOptions) => Session

/** With a real ZooKeeper. */
export const openZooKeeperSession: OpenSession = (options) => new ZooKeeperSession(options)

const CLOSE_LIMIT_MS = 1000

/**
 * One session with ZooKeeper, around node-zookeeper-client, which by itself retries for ever, waits for ever on a
 * server that accepts and says nothing, and keeps the process alive. A session that lost its connection is over: open another.
 */
export class ZooKeeperSession {
  private readonly client: ZooKeeperClient.Client
  private readonly connecting: Connecting
  private ended = false
  private readonly manager: ConnectionManager
  private onEnd: ((error: MigratorError) => void) | undefined
  private readonly options: SessionOptions

  constructor(options: SessionOptions) {
    this.options = options
    this.client = library().createClient(options.hosts, {retries: 0, sessionTimeout: options.sessionTimeoutMs})
    this.manager = (this.client as unknown as {connectionManager: ConnectionManager}).connectionManager
    if (options.resume) {
      this.manager.sessionId = Buffer.from(options.resume.id)
      this.manager.sessionPassword = Buffer.from(options.resume.password)
    }

    const {clock, handshakeLimitMs, hosts} = options
    const [fail, isOver] = [(error: MigratorError) => this.fail(error), () => this.ended]
    this.connecting = new Connecting(this.manager, {clock, fail, handshakeLimitMs, hosts, isOver})
    this.endWithConnection()
    if (options.auth) this.client.addAuthInfo(options.auth.scheme, Buffer.from(options.auth.credentials))
  }

  /** Names of the nodes below. */
  children(path: string, signal: AbortSignal): Promise<string[]> {
    return this.run(signal, (done) => {
      this.client.getChildren(path, (error, names) => done(error, names, path))
    })
  }

  /**
   * Ends the session: says goodbye to the server, at most 1 s, then destroys the socket. At once when it is over already.
   */
  close(): Promise<void> {
    const {socket} = this.manager
    if (this.ended || !socket || socket.destroyed || socket.connecting) {
      this.destroy()
      return Promise.resolve()
    }

    return new Promise((resolve) => {
      const end = () => {
        timer.cancel()
        this.destroy()
        resolve()
      }

      const timer = this.options.clock.setTimer(CLOSE_LIMIT_MS, end)
      socket.once('close', end)
      this.client.close()
    })
  }

  /**
   * All parts or none. @throws MigratorError as `translate` of zookeeper-errors.ts says; facts.path names the part that failed
   */
  commit(parts: readonly TransactionPart[], signal: AbortSignal): Promise<void> {
    const transaction = this.client.transaction()
    for (const {data, path, version} of parts) {
      if (data === undefined) transaction.check(path, version)
      else transaction.setData(path, data, version)
      // The library takes version 0 for "any version"; then this would be no comparison at all.
      const {ops} = transaction as unknown as {ops: {version: number}[]}
      ops.at(-1)!.version = version
    }

    return this.run(signal, (done) => {
      transaction.commit((error, results: undefined | {err?: number}[]) => {
        const failed = results?.findIndex((result) => result.err !== undefined && result.err !== 0) ?? -1
        done(error, undefined, parts[failed]?.path ?? parts.at(-1)!.path)
      })
    })
  }

  /** Connects and logs in. @throws MigratorError `zk.unreachable`, `zk.auth_failed`; the signal's reason */
  connect(signal: AbortSignal): Promise<void> {
    return this.run(signal, (done) => {
      this.client.once('connected', () => {
        this.connecting.isIn()
        done(null, undefined, '/')
      })
      this.client.connect()
    })
  }

  /**
   * Makes a node that ends with the session; a number is appended to its name that no node there ever had before.
   * Everybody may read it, and whoever has this session's login change it. @returns its path
   */
  createNumbered(path: string, data: Buffer, signal: AbortSignal): Promise<string> {
    const {ACL, CreateMode, Id, Permission} = library()
    const everybody = new Id('world', 'anyone')
    const acls = this.options.auth
      ? [new ACL(Permission.READ, everybody), new ACL(Permission.ALL, new Id('auth', ''))]
      : [new ACL(Permission.ALL, everybody)]
    return this.run(signal, (done) => {
      this.client.create(path, data, acls, CreateMode.EPHEMERAL_SEQUENTIAL, (error, made) => done(error, made, path))
    })
  }

  /** Ends the session without a word. */
  destroy(): void {
    this.ended = true
    this.connecting.stop()
  }

  /** Ends the session without a word; whoever waits on it gets `error`. */
  fail(error: MigratorError): void {
    const wasOver = this.ended
    this.destroy()
    this.onEnd?.(error)
    if (!wasOver) this.options.onLost?.()
  }

  getData(path: string, signal: AbortSignal): Promise<VersionedBytes> {
    return this.run(signal, (done) => {
      this.client.getData(path, (error, bytes: Buffer | null, stat) => {
        done(error, error ? undefined : {bytes: bytes ?? Buffer.alloc(0), version: stat.version}, path)
      })
    })
  }

  get identity(): SessionIdentity {
    return {id: Buffer.from(this.manager.sessionId), password: Buffer.from(this.manager.sessionPassword)}
  }

  get isOver(): boolean {
    return this.ended
  }

  /** Whatever its version is. */
  remove(path: string, signal: AbortSignal): Promise<void> {
    return this.run(signal, (done) => {
      this.client.remove(path, (error) => done(error, undefined, path))
    })
  }

  /** Why there is no session (yet), as far as it is known. */
  get trouble(): string {
    return this.connecting.trouble
  }

  /** Whether any server accepted a TCP connection. */
  get wasAccepted(): boolean {
    return this.connecting.wasAccepted
  }

  private run<T>(
    signal: AbortSignal,
    start: (done: (error: unknown, value: T | undefined, path: string) => void) => void,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const finish = (settle: () => void) => {
        signal.removeEventListener('abort', onAbort)
        this.onEnd = undefined
        settle()
      }

      const onAbort = () => {
        finish(() => reject(signal.reason))
        this.destroy()
      }

      if (signal.aborted || this.ended) {
        finish(() => reject(signal.aborted ? signal.reason : connectionLost(this.options.hosts)))
        return
      }

      signal.addEventListener('abort', onAbort, {once: true})
      this.onEnd = (error) => finish(() => reject(error))
      start((error, value, path) => {
        finish(() => (error ? reject(translate(error as Answer, path, this.options.hosts)) : resolve(value as T)))
      })
    })
  }

  private endWithConnection(): void {
    const {client, options} = this
    client.on('expired', () => this.fail(connectionLost(options.hosts, 'the session expired')))
    client.on('authenticationFailed', () => this.fail(unauthenticated(options.auth?.scheme)))
    // The library would reconnect, and send again what it had not sent yet; what was sent stays unanswered.
    client.on('disconnected', () => this.fail(connectionLost(options.hosts, this.connecting.socketError)))
  }
}
