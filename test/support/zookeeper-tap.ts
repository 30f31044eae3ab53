import {once} from 'node:events'
import {type AddressInfo, connect, createServer, type Server, type Socket} from 'node:net'

import {splitAddress} from '../../src/lib/rpc/transport.js'

/** ZooKeeper's operation codes of the requests that tests meddle with. */
export const Operation = {getData: 4, multi: 14} as const

/**
 * What happens to a request: `pass`; `cut` the connection instead; `lose-reply`: pass it, and cut when its reply comes;
 * `hold` it, and everything after it on this connection.
 */
export type Verdict = 'cut' | 'hold' | 'lose-reply' | 'pass'

/** The session of a connection, as the server granted it. */
export interface SessionIdentity {
  id: Buffer
  password: Buffer
}

class Frames {
  private bytes = Buffer.alloc(0)

  /** The complete frames so far, length prefix included. */
  push(chunk: Buffer): Buffer[] {
    this.bytes = Buffer.concat([this.bytes, chunk])
    const frames: Buffer[] = []
    while (this.bytes.length >= 4 && this.bytes.length >= 4 + this.bytes.readInt32BE(0)) {
      const end = 4 + this.bytes.readInt32BE(0)
      frames.push(this.bytes.subarray(0, end))
      this.bytes = this.bytes.subarray(end)
    }

    return frames
  }
}

/** Stands between a ZooKeeper client and its server and decides about every request. */
export class ZooKeeperTap {
  /** How many requests of each operation have been seen. */
  readonly seen = new Map<number, number>()
  readonly sessions: SessionIdentity[] = []
  private readonly server: Server
  private shut = false
  private readonly sockets = new Set<Socket>()

  private constructor(
    private readonly target: string,
    private readonly decide: (operation: number, nth: number) => Verdict,
  ) {
    this.server = createServer((socket) => this.accept(socket))
  }

  static async start(target: string, decide: (operation: number, nth: number) => Verdict): Promise<ZooKeeperTap> {
    const tap = new ZooKeeperTap(target, decide)
    tap.server.listen(0, '127.0.0.1')
    await once(tap.server, 'listening')
    return tap
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  /** Connections that are open now. */
  get openConnections(): number {
    return this.sockets.size / 2
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    this.server.close()
    await once(this.server, 'close')
  }

  /**
   * Ends a session for good, as its expiry does: joins it from another connection and closes it. Nobody comes in meanwhile: who joined it
   * again right before its end would keep a connection on which ZooKeeper answers nothing any more.
   */
  async endSession(session = this.sessions[0]!): Promise<void> {
    this.shut = true
    try {
      await endSession(this.target, session)
    } finally {
      this.shut = false
    }
  }

  private accept(client: Socket): void {
    if (this.shut) {
      client.destroy()
      return
    }

    const server = connect(splitAddress(this.target))
    const cut = () => {
      client.destroy()
      server.destroy()
    }

    for (const socket of [client, server]) {
      this.sockets.add(socket)
      socket.on('close', () => {
        this.sockets.delete(socket)
        cut()
      })
      socket.on('error', cut)
    }

    const [fromClient, fromServer] = [new Frames(), new Frames()]
    let greeted = false
    let granted = false
    let holding = false
    let losing: number | undefined
    client.on('data', (chunk) => {
      for (const frame of fromClient.push(chunk)) {
        if (!greeted) {
          greeted = true
          server.write(frame)
          continue
        }

        const operation = frame.readInt32BE(8)
        const nth = (this.seen.get(operation) ?? 0) + 1
        this.seen.set(operation, nth)
        const verdict = holding ? 'hold' : this.decide(operation, nth)
        holding = verdict === 'hold'
        if (verdict === 'lose-reply') losing = frame.readInt32BE(4)
        if (verdict === 'cut') cut()
        else if (!holding) server.write(frame)
      }
    })
    server.on('data', (chunk) => {
      for (const frame of fromServer.push(chunk)) {
        if (!granted) {
          granted = true
          // length, protocol version, time-out, id, length of the password, password
          this.sessions.push({id: Buffer.from(frame.subarray(12, 20)), password: Buffer.from(frame.subarray(24, 40))})
        } else if (losing !== undefined && frame.readInt32BE(4) === losing) {
          cut()
          return
        }

        client.write(frame)
      }
    })
  }
}

async function endSession(zookeeper: string, {id, password}: SessionIdentity): Promise<void> {
  const socket = connect(splitAddress(zookeeper))
  await once(socket, 'connect')
  const hello = Buffer.alloc(4 + 44)
  hello.writeInt32BE(44, 0)
  hello.writeInt32BE(10_000, 16)
  id.copy(hello, 20)
  hello.writeInt32BE(16, 28)
  password.copy(hello, 32)
  socket.write(hello)
  await once(socket, 'data')
  const goodbye = Buffer.alloc(4 + 8)
  goodbye.writeInt32BE(8, 0)
  goodbye.writeInt32BE(1, 4)
  goodbye.writeInt32BE(-11, 8)
  socket.write(goodbye)
  await once(socket, 'close')
}
