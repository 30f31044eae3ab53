import type {Clock, Timer} from '../../src/lib/clock.js'
import type {Answer} from '../../src/lib/metaproxy/zookeeper-errors.js'
import {translate} from '../../src/lib/metaproxy/zookeeper-errors.js'
import type {TransactionPart, VersionedBytes} from '../../src/lib/metaproxy/zookeeper-session.js'
import type {WatchedNodes} from '../sandbox/metaproxy-nodes.js'
import {Watches} from '../sandbox/watches.js'

interface Node {
  bytes: Buffer
  /** Session that it ends with. */
  owner?: string
  version: number
}

interface ServerSession {
  expiry?: Timer
  timeoutMs: number
}

/** A node's data was set. */
export interface NodeWrite {
  atMs: number
  bytes: Buffer
  /** Paths that were checked in the same transaction. */
  checked: string[]
  path: string
  /** Of the machine and process; undefined: by hand. */
  writer: string | undefined
}

const NO_NODE = -101
const BAD_VERSION = -103
const HOSTS = 'zookeeper:2181'

/**
 * The part of ZooKeeper that this project uses: nodes with versions, ephemeral numbered nodes, transactions, sessions that expire.
 * Held to a real one by test/integration/zookeeper-model.integration.test.ts.
 */
export class ZooKeeperModel {
  /** Accepts nobody and answers nobody. */
  down = false
  /** Told of every write, after it happened. */
  onWrite: ((write: NodeWrite) => void) | undefined
  private readonly nodes = new Map<string, Node>()
  private readonly numbers = new Map<string, number>()
  private readonly sessions = new Map<string, ServerSession>()
  private nextSession = 1
  private readonly watches = new Watches((path) => this.nodes.get(path)?.bytes)

  constructor(readonly clock: Clock) {}

  /* Sessions */

  begin(timeoutMs: number): string {
    const id = (this.nextSession++).toString(16).padStart(16, '0')
    this.sessions.set(id, {timeoutMs})
    return id
  }

  has(session: string): boolean {
    return this.sessions.has(session)
  }

  /** Nobody is heard of it any more: it ends after its timeout. */
  silent(id: string): void {
    const session = this.sessions.get(id)
    if (!session) return
    session.expiry?.cancel()
    session.expiry = this.clock.setTimer(session.timeoutMs, () => this.end(id))
  }

  /** Somebody is heard of it again. */
  heard(id: string): void {
    const session = this.sessions.get(id)
    session?.expiry?.cancel()
    if (session) session.expiry = undefined
  }

  /** Ends a session at once, and the nodes that live as long as it. */
  end(id: string): void {
    this.heard(id)
    this.sessions.delete(id)
    for (const [path, node] of this.nodes) if (node.owner === id) this.removeNode(path)
  }

  /** Those on which no node depends. */
  expireWithoutNodes(): void {
    const owners = new Set([...this.nodes.values()].map(({owner}) => owner))
    for (const id of this.sessions.keys()) if (!owners.has(id)) this.end(id)
  }

  get sessionCount(): number {
    return this.sessions.size
  }

  /** All of them, as after a long absence of the ensemble. */
  expireAll(): void {
    for (const id of this.sessions.keys()) this.end(id)
  }

  /* Operations; they throw what the store's callers know */

  children(path: string): string[] {
    this.find(path)
    return [...this.nodes.keys()]
      .filter((other) => other.startsWith(`${path}/`) && !other.slice(path.length + 1).includes('/'))
      .map((other) => other.slice(path.length + 1))
  }

  commit(parts: readonly TransactionPart[], writer?: string): void {
    for (const {path, version} of parts) {
      if (this.find(path).version !== version) throw refusal(BAD_VERSION, path)
    }

    const checked = parts.filter(({data}) => data === undefined).map(({path}) => path)
    for (const {data, path} of parts) if (data !== undefined) this.set(path, data, checked, writer)
  }

  createNumbered(prefix: string, data: Buffer, owner: string): string {
    const parent = prefix.slice(0, prefix.lastIndexOf('/'))
    if (!this.nodes.has(parent)) throw refusal(NO_NODE, prefix)
    const number = this.numbers.get(parent) ?? 0
    this.numbers.set(parent, number + 1)
    const path = `${prefix}${String(number).padStart(10, '0')}`
    this.nodes.set(path, {bytes: Buffer.from(data), owner, version: 0})
    return path
  }

  getData(path: string): VersionedBytes {
    const {bytes, version} = this.find(path)
    return {bytes, version}
  }

  /** Creates a node, or sets it whatever its version is, as somebody does by hand. */
  put(path: string, data: Buffer | string): void {
    if (this.nodes.has(path)) this.set(path, Buffer.from(data), [], undefined)
    else this.nodes.set(path, {bytes: Buffer.from(data), version: 0})
  }

  remove(path: string): void {
    this.find(path)
    this.removeNode(path)
  }

  /** One proxy's view, with watches of its own. */
  watched(): WatchedNodes {
    return this.watches.view()
  }

  private find(path: string): Node {
    const node = this.nodes.get(path)
    if (!node) throw refusal(NO_NODE, path)
    return node
  }

  private removeNode(path: string): void {
    if (this.nodes.delete(path)) this.watches.tell(path, 'deleted')
  }

  private set(path: string, bytes: Buffer, checked: string[], writer: string | undefined): void {
    const node = this.find(path)
    this.nodes.set(path, {...node, bytes: Buffer.from(bytes), version: node.version + 1})
    this.onWrite?.({atMs: this.clock.nowMs(), bytes, checked, path, writer})
    this.watches.tell(path, 'changed')
  }
}

function refusal(code: number, path: string): Error {
  const answer: Answer = Object.assign(new Error(`ZooKeeper error ${code}`), {code})
  return translate(answer, path, HOSTS)
}
