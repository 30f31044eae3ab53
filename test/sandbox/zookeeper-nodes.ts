import type {Socket} from 'node:net'

import {type ACL, type Client, createClient, type Exception} from 'node-zookeeper-client'

import {systemClock} from '../../src/lib/clock.js'
import {within} from '../support/within.js'

const LIMIT_MS = 30_000
const GOODBYE_LIMIT_MS = 2000

/** Reads and writes nodes of a ZooKeeper that is up; for setting the scene, not under test. */
export class ZooKeeperNodes {
  private readonly client: Client

  private constructor(client: Client) {
    this.client = client
  }

  /** @param digest `user:password` */
  static open(address: string, digest?: string): Promise<ZooKeeperNodes> {
    const client = createClient(address)
    if (digest !== undefined) client.addAuthInfo('digest', Buffer.from(digest))
    const connected = new Promise<ZooKeeperNodes>((resolve) => {
      client.once('connected', () => resolve(new ZooKeeperNodes(client)))
    })
    client.connect()
    return within(LIMIT_MS, `a session with ZooKeeper ${address}`, connected)
  }

  /** Says goodbye, and does not wait for the answer for ever: the library's own close may never end. */
  async close(): Promise<void> {
    const {connectionManager} = this.client as unknown as {connectionManager: {socket?: Socket}}
    const {socket} = connectionManager
    if (!socket || socket.destroyed) {
      this.client.close()
      return
    }

    await new Promise<void>((resolve) => {
      const timer = systemClock.setTimer(GOODBYE_LIMIT_MS, () => socket.destroy())
      socket.once('close', () => {
        timer.cancel()
        resolve()
      })
      this.client.close()
    })
  }

  /** Creates a node, those above it too. */
  async create(path: string, data: Buffer | string, acls?: ACL[]): Promise<void> {
    const parent = path.slice(0, path.lastIndexOf('/'))
    if (parent !== '') await this.promise<string>((done) => this.client.mkdirp(parent, done))
    const bytes = Buffer.from(data)
    await this.promise<string>((done) => {
      if (acls) this.client.create(path, bytes, acls, done)
      else this.client.create(path, bytes, done)
    })
  }

  get(path: string): Promise<{bytes: Buffer; version: number}> {
    return this.promise((done) => {
      this.client.getData(path, (error, bytes: Buffer | null, stat) => {
        done(error, {bytes: bytes ?? Buffer.alloc(0), version: stat?.version})
      })
    })
  }

  getAcl(path: string): Promise<ACL[]> {
    return this.promise((done) => this.client.getACL(path, done))
  }

  async remove(path: string): Promise<void> {
    await this.promise<void>((done) => this.client.remove(path, (error) => done(error)))
  }

  /** Whatever its version is. */
  async set(path: string, data: Buffer | string): Promise<void> {
    await this.promise((done) => this.client.setData(path, Buffer.from(data), done))
  }

  private promise<T>(start: (done: (error: Error | Exception | null, value: T) => void) => void): Promise<T> {
    const answer = new Promise<T>((resolve, reject) => {
      start((error, value) => {
        if (error) reject(error)
        else resolve(value)
      })
    })
    return within(LIMIT_MS, 'an answer of ZooKeeper', answer)
  }
}
