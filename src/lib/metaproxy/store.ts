import type {NodeData} from './node-data.js'

/** A table's metaproxy node as it was read. */
export interface NodeRecord {
  /** As found; for putting back verbatim. */
  bytes: Buffer
  data: NodeData
  path: string
  /** ZooKeeper's version of the data, what `compareAndSet` compares with. */
  version: number
}

/** Another node whose version must hold for a write to happen, e.g. a lock. */
export interface VersionCheck {
  path: string
  version: number
}

/** Where metaproxy reads the cluster of each table. An interface, so that simulations can put a model behind it. */
export interface MetaproxyStore {
  /** Ends every session. Never takes longer than 1 s; leaves neither socket nor timer behind. */
  close(): Promise<void>

  /**
   * Sets the node's data if its version is still `expectedVersion` and every check holds, as one ZooKeeper transaction.
   * The node's ACL stays as it is. A reply that was lost is settled by reading back and, where the node is unchanged,
   * asking once more: a version matches at most once, so that asking twice cannot write twice.
   *
   * After `zk.outcome_unknown` or an abort the write may still happen. To be sure that it never will, set the
   * old bytes with the same version: when that succeeds the lost write is void, when it conflicts with the new bytes found
   * it has happened.
   * @param bytes refused with `metaproxy.bad_node` unless metaproxy can use them; nothing is sent then
   * @param checks also checked, in the same transaction
   * @throws MigratorError
   *   `zk.version_conflict` facts {path, expectedVersion, foundVersion, found}: somebody else wrote;
   *   `zk.check_failed` facts {path, expectedVersion, foundVersion}: a check did not hold, nothing was written;
   *   `zk.no_node`, `zk.auth_failed`, `zk.unreachable`, `zk.timeout`: nothing was written;
   *   `zk.outcome_unknown`: sent, and neither reply nor read-back could be had in time (retrySafe: true);
   *   the signal's reason once it is aborted
   */
  compareAndSet(
    table: string,
    bytes: Buffer,
    expectedVersion: number,
    signal?: AbortSignal,
    checks?: readonly VersionCheck[],
  ): Promise<{version: number}>

  /**
   * Whether one session stays open between operations from the next one on, and is replaced when it is lost, so that none has to be
   * opened while writes are denied. Until then, and after `close`, each operation has its own.
   */
  keepSession(wanted: boolean): void

  /**
   * The table's node.
   * @throws MigratorError `zk.no_node`, `metaproxy.bad_node`, `zk.unreachable` (nothing answers, with the reason),
   *   `zk.auth_failed`, `zk.timeout` (connected, no answer in time); the signal's reason once it is aborted
   */
  read(table: string, signal?: AbortSignal): Promise<NodeRecord>
}
