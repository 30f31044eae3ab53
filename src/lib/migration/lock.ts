import {type Clock, deadline} from '../clock.js'
import {isMigratorError, messageOf, MigratorError} from '../errors.js'
import type {LockNote, SharedLock, SharedLocks} from '../metaproxy/shared-lock.js'
import type {VersionCheck} from '../metaproxy/store.js'
import {machineProcesses} from '../processes.js'
import {ZooKeeperLocks} from '../metaproxy/zookeeper-lock.js'
import {parseZooKeeperAuth} from '../metaproxy/zookeeper-options.js'
import type {UnstampedEvent} from './events.js'
import {LockFile, type LockMachine, lockPath, ownNote, readLockFile} from './lock-file.js'
import type {MetaproxyLocation} from './request.js'
import {mayPass} from './wait.js'

/** At most one migration of a table acts at a time (I6). Held from the first effect on. */
export interface MigrationLock {
  /** Before each effect. @throws MigratorError `lock.lost`, for good once it was lost; `zk.*` while nobody can tell */
  check(signal: AbortSignal): Promise<void>
  /**
   * Before each effect that makes things safe: takes a lost lock again, unless somebody else has it by now, whose
   * business the table is then. Where ZooKeeper does not tell in time it lets the effect happen: a deny must not last
   * because ZooKeeper is away, or the disk is full. @throws MigratorError `lock.held`
   */
  regain(signal: AbortSignal): Promise<void>
  /** Gives everything back; bounded, never throws. */
  release(): Promise<void>
  /** Unique to this run: the guard acts in its driver's name by it. Undefined while nothing is held. */
  readonly token: string | undefined
  /** For the switch's transaction; undefined where only this machine sees the lock. */
  versionCheck(): undefined | VersionCheck
}

export interface LockPlace extends LockMachine {
  clock: Clock
  /** Directory of the journals. */
  directory: string
  metaproxy?: MetaproxyLocation
  /** Default: ZooKeeper itself. */
  openLocks?(location: MetaproxyLocation, clock: Clock): SharedLocks
  /** Name of the cluster that the table is moved from. */
  sourceCluster: string
  table: string
}

export interface LockRequest extends LockPlace {
  /** The command line, for whoever meets the lock. */
  command: string
  emit(event: UnstampedEvent): void
  /** How long to wait for a holder on another machine that may just have died: its ZooKeeper session must end. Default 12 s. */
  waitMs?: number
}

const WAIT_MS = 12_000
const REGAIN_LIMIT_MS = 2000

/** What ZooKeeper answers where no lock can be made, but the migration may go on without. */
const withoutShared: Record<string, string> = {
  'zk.auth_failed': 'the ACL of its node forbids it',
  'zk.no_node': 'it has no node there',
}

/**
 * Takes the lock of a table: a file on this machine, and, where a root is given, an ephemeral child of the table's ZooKeeper node.
 * @throws MigratorError `lock.held`, `lock.unusable`, `zk.*`
 */
export async function acquireLock(request: LockRequest, signal: AbortSignal): Promise<MigrationLock> {
  const {clock, command, directory, emit, sourceCluster, table} = request
  const note = await ownNote(command, clock, request.processes)
  const file = await LockFile.take(lockPath(directory, table, sourceCluster), table, note, clock, request)
  try {
    return new BothLocks(file, await acquireShared(request, note, signal), emit, clock, note.token)
  } catch (error) {
    await giveBack(file, emit)
    throw error
  }
}

/** Never keeps anybody from hearing what went before. */
async function giveBack(part: Pick<SharedLock, 'release'>, emit: LockRequest['emit']): Promise<void> {
  try {
    await part.release()
  } catch (error) {
    emit({code: 'lock.left', message: `the lock could not be given back: ${messageOf(error)}`, type: 'warning'})
  }
}

