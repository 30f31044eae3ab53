import {createRequire} from 'node:module'
import type {Socket} from 'node:net'
import type * as ZooKeeperClient from 'node-zookeeper-client'

import type {Clock, Timer} from '../clock.js'
import {MigratorError, messageOf} from '../errors.js'
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

/** What of node-zookeeper-client's inside must be held to make it end: a unit test pins these names. */
interface ConnectionManager {
  connect(): void
  connectTimeoutHandler: NodeJS.Timeout | null
  findNextServer(callback: (server: {host: string; port: number}) => void): void
  onSocketConnected(): void
  onSocketData(bytes: Buffer): void
  onSocketError(error: Error): void
  /** What has arrived of an answer that is not complete. */
  pendingBuffer?: Buffer | null
  servers: {host: string; port: number}[]
  sessionId: Buffer
  sessionPassword: Buffer
  socket?: Socket
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

const RETRY_DELAY_MS = 200
const CLOSE_LIMIT_MS = 1000
/** ZooKeeper's own limit for a node and for an answer is 1 MiB; the library would wait for 2 GiB. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024

/**
 * One session with ZooKeeper, around node-zookeeper-client, which by itself retries for ever, waits for ever on a
 * server that accepts and says nothing, and keeps the process alive. A session that lost its connection is over: open another.
 */
export class ZooKeeperSession {
  private readonly client: ZooKeeperClient.Client
  private ended = false
  private handshakeTimer: Timer | undefined
  private lastSocketError: string | undefined
  private readonly manager: ConnectionManager
  private onEnd: ((error: MigratorError) => void) | undefined
  private readonly options: SessionOptions
  private retryTimer: Timer | undefined
  private tcpConnected = false

  constructor(options: SessionOptions) {
    this.options = options
    this.client = library().createClient(options.hosts, {retries: 0, sessionTimeout: options.sessionTimeoutMs})
    this.manager = (this.client as unknown as {connectionManager: ConnectionManager}).connectionManager
    if (options.resume) {
      this.manager.sessionId = Buffer.from(options.resume.id)
      this.manager.sessionPassword = Buffer.from(options.resume.password)
    }

    this.tame()
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
        this.handshakeTimer?.cancel()
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
    this.handshakeTimer?.cancel()
    this.retryTimer?.cancel()
    if (this.manager.connectTimeoutHandler) clearTimeout(this.manager.connectTimeoutHandler)
    this.manager.socket?.removeAllListeners()
    // A socket may still report what it met before it was destroyed; unheard, that would end the process.
    this.manager.socket?.on('error', () => {})
    this.manager.socket?.destroy()
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
    if (this.tcpConnected) return 'it accepts connections and does not answer as ZooKeeper does'
    return this.lastSocketError ?? 'no connection within the time limit'
  }

  /** Whether any server accepted a TCP connection. */
  get wasAccepted(): boolean {
    return this.tcpConnected
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

  /** Takes from the library what it does without end: reconnecting, and throwing out of a socket's event handler. */
  private tame(): void {
    const {manager, options} = this
    let attempts = 0
    manager.findNextServer = (callback) => {
      // Also called once more out of the handler of the socket's end, after that has ended the session.
      if (this.ended) return
      const server = manager.servers[attempts % manager.servers.length]!
      const delayMs = attempts++ < manager.servers.length ? 0 : RETRY_DELAY_MS
      this.retryTimer = options.clock.setTimer(delayMs, () => {
        callback(server)
        this.handshakeTimer?.cancel()
        this.handshakeTimer = options.clock.setTimer(options.handshakeLimitMs, () => manager.socket?.destroy())
      })
    }

    const {onSocketConnected, onSocketData, onSocketError} = manager
    manager.onSocketConnected = () => {
      this.tcpConnected = true
      onSocketConnected.call(manager)
    }

    manager.onSocketData = (bytes) => {
      if ((manager.pendingBuffer?.length ?? 0) + bytes.length > MAX_ANSWER_BYTES) {
        this.fail(connectionLost(options.hosts, `it sends an answer of more than ${MAX_ANSWER_BYTES} bytes`))
        return
      }

      try {
        onSocketData.call(manager, bytes)
      } catch (error) {
        this.fail(connectionLost(options.hosts, `it does not answer as ZooKeeper does: ${messageOf(error)}`))
      }
    }

    manager.onSocketError = (error) => {
      this.lastSocketError = error.message
      onSocketError.call(manager, error)
    }

    this.client.on('expired', () => this.fail(connectionLost(options.hosts, 'the session expired')))
    this.client.on('authenticationFailed', () => this.fail(unauthenticated(options.auth?.scheme)))
    // The library would reconnect, and send again what it had not sent yet; what was sent stays unanswered.
    this.client.on('disconnected', () => this.fail(connectionLost(options.hosts, this.lastSocketError)))
  }
}
