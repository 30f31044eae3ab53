import type {MigrationWorld} from '../index.js'
import type {LockPlace} from '../lock.js'
import type {LockFacts} from './facts.js'

/** What `readStatus` is asked. */
export interface StatusQuery {
  proxies: string[]
  sourceMetas: string[]
  /** Absent: every table with a journal here, a duplication or a deny. */
  table?: string
  targetCluster?: string
  targetMetas?: string[]
  /** `digest:user:password`; never printed. */
  zooKeeperAuth?: string
  /** ZooKeeper of metaproxy; absent: the journal's, else the source's own. */
  zooKeeperHosts?: string
  /** Absent: the journal's. */
  zooKeeperRoot?: string
}

/** What reading needs of the world; nothing of it changes anything. */
export interface StatusWorld extends Omit<MigrationWorld, 'startGuard'> {
  /** Whether a process of this machine lives; default: the system is asked. */
  isAlive?(pid: number): boolean
  /** Who holds a table's lock; default: this machine's file and ZooKeeper are asked. */
  readLock?(place: LockPlace, signal: AbortSignal): Promise<LockFacts>
}
