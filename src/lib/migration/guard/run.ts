import type {Clock} from '../../clock.js'
import type {Files} from '../../files.js'
import type {MetaproxyStore} from '../../metaproxy/store.js'
import {PegasusClient} from '../../pegasus/client.js'
import type {Transport} from '../../rpc/transport.js'
import type {Effects} from '../effects.js'
import {Journal} from '../journal.js'
import type {MetaproxyLocation} from '../request.js'
import {GuardChannel} from './channel.js'
import {guardContext} from './context.js'
import {guardCutover, type GuardEnd} from './guard.js'
import type {GuardPlan} from './plan.js'

/** What a guard needs of the world. */
export interface GuardWorld {
  clock: Clock
  /** Default: the machine's disk. */
  files?: Files
  openStore(location: MetaproxyLocation, clock: Clock): MetaproxyStore
  pid: number
  random: () => number
  transport: Transport
  /** Wraps what carries effects out; for simulations, which make them fail. */
  wrapEffects?(live: Effects): Effects
}

/** Watches over the cutover of `plan` until it is over; connections, journal and effects of its own. */
export async function runGuard(plan: GuardPlan, world: GuardWorld, signal: AbortSignal): Promise<GuardEnd> {
  const {journalDirectory, request} = plan
  const {clock, files, openStore, pid, random, transport, wrapEffects} = world
  const client = new PegasusClient({clock, random, transport})
  const store = request.metaproxy && openStore(request.metaproxy, clock)
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
      signal,
      store,
      ...(wrapEffects ? {wrapEffects} : {}),
    })
    return await guardCutover({channel, clock, context, pid, signal})
  } finally {
    await Promise.all([client.close(), store?.close(), journal.close()])
  }
}
