import {type Client, createClient, Event} from 'node-zookeeper-client'
import type {Socket} from 'node:net'

import {systemClock, type Timer} from '../../src/lib/clock.js'

/** What happened to a node that was watched. */
export type NodeEvent = 'changed' | 'deleted'

/** Where a simulated metaproxy reads its nodes: a real ZooKeeper, or a model of it. */
export interface WatchedNodes {
  close(): Promise<void>
  /** Ends the session, as ZooKeeper does with one that was silent too long: every watch so far is gone for good. */
  expire(): Promise<void>
  /** The node's data, undefined without a node; `onEvent` is told once of what happens to it next. */
  read(path: string, onEvent: (event: NodeEvent) => void): Promise<Buffer | undefined>
}

const NO_NODE = -101
const SESSION_TIMEOUT_MS = 10_000
const RETRY_DELAY_MS = 100
const GOODBYE_LIMIT_MS = 1000

interface ConnectionManager {
  connectTimeoutHandler: NodeJS.Timeout | null
  findNextServer(callback: (server: {host: string; port: number}) => void): void
  servers: {host: string; port: number}[]
  socket?: Socket
}

/** One session that outlives lost connections, until it expires or is ended. */
class WatchingSession {
  readonly client: Client
  private attempts = 0
  private ended = false
  private readonly manager: ConnectionManager
  private retry: Timer | undefined

  constructor(address: string, onExpired: () => void) {
    this.client = createClient(address, {sessionTimeout: SESSION_TIMEOUT_MS})
    this.manager = (this.client as unknown as {connectionManager: ConnectionManager}).connectionManager
    // The library's own would go on after the end.
    this.manager.findNextServer = (callback) => {
      if (this.ended) return
      this.retry = systemClock.setTimer(this.attempts++ === 0 ? 0 : RETRY_DELAY_MS, () =>
        callback(this.manager.servers[0]!),
      )
    }

    this.client.once('expired', onExpired)
    this.client.connect()
  }

  async end(): Promise<void> {
    const {socket} = this.manager
    if (socket && !socket.destroyed && !socket.connecting) {
      await new Promise<void>((resolve) => {
        const timer = systemClock.setTimer(GOODBYE_LIMIT_MS, resolve)
        socket.once('close', () => {
          timer.cancel()
          resolve()
        })
        this.client.close()
      })
    }

    this.ended = true
    this.retry?.cancel()
    if (this.manager.connectTimeoutHandler) clearTimeout(this.manager.connectTimeoutHandler)
    this.manager.socket?.destroy()
  }
}

class ZooKeeperWatchedNodes implements WatchedNodes {
  private session: undefined | WatchingSession

  constructor(private readonly address: string) {
    this.open()
  }

  async close(): Promise<void> {
    const {session} = this
    this.session = undefined
    await session?.end()
  }

  async expire(): Promise<void> {
    const {session} = this
    this.open()
    await session?.end()
  }

  read(path: string, onEvent: (event: NodeEvent) => void): Promise<Buffer | undefined> {
    const watcher = (event: Event) => {
      if (event.type === Event.NODE_DATA_CHANGED) onEvent('changed')
      else if (event.type === Event.NODE_DELETED) onEvent('deleted')
    }

    return new Promise((resolve, reject) => {
      if (!this.session) throw new Error('closed')
      this.session.client.getData(path, watcher, (error, bytes: Buffer | null) => {
        if (!error) resolve(bytes ?? Buffer.alloc(0))
        else if ('code' in error && error.code === NO_NODE) resolve(undefined)
        else reject(error)
      })
    })
  }

  private open(): void {
    const session = new WatchingSession(this.address, () => {
      if (this.session === session) this.open()
    })
    this.session = session
  }
}

/** The nodes of a real ZooKeeper at `host:port`. */
export function zooKeeperNodes(address: string): WatchedNodes {
  return new ZooKeeperWatchedNodes(address)
}
