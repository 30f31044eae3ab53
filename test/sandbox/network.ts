import {createServer, type Server, type Socket} from 'node:net'
import type {Duplex} from 'node:stream'

import {splitAddress, tcpTransport, type Transport} from '../../src/lib/rpc/transport.js'
import {memoryStreamPair} from './memory-transport.js'

export type Accept = (stream: Duplex) => void

/** A listening socket that can be closed and opened again at the same address, as a killed process is restarted. */
export interface Listener {
  readonly address: string
  /** Refuses new connections and cuts the open ones. */
  close(): Promise<void>
  open(): Promise<void>
}

/** What the servers of a sandbox listen on, and how anything reaches them. */
export interface SandboxNetwork {
  listen(accept: Accept): Promise<Listener>
  readonly transport: Transport
}

class TcpListener implements Listener {
  address = ''
  private readonly sockets = new Set<Socket>()
  private server: Server | undefined

  constructor(private readonly accept: Accept) {}

  async open(): Promise<void> {
    if (this.server) return
    const server = createServer({noDelay: true}, (socket) => {
      this.sockets.add(socket)
      socket.on('close', () => this.sockets.delete(socket))
      this.accept(socket)
    })
    const port = this.address === '' ? 0 : splitAddress(this.address).port
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
    this.server = server
    const bound = server.address()
    if (bound === null || typeof bound === 'string') throw new TypeError('not a TCP listener')
    this.address = `127.0.0.1:${bound.port}`
  }

  async close(): Promise<void> {
    const server = this.server
    this.server = undefined
    if (!server) return
    for (const socket of this.sockets) socket.destroy()
    await new Promise<void>((resolve) => {
      server.close(() => resolve())
    })
  }
}

/** Real sockets on loopback, ports chosen by the system. */
export function tcpNetwork(): SandboxNetwork {
  return {
    async listen(accept) {
      const listener = new TcpListener(accept)
      await listener.open()
      return listener
    },
    transport: tcpTransport,
  }
}

/** Servers within this process that listen, by address. */
export type OpenServers = Map<string, {accept: Accept; streams: Set<Duplex>}>

/** Opens a server there, which can be closed and opened again. */
export async function listenIn(open: OpenServers, address: string, accept: Accept): Promise<Listener> {
  const streams = new Set<Duplex>()
  const listener: Listener = {
    address,
    async close() {
      open.delete(address)
      for (const stream of streams) stream.destroy()
      streams.clear()
    },
    async open() {
      open.set(address, {accept, streams})
    },
  }
  await listener.open()
  return listener
}

/** Streams within this process: no sockets, no ports, nothing that depends on the machine. */
export function memoryNetwork(firstPort = 34_601): SandboxNetwork {
  const open: OpenServers = new Map()
  let nextPort = firstPort
  return {
    listen: (accept) => listenIn(open, `127.0.0.1:${nextPort++}`, accept),
    transport: {
      async connect(address, signal) {
        signal.throwIfAborted()
        const name = address.replace(/^localhost:/, '127.0.0.1:')
        const server = open.get(name)
        if (!server) throw new Error(`ECONNREFUSED ${address}`)
        const [near, far] = memoryStreamPair()
        // The far end belongs to the server: errors there are its own affair, as on a real machine.
        far.on('error', () => far.destroy())
        far.on('close', () => server.streams.delete(far))
        server.streams.add(far)
        server.accept(far)
        return near
      },
    },
  }
}