async function acquireShared(
  request: LockRequest,
  note: LockNote,
  signal: AbortSignal,
): Promise<SharedLock | undefined> {
  const {emit, processes = machineProcesses, table} = request
  const locks = locksOf(request)
  if (!locks) return undefined
  let told = false
  try {
    return await locks.acquire({
      isDead: (holder) => processes.isDead(holder),
      note,
      onWait({command, host, pid}) {
        if (told) return
        told = true
        emit({
          code: 'lock.waiting',
          message: `${table} is locked by process ${pid} on ${host} (${command}); waiting, in case it has just died`,
          type: 'warning',
        })
      },
      signal,
      table,
      waitMs: request.waitMs ?? WAIT_MS,
    })
  } catch (error) {
    const why = isMigratorError(error) ? withoutShared[error.code] : undefined
    if (why === undefined) throw error
    emit({
      code: 'lock.local_only',
      message: `no lock of ${table} could be made in ZooKeeper (${why}): only this machine knows that the table is being worked on. See that nobody works on it elsewhere`,
      type: 'warning',
    })
    return undefined
  }
}

export function locksOf({
  clock,
  metaproxy,
  openLocks,
}: Pick<LockPlace, 'clock' | 'metaproxy' | 'openLocks'>): SharedLocks | undefined {
  if (!metaproxy) return undefined
  if (openLocks) return openLocks(metaproxy, clock)
  const {auth, hosts, root} = metaproxy
  return new ZooKeeperLocks({...(auth === undefined ? {} : {auth: parseZooKeeperAuth(auth)}), clock, hosts, root})
}

/** Who holds a table's lock, for status. */
export interface LockView {
  /** On this machine; `dead`: its process is gone, and the next run takes the lock over. */
  here?: LockNote & {dead: boolean}
  /** In ZooKeeper. */
  shared?: LockNote
  /** Why one of them could not be read. */
  trouble?: string
}

/** Reads who holds a table's lock since when; takes nothing. @throws the signal's reason */
export async function readLock(place: LockPlace, signal: AbortSignal): Promise<LockView> {
  const view: LockView = {}
  const [here, shared] = await Promise.allSettled([
    readLockFile(lockPath(place.directory, place.table, place.sourceCluster), place),
    (async () => locksOf(place)?.holder(place.table, signal))(),
  ])
  signal.throwIfAborted()
  if (here.status === 'fulfilled') {
    if (here.value) view.here = {...here.value.holder, dead: here.value.dead}
  } else view.trouble = messageOf(here.reason)

  if (shared.status === 'fulfilled') {
    if (shared.value) view.shared = shared.value
  } else if (!isMigratorError(shared.reason, 'zk.no_node')) view.trouble ??= messageOf(shared.reason)

  return view
}

class BothLocks implements MigrationLock {
  constructor(
    private readonly file: LockFile,
    private readonly shared: SharedLock | undefined,
    private readonly emit: (event: UnstampedEvent) => void,
    private readonly clock: Clock,
    readonly token: string,
  ) {}

  async check(signal: AbortSignal): Promise<void> {
    await this.file.check()
    await this.shared?.check(signal)
  }

  async regain(signal: AbortSignal): Promise<void> {
    try {
      await this.file.regain()
    } catch (error) {
      // A disk that is full must not keep a deny in place.
      if (!isMigratorError(error, 'lock.unusable')) throw error
      this.tellUnknown(error)
    }

    const reason = () => new MigratorError('zk.timeout', `no answer about the lock within ${REGAIN_LIMIT_MS} ms`)
    const limit = deadline(this.clock, REGAIN_LIMIT_MS, reason, signal)
    try {
      await this.shared?.regain(limit.signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!mayPass(error)) throw error
      this.tellUnknown(error)
    } finally {
      limit.dispose()
    }
  }

  async release(): Promise<void> {
    for (const part of [this.shared, this.file]) if (part) await giveBack(part, this.emit)
  }

  private tellUnknown({message}: MigratorError): void {
    const text = `whether the lock is still ours cannot be told: ${message}`
    this.emit({code: 'lock.unknown', message: text, type: 'warning'})
  }

  versionCheck(): undefined | VersionCheck {
    return this.shared?.versionCheck()
  }
}
