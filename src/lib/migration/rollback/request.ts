/** What was asked for: everything that the flags of `table:migrate-rollback` say. What is absent is looked for. */
export interface RollbackRequest {
  /** Takes back a write-deny or a duplication that no journal of this machine knows. */
  adopt: boolean
  /** A return that loses what was written to the target since the switch. Asked for once more by the table's name. */
  allowDataLoss: boolean
  /** On a table under load, writes may be denied for a short time so that the duplication can be removed safely. */
  briefDeny: boolean
  /** The copy is gone for good: the duplication is removed although what is left can never be shipped. */
  copyIsGone?: boolean
  /** Drops the target's copy. Asked for once more by the table's name. */
  dropTarget: boolean
  /** How long to insist on each step that allows writes again. */
  limitMs: number
  /** Bound of the write-deny that this rollback itself makes: `briefDeny`, or a return. */
  maxWriteDenyMs: number
  sourceMetas: string[]
  table: string
  targetCluster?: string
  targetMetas?: string[]
  /** `digest:user:password`; never printed. */
  zooKeeperAuth?: string
  /** ZooKeeper of metaproxy; absent: the journal's, else the source's own. */
  zooKeeperHosts?: string
  /** Absent: the journal's. */
  zooKeeperRoot?: string
}

export const rollbackDefaults = {limitMs: 15 * 60_000, maxWriteDenyMs: 120_000} as const
