import {MigratorError} from '../../src/lib/errors.js'
import {parseNodeData} from '../../src/lib/metaproxy/node-data.js'
import type {MetaproxyStore, NodeRecord, VersionCheck} from '../../src/lib/metaproxy/store.js'
import type {WatchedNodes} from './metaproxy-nodes.js'
import {Watches} from './watches.js'

interface Node {
  bytes: Buffer
  version: number
}

/** A model of the part of ZooKeeper that a migration uses, for simulations on a virtual clock. */
export class MemoryNodes implements MetaproxyStore {
  private readonly nodes = new Map<string, Node>()
  private readonly watches = new Watches((path) => this.nodes.get(path)?.bytes)

  constructor(private readonly root: string) {}

  /** Nothing to end: it lives as long as it is used. */
  close(): Promise<void> {
    return Promise.resolve()
  }

  async compareAndSet(
    table: string,
    bytes: Buffer,
    expectedVersion: number,
    signal?: AbortSignal,
    checks: readonly VersionCheck[] = [],
  ): Promise<{version: number}> {
    signal?.throwIfAborted()
    const path = this.pathOf(table)
    parseNodeData(bytes, path)
    const node = this.find(path)
    if (node.version !== expectedVersion) {
      const facts = {expectedVersion, found: node.bytes.toString(), foundVersion: node.version, path}
      throw new MigratorError('zk.version_conflict', `${path} was changed by somebody else`, {facts})
    }

    for (const check of checks) {
      const foundVersion = this.nodes.get(check.path)?.version
      if (foundVersion === check.version) continue
      const facts = {expectedVersion: check.version, foundVersion, path: check.path}
      throw new MigratorError('zk.check_failed', `${check.path} does not have version ${check.version}`, {facts})
    }

    this.put(path, bytes)
    return {version: expectedVersion + 1}
  }

  /** There are no sessions here. */
  keepSession(): void {}

  /** Creates a node, or sets it whatever its version is. */
  put(path: string, data: Buffer | string): void {
    const version = (this.nodes.get(path)?.version ?? -1) + 1
    this.nodes.set(path, {bytes: Buffer.from(data), version})
    if (version > 0) this.watches.tell(path, 'changed')
  }

  async read(table: string, signal?: AbortSignal): Promise<NodeRecord> {
    signal?.throwIfAborted()
    const path = this.pathOf(table)
    const {bytes, version} = this.find(path)
    return {bytes, data: parseNodeData(bytes, path), path, version}
  }

  remove(path: string): void {
    if (this.nodes.delete(path)) this.watches.tell(path, 'deleted')
  }

  /** One proxy's view, with watches of its own. */
  watched(): WatchedNodes {
    return this.watches.view()
  }

  private find(path: string): Node {
    const node = this.nodes.get(path)
    if (!node) throw new MigratorError('zk.no_node', `there is no node ${path}`, {facts: {path}})
    return node
  }

  private pathOf(table: string): string {
    return `${this.root}/${table}`
  }
}
