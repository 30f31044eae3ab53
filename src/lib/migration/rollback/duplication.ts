import {deadline, sleep} from '../../clock.js'
import {messageOf, MigratorError} from '../../errors.js'
import {plural} from '../../plural.js'
import {DuplicationStatus} from '../../rpc/structs/duplication.js'
import {waitUntilForgotten} from '../forget.js'
import {liftLimitMs, resume} from '../mend.js'
import {proveEverywhere} from '../proof/deny.js'
import {allowedEmptyWrites, grownFences, readFences} from '../proof/fence.js'
import {pendingMutations, readShipping} from '../proof/shipping.js'
import {mayPass, waitUntil} from '../wait.js'
import {type RollbackContext, type RunStep, StepSkipped} from './context.js'
import {whatHinders} from './copy.js'
import {takeOwnDenyBack} from './writes.js'

/** Servers forget at their next duplication sync, 10 s at most (measured.md §5). */
const FORGET_MS = 12_000
const FORGET_LIMIT_MS = 180_000
/** How long a table is watched before it counts as quiet. */
const QUIET_MS = 10_000
const POLL_MS = 500
/** After load the gap may stand still for up to 15 s before it moves (product.md, lesson 15). */
const DRAIN_MS = 20_000
/** On top of two group checks. */
const EMPTY_WRITE_MARGIN_MS = 2000
/** Readings in a row that must find nothing to ship. */
const READINGS = 3

/**
 * Removes the duplication where that is safe for the servers: while nothing ships yet, or when nothing is left to ship and
 * nobody writes (measured.md §14). Else writes are denied for a short time, when the operator allows it, or it is kept.
 */
export const removeDuplication: RunStep = async (context) => {
  const {plan, rollback, state, view} = context
  const {dupid, status} = view.entry!
  if (
    plan.kind === 'return' ||
    status === DuplicationStatus.DS_PREPARE ||
    status === DuplicationStatus.DS_APP ||
    status === DuplicationStatus.DS_INIT
  ) {
    await remove(context)
    return `duplication ${dupid} is removed and forgotten`
  }

  const busy = await whyBusy(context)
  if (busy === undefined) {
    await remove(context)
    return `duplication ${dupid} was at rest; it is removed and forgotten`
  }

  if (rollback.copyIsGone) {
    await remove(context)
    return `duplication ${dupid} is removed and forgotten; what it had left to ship is given up (${busy})`
  }

  const hindrance = await whatHinders(context)
  if (hindrance) {
    state.keptBecause = hindrance.why
    state.keptNext = hindrance.next
    throw new StepSkipped(`duplication ${dupid} is kept: ${hindrance.why} (${busy})`)
  }

  if (rollback.briefDeny) {
    const deniedMs = await removeUnderDeny(context)
    return `duplication ${dupid} is removed and forgotten; writes were denied for at most ${(deniedMs / 1000).toFixed(1)} s`
  }

  state.keptBecause = busy
  throw new StepSkipped(
    `duplication ${dupid} is kept: ${busy}, and removing it now can crash 2.5 servers. While it is there the servers keep their logs (disk), and atomic writes (incr, check-and-set) are refused. To remove it, run the same command with --brief-deny, or when nobody writes`,
  )
}

/** What removing the duplication rests on, without doing it; for a dry run. */
export async function foretellRemoval(context: RollbackContext): Promise<'brief-deny' | 'keep' | 'remove'> {
  const {plan, rollback, view} = context
  const ships = [DuplicationStatus.DS_LOG, DuplicationStatus.DS_PAUSE].includes(view.entry!.status)
  // Behind a deny nothing can be seen yet, and whoever waits for writes is not kept waiting by a look.
  if (plan.kind === 'return' || !ships || view.deny !== undefined) return 'remove'
  if (rollback.copyIsGone || (await whyBusy(context)) === undefined) return 'remove'
  if (await whatHinders(context)) return 'keep'
  return rollback.briefDeny ? 'brief-deny' : 'keep'
}

async function remove(context: RollbackContext): Promise<void> {
  const {effects, signal, view} = context
  await effects.perform({dupid: view.entry!.dupid, kind: 'remove-duplication'}, signal)
  await forgotten(context, FORGET_LIMIT_MS, signal)
}

