import type {Clock} from '../../clock.js'
import type {Files} from '../../files.js'
import type {SharedLocks} from '../../metaproxy/shared-lock.js'
import type {MetaproxyStore} from '../../metaproxy/store.js'
import {PegasusClient} from '../../pegasus/client.js'
import type {Processes} from '../../processes.js'
import type {Transport} from '../../rpc/transport.js'
import type {Effects} from '../effects.js'
import {Journal} from '../journal.js'
import {locksOf} from '../lock.js'
import type {MetaproxyLocation} from '../request.js'
import {GuardChannel} from './channel.js'
import {guardContext} from './context.js'
import {guardCutover, type GuardEnd} from './guard.js'
import {DriversLock} from './other-holder.js'
import type {GuardPlan} from './plan.js'

/** What a guard needs of the world. */
export interface GuardWorld {
  clock: Clock
  /** Default: the machine's disk. */
  files?: Files
  /** Default: ZooKeeper itself. */
  openLocks?(location: MetaproxyLocation, clock: Clock): SharedLocks
  openStore(location: MetaproxyLocation, clock: Clock): MetaproxyStore
  pid: number
  processes: Pick<Processes, 'isDead'>
  random: () => number
  transport: Transport
  /** Wraps what carries effects out; for simulations, which make them fail. */
  wrapEffects?(live: Effects): Effects
}

/** Watches over the cutover of `plan` until it is over; connections, journal and effects of its own. */
export async function runGuard(plan: GuardPlan, world: GuardWorld, signal: AbortSignal): Promise<GuardEnd> {
  const {journalDirectory, request} = plan
  const {clock, files, openLocks, openStore, pid, processes, random, transport, wrapEffects} = world
  const client = new PegasusClient({clock, random, transport})
  const store = request.metaproxy && openStore(request.metaproxy, clock)
  const lock = new DriversLock({
    clock,
    locks: locksOf({
      clock,
      ...(request.metaproxy ? {metaproxy: request.metaproxy} : {}),
      ...(openLocks ? {openLocks} : {}),
    }),
    table: request.table,
    token: plan.lockToken,
  })
  const channel = new GuardChannel(journalDirectory, request.table, request.targetCluster, files)
  const journal = await Journal.open(
    journalDirectory,
    request.table,
    request.targetCluster,
    clock,
    `guard-${pid}`,
    files,
  )
  try {
    const context = guardContext(plan, {
      client,
      emit() {},
      journal,
      lock,
      signal,
      store,
      ...(wrapEffects ? {wrapEffects} : {}),
    })
    return await guardCutover({
      channel,
      clock,
      context,
      isDriverDead: () => processes.isDead(plan.driver),
      lock,
      pid,
      signal,
    })
  } finally {
    await Promise.all([client.close(), store?.close(), journal.close()])
  }
}
