import type {Clock, Deadline} from '../clock.js'
import {isMigratorError, MigratorError} from '../errors.js'
import {excerpt} from '../rpc/rpc-errors.js'
import {parseNodeData} from './node-data.js'
import type {MetaproxyStore, NodeRecord, VersionCheck} from './store.js'
import {ZooKeeperAccess} from './zookeeper-access.js'
import {normalizePath, type ZooKeeperAuth} from './zookeeper-options.js'
import type {OpenSession, TransactionPart, VersionedBytes} from './zookeeper-session.js'

export interface ZooKeeperStoreOptions {
  auth?: ZooKeeperAuth
  clock: Clock
  /** `host:port,host:port`, optionally with a chroot (`/...`) at the end. */
  hosts: string
  /** Default: with ZooKeeper itself. */
  openSession?: OpenSession
  /** Limit of `read`; `compareAndSet` may take twice that, because of the read-back. Default 10 s. */
  operationTimeoutMs?: number
  /** Path above the tables' nodes, e.g. `/pegasus-metaproxy`. */
  root: string
}

/** One write as it was asked for. */
interface Intent {
  bytes: Buffer
  expectedVersion: number
  /** Of the table's node. */
  path: string
  /** The checks, then the table's node. */
  parts: TransactionPart[]
}

/** The nodes in a real ZooKeeper. */
export class ZooKeeperStore implements MetaproxyStore {
  private readonly access: ZooKeeperAccess
  private readonly operationTimeoutMs: number
  private readonly root: string

  /** @throws MigratorError `zk.bad_option` for hosts or a root that cannot be used */
  constructor({auth, clock, hosts, openSession, operationTimeoutMs = 10_000, root}: ZooKeeperStoreOptions) {
    this.access = new ZooKeeperAccess({auth, clock, hosts, operationTimeoutMs, ...(openSession ? {openSession} : {})})
    this.operationTimeoutMs = operationTimeoutMs
    this.root = normalizePath(root)
  }

  close(): Promise<void> {
    return this.access.close()
  }

  async compareAndSet(
    table: string,
    bytes: Buffer,
    expectedVersion: number,
    signal?: AbortSignal,
    checks: readonly VersionCheck[] = [],
  ): Promise<{version: number}> {
    const path = this.pathOf(table)
    parseNodeData(bytes, path)
    const parts = [
      ...checks.map((check) => ({path: normalizePath(check.path), version: check.version})),
      {data: bytes, path, version: expectedVersion},
    ]
    for (const {version} of parts) {
      // ZooKeeper takes -1 for "any version".
      if (!Number.isInteger(version) || version < 0) throw new RangeError(`not a version: ${version}`)
    }

    const limit = this.access.limit(2 * this.operationTimeoutMs, signal)
    try {
      return await this.write({bytes, expectedVersion, parts, path}, limit)
    } finally {
      limit.dispose()
    }
  }

  keepSession(wanted: boolean): void {
    this.access.keep(wanted)
  }

  async read(table: string, signal?: AbortSignal): Promise<NodeRecord> {
    const path = this.pathOf(table)
    const limit = this.access.limit(this.operationTimeoutMs, signal)
    try {
      const {bytes, version} = await this.access.getData(path, limit)
      return {bytes, data: parseNodeData(bytes, path), path, version}
    } finally {
      limit.dispose()
    }
  }

  private pathOf(table: string): string {
    return normalizePath(`${this.root}/${table}`)
  }

  /** What a refused transaction ran into. */
  private async refused(intent: Intent, refusal: MigratorError, limit: Deadline): Promise<MigratorError> {
    const part = intent.parts.find(({path}) => this.access.fullPath(path) === refusal.facts.path)
    if (part === undefined || part.data !== undefined) return refusal
    let foundVersion: number | undefined
    if (isMigratorError(refusal, 'zk.bad_version')) foundVersion = (await this.access.getData(part.path, limit)).version
    const found = foundVersion === undefined ? 'is gone' : `has version ${foundVersion}`
    return new MigratorError('zk.check_failed', `${part.path} ${found}, not ${part.version}; nothing was written`, {
      cause: refusal,
      facts: {expectedVersion: part.version, foundVersion, path: part.path},
    })
  }

  private async write(intent: Intent, limit: Deadline): Promise<{version: number}> {
    let lost: MigratorError | undefined
    try {
      for (;;) {
        const outcome = await this.access.commit(intent.parts, limit)
        if (outcome.kind === 'done') return {version: intent.expectedVersion + 1}
        if (outcome.kind === 'refused' && !isMigratorError(outcome.error, 'zk.bad_version', 'zk.no_node'))
          throw outcome.error
        if (outcome.kind === 'lost') lost = outcome.error
        const found = await this.access.getData(intent.path, limit)
        if (found.version !== intent.expectedVersion) return settle(intent, found, lost)
        if (outcome.kind === 'refused') throw await this.refused(intent, outcome.error, limit)
      }
    } catch (error) {
      if (lost && isMigratorError(error, 'zk.unreachable', 'zk.timeout', 'zk.connection_lost'))
        throw outcomeUnknown(intent, lost)
      throw error
    }
  }
}

/** Tells our own write from somebody else's. */
function settle(intent: Intent, found: VersionedBytes, lost: MigratorError | undefined): {version: number} {
  const {bytes, expectedVersion, path} = intent
  if (lost && found.version === expectedVersion + 1 && found.bytes.equals(bytes)) return {version: found.version}
  const text = excerpt(found.bytes.toString('utf8'))
  throw new MigratorError(
    'zk.version_conflict',
    `${path} was changed by somebody else: version ${found.version}, not ${expectedVersion}; it holds ${text}`,
    {
      cause: lost,
      facts: {expectedVersion, found: text, foundVersion: found.version, path},
    },
  )
}

function outcomeUnknown({expectedVersion, path}: Intent, lost: MigratorError): MigratorError {
  return new MigratorError(
    'zk.outcome_unknown',
    `${path} was to be set at version ${expectedVersion}; ZooKeeper has not answered, and could not be asked what became of it (${lost.message})`,
    {
      cause: lost,
      facts: {expectedVersion, path},
      next: 'run the same command again once ZooKeeper answers: it reads the node first',
      retrySafe: true,
    },
  )
}