async function forgotten(context: RollbackContext, limitMs: number, signal: AbortSignal): Promise<void> {
  const {clock, report, rollback, source, state, view} = context
  const {dupid} = view.entry!
  await waitUntilForgotten({
    appId: view.appId,
    clock,
    cluster: source,
    dupid,
    limitMs,
    report,
    signal,
    table: rollback.table,
  })
  state.forgottenAtMs = clock.nowMs()
}

/** Why the duplication is not at rest, or undefined after it was seen at rest for a while. */
async function whyBusy(context: RollbackContext): Promise<string | undefined> {
  const {clock, report, rollback, signal, source, view} = context
  try {
    const look = () => surely(context, () => readPipeline(context))
    const fencesNow = () => surely(context, () => readFences(source, rollback.table, signal, view.generation))
    const shipping = await look()
    // A pipeline that was stopped before does nothing that a removal could meet.
    const stopped =
      shipping.unreported.length === 0 && [...shipping.partitions.values()].every(({duplicating}) => !duplicating)
    if (view.entry!.status === DuplicationStatus.DS_PAUSE && stopped) return undefined

    const before = await fencesNow()
    const startMs = clock.nowMs()
    let inARow = 0
    // An empty write lets one mutation per partition go (protocol.md §4.2): one reading that finds it on its way is no load.
    while (inARow > 0 || clock.nowMs() - startMs < QUIET_MS) {
      const pending = pendingMutations(await look(), view.generation)
      inARow = pending > 0 ? inARow + 1 : 0
      if (inARow >= READINGS) return `${plural(pending, 'mutation is', 'mutations are')} being shipped`
      const passedMs = clock.nowMs() - startMs
      report({text: `nothing to ship for ${Math.round(passedMs / 1000)} of ${QUIET_MS / 1000} s`})
      const now = await fencesNow()
      const allowed = view.generation === 'master' ? 0 : allowedEmptyWrites(passedMs, view.timers.groupCheckMs)
      const grown = grownFences(before, now, () => allowed)
      if (grown.length > 0) return `clients write to ${plural(grown.length, 'partition')} of it`
      await sleep(clock, POLL_MS, signal)
    }

    return undefined
  } catch (error) {
    signal.throwIfAborted()
    if (!mayPass(error)) throw error
    return `it cannot be seen whether it rests (${messageOf(error)})`
  }
}

/** One answer that does not come says nothing of the load, and must not be what writes are denied for. */
async function surely<T>({clock, signal}: RollbackContext, read: () => Promise<T>): Promise<T> {
  for (let left = READINGS; ; left--) {
    try {
      return await read()
    } catch (error) {
      signal.throwIfAborted()
      if (left === 1 || !mayPass(error)) throw error
      await sleep(clock, POLL_MS, signal)
    }
  }
}

function readPipeline({rollback, signal, source, view}: RollbackContext, limit = signal, decrees = false) {
  const {dupid} = view.entry!
  return readShipping({
    cluster: source,
    decrees,
    dupid,
    generation: view.generation,
    signal: limit,
    table: rollback.table,
  })
}

/** Deny, wait until nothing is left to ship, remove, wait until every server forgot, allow again: within the bound. @returns ms denied */
async function removeUnderDeny(context: RollbackContext): Promise<number> {
  const {clock, effects, rollback, signal, state, view} = context
  const {configSyncMs} = view.timers
  const spreadMs = liftLimitMs(configSyncMs)
  const neededMs = spreadMs + DRAIN_MS + FORGET_MS + spreadMs
  if (neededMs > rollback.maxWriteDenyMs) {
    throw new MigratorError(
      'rollback.bound',
      `denying writes to ${rollback.table} briefly takes up to ${neededMs / 1000} s: deny ${spreadMs / 1000} s + ship what is left ${DRAIN_MS / 1000} s + forget ${FORGET_MS / 1000} s + allow again ${spreadMs / 1000} s; the bound is ${rollback.maxWriteDenyMs / 1000} s`,
      {next: `Say --max-write-deny ${Math.ceil(neededMs / 1000)}s, or leave the duplication where it is.`},
    )
  }

  let removed = false
  const reason = () => boundReached(context, removed)
  const bound = deadline(clock, rollback.maxWriteDenyMs - spreadMs, reason, signal)
  const startMs = clock.nowMs()
  try {
    await context.sendGuardAway()
    // Known before it is sent: if the answer is lost it must still be taken back.
    state.deniesSource = true
    await effects.perform({before: null, kind: 'deny', value: 'reconfig*write'}, bound.signal)
    await proveDenied(context, bound.signal)
    // What is paused never ships what is left.
    await resume(context, view.entry!.dupid, bound.signal)
    await waitUntilShipped(context, bound.signal)
    await effects.perform({dupid: view.entry!.dupid, kind: 'remove-duplication'}, bound.signal)
    removed = true
    await forgotten(context, rollback.maxWriteDenyMs, bound.signal)
  } finally {
    bound.dispose()
    await takeOwnDenyBack(context)
  }

  return clock.nowMs() - startMs
}

