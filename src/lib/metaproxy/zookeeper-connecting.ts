import type {Socket} from 'node:net'

import type {Clock, Timer} from '../clock.js'
import {messageOf, type MigratorError} from '../errors.js'
import {connectionLost} from './zookeeper-errors.js'

const RETRY_DELAY_MS = 200
/** ZooKeeper's own limit for a node and for an answer is 1 MiB; the library would wait for 2 GiB. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024

/** What of node-zookeeper-client's inside must be held to make it end: a unit test pins these names. */
export interface ConnectionManager {
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

export interface ConnectingOptions {
  clock: Clock
  /** Ends the session. */
  fail(error: MigratorError): void
  /** How long one server may take to let us in before the next is tried. */
  handshakeLimitMs: number
  /** `host:port,host:port` */
  hosts: string
  isOver(): boolean
}

/**
 * How a session gets in: server after server, each with its time. Takes from the library what it does without end: reconnecting,
 * waiting for whoever accepts and says nothing, and throwing out of a socket's event handler.
 */
export class Connecting {
  private accepted = false
  private handshakeTimer: Timer | undefined
  private lastSocketError: string | undefined
  private retryTimer: Timer | undefined

  constructor(
    private readonly manager: ConnectionManager,
    private readonly options: ConnectingOptions,
  ) {
    this.tryServers()
    this.holdSocket()
  }

  /** What the socket met last. */
  get socketError(): string | undefined {
    return this.lastSocketError
  }

  /** Why there is no session (yet), as far as it is known. */
  get trouble(): string {
    if (this.accepted) return 'it accepts connections and does not answer as ZooKeeper does'
    return this.lastSocketError ?? 'no connection within the time limit'
  }

  /** Whether any server accepted a TCP connection. */
  get wasAccepted(): boolean {
    return this.accepted
  }

  /** A server let us in. */
  isIn(): void {
    this.handshakeTimer?.cancel()
  }

  /** Gives up, and closes the socket. */
  stop(): void {
    const {manager} = this
    this.handshakeTimer?.cancel()
    this.retryTimer?.cancel()
    if (manager.connectTimeoutHandler) clearTimeout(manager.connectTimeoutHandler)
    manager.socket?.removeAllListeners()
    // A socket may still report what it met before it was destroyed; unheard, that would end the process.
    manager.socket?.on('error', () => {})
    manager.socket?.destroy()
  }

  private tryServers(): void {
    const {manager, options} = this
    let attempts = 0
    manager.findNextServer = (callback) => {
      // Also called once more out of the handler of the socket's end, after that has ended the session.
      if (options.isOver()) return
      const server = manager.servers[attempts % manager.servers.length]!
      const delayMs = attempts++ < manager.servers.length ? 0 : RETRY_DELAY_MS
      this.retryTimer = options.clock.setTimer(delayMs, () => {
        callback(server)
        this.handshakeTimer?.cancel()
        this.handshakeTimer = options.clock.setTimer(options.handshakeLimitMs, () => manager.socket?.destroy())
      })
    }
  }

  private holdSocket(): void {
    const {manager, options} = this
    const {onSocketConnected, onSocketData, onSocketError} = manager
    manager.onSocketConnected = () => {
      this.accepted = true
      onSocketConnected.call(manager)
    }

    manager.onSocketData = (bytes) => {
      if ((manager.pendingBuffer?.length ?? 0) + bytes.length > MAX_ANSWER_BYTES) {
        options.fail(connectionLost(options.hosts, `it sends an answer of more than ${MAX_ANSWER_BYTES} bytes`))
        return
      }

      try {
        onSocketData.call(manager, bytes)
      } catch (error) {
        options.fail(connectionLost(options.hosts, `it does not answer as ZooKeeper does: ${messageOf(error)}`))
      }
    }

    manager.onSocketError = (error) => {
      this.lastSocketError = error.message
      onSocketError.call(manager, error)
    }
  }
}
