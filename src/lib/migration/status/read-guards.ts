import {MigratorError} from '../../errors.js'
import {diskFiles} from '../../files.js'
import type {LockNote} from '../../metaproxy/shared-lock.js'
import {GuardChannel} from '../guard/channel.js'
import {readHold} from '../hold-notes.js'
import {type LockPlace, readLock} from '../lock.js'
import type {GuardFacts, JournalFacts, LockFacts} from './facts.js'
import type {StatusWorld} from './query.js'

/** The guard of the journal's last run, as it tells of itself; undefined when that run had none. */
export async function readGuard(
  world: StatusWorld,
  table: string,
  journal: JournalFacts,
): Promise<GuardFacts | undefined> {
  const channel = new GuardChannel(world.journalDirectory, table, journal.targetCluster, world.files ?? diskFiles)
  const status = await channel.readStatus()
  if (!status && journal.guardDid) {
    const {atMs, ...did} = journal.guardDid
    return {...did, alive: false, sinceMs: atMs}
  }

  if (!status || status.sinceMs < journal.startedAtMs) return undefined
  return {...status, alive: (world.isAlive ?? isAlive)(status.pid)}
}

/** Whether the journal's run waits, as it tells on this machine. */
export function readHoldFacts(world: StatusWorld, table: string, {targetCluster}: JournalFacts, nowMs: number) {
  const {files, journalDirectory: directory, processes} = world
  return readHold(
    {directory, ...(files ? {files} : {}), ...(processes ? {processes} : {}), table, targetCluster},
    nowMs,
  )
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives, and is somebody else's.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

const holderText = ({command, host, pid}: LockNote) => `process ${pid} on ${host} (${command})`

/** The lock on this machine and, where its place is known, in ZooKeeper. @throws MigratorError `lock.unread` */
export async function readLockFacts(place: LockPlace, signal: AbortSignal): Promise<LockFacts> {
  const {here, shared, trouble} = await readLock(place, signal)
  const scope = place.metaproxy ? 'everywhere' : 'machine'
  const holder = shared ?? (here?.dead ? undefined : here)
  if (holder) return {held: true, holder: holderText(holder), scope, sinceMs: holder.sinceMs}
  if (trouble !== undefined) throw new MigratorError('lock.unread', trouble)
  return {held: false, scope}
}