function boundReached({rollback, view}: RollbackContext, removed: boolean): MigratorError {
  const which = `duplication ${view.entry!.dupid} of ${rollback.table}`
  const bound = `within the bound of ${rollback.maxWriteDenyMs / 1000} s`
  return removed
    ? new MigratorError(
        'rollback.bound_reached',
        `${which} is removed, and not every server was seen to have forgotten it ${bound}`,
        {
          next: 'Writes are allowed again; servers forget it with their next duplication sync. The same command does what is left.',
        },
      )
    : new MigratorError('rollback.bound_reached', `${which} could not be removed ${bound}`, {
        next: 'Writes are allowed again, and the duplication is kept. See that the target takes what is shipped, then run the same command again, or at a quieter time.',
      })
}

async function proveDenied(context: RollbackContext, signal: AbortSignal): Promise<void> {
  const {client, clock, report, rollback, source} = context
  await proveEverywhere({
    clock,
    cluster: source,
    limitMs: rollback.maxWriteDenyMs,
    onProgress: ({last, partitionCount, proved}) =>
      report({partitionCount, partitionsDone: proved, text: `${last} refuses writes`}),
    pool: client.pool,
    signal,
    table: rollback.table,
    wanted: 'reconfig-write',
  })
}

/**
 * Waits until nothing is under way. On 2.4/2.5 the last mutation of a partition goes only with the next empty write, one to two group
 * checks after the last client's: a removal that met it on its way could take the server down. So what was accepted must be over
 * there too; where group checks are too far apart for the bound, it is enough that nothing else is pending.
 */
async function waitUntilShipped(context: RollbackContext, signal: AbortSignal): Promise<void> {
  const {clock, report, rollback, view} = context
  const {configSyncMs, groupCheckMs} = view.timers
  const leftMs = rollback.maxWriteDenyMs - 2 * liftLimitMs(configSyncMs) - FORGET_MS
  const enoughAtMs = clock.nowMs() + Math.min(2 * groupCheckMs + EMPTY_WRITE_MARGIN_MS, leftMs)
  let fences: Map<number, number> | undefined
  let inARow = 0
  await waitUntil({
    clock,
    describe: (shipping) => `${plural(pendingMutations(shipping, view.generation), 'mutation')} left to ship`,
    done(shipping) {
      const partitions = [...shipping.partitions.values()]
      // What it may have left out does not matter any more: only that nothing is under way.
      const runs = shipping.unreported.length === 0 && partitions.every(({duplicating}) => duplicating)
      if (runs) fences ??= new Map(partitions.map(({fenceDecree, partitionIndex}) => [partitionIndex, fenceDecree]))
      const arrived = partitions.every(({partitionIndex, shippedDecree}) => {
        const fence = fences?.get(partitionIndex)
        return fence !== undefined && shippedDecree >= fence
      })
      const rests = runs && pendingMutations(shipping, view.generation) === 0
      inARow = rests && (arrived || clock.nowMs() > enoughAtMs) ? inARow + 1 : 0
      return inARow >= READINGS
    },
    // More often than anything on the servers comes round.
    intervalMs: POLL_MS,
    limitMs: rollback.maxWriteDenyMs,
    observe: () => readPipeline(context, signal, true),
    onProgress: (shipping) =>
      report({text: `${plural(pendingMutations(shipping, view.generation), 'mutation')} left to ship`}),
    signal,
    stage: 'shipping what is left',
  })
}
