import {type Clock, deadline, sleep} from '../clock.js'
import {isMigratorError, messageOf, MigratorError} from '../errors.js'
import {plural} from '../plural.js'
import {DuplicationStatus} from '../rpc/structs/duplication.js'
import type {MigrationContext} from './context.js'
import {DENY_ENV} from './effects-live.js'
import {type KnownTarget, namesTarget} from './names-target.js'
import {proveEverywhere} from './proof/deny.js'
import type {MigrationRequest} from './request.js'
import {mayPass} from './wait.js'

/* What takes a write-deny back, whoever does it: the run itself, its guard, or a rollback from another machine. */

const RETRY_MS = 2000
/** Mending goes on beyond the bound; this only bounds a command that nobody stops. */
const MENDING_LIMIT_MS = 15 * 60_000
/** What a server takes besides its config sync to act on an env. */
const LIFT_MARGIN_MS = 1000
const PROOF_MARGIN_MS = 30_000
/** How long a deny that nobody heard the answer of may still take place. */
export const LATE_DENY_MS = 15_000
const LATE_DENY_POLL_MS = 1000
/** What a migration, or a rollback, sets while it denies writes (product.md I7). */
const MIGRATIONS_DENY = /^(?:reconfig|timeout)\*write$/
/** How long a resume may hold up the lift. */
const RESUME_LIMIT_MS = 3000

/** The part of a context that mending needs. */
export type MendingContext = Pick<MigrationContext, 'client' | 'clock' | 'effects' | 'emit' | 'source' | 'store'> & {
  request: KnownTarget & Pick<MigrationRequest, 'table'>
}

export interface MendingOptions {
  /** How long to insist on each step; default 15 min. */
  limitMs?: number
  /** Aborts only when the operator leaves at once. */
  signal: AbortSignal
}

/** How long lifting takes at most: every server hears of it with its next config sync. */
export function liftLimitMs(configSyncMs: number): number {
  return configSyncMs + LIFT_MARGIN_MS
}

/**
 * Makes a switch that may still be under way impossible: writes the node's own bytes at the version known, so that any
 * other compare-and-set must fail. Never lifts anything; insists while ZooKeeper cannot be reached.
 * @returns `switched` when the node names the target: then nothing may be lifted
 */
export function takeCommitAway(context: MendingContext, options: MendingOptions): Promise<'source' | 'switched'> {
  const {effects, request, store} = context
  const {signal} = options
  return insist(context, options, 'looking whether the node was switched', async () => {
    const node = await store!.read(request.table, signal)
    if (namesTarget(node.data, request)) return 'switched'
    const bytes = node.bytes.toString('utf8')
    try {
      await effects.perform({beforeVersion: node.version, bytes, kind: 'take-commit-away', path: node.path}, signal)
    } catch (error) {
      // Somebody wrote between: look again.
      if (isMigratorError(error, 'zk.version_conflict')) {
        throw new MigratorError('zk.moved', 'the node changed while it was looked at', {cause: error})
      }

      throw error
    }

    return 'source'
  })
}

/**
 * While nothing is written: a server that hears of the pause only when writes flow again stops shipping under load, which
 * crashes 2.5 now and then (measured.md §14). Tried once and shortly, because the writes come first.
 * @returns whether it ships again
 */
export async function resumeBeforeLift(context: MendingContext, dupid: number, signal: AbortSignal): Promise<boolean> {
  const late = () => new MigratorError('undo.resume_late', `no answer in ${RESUME_LIMIT_MS / 1000} s`)
  const limit = deadline(context.clock, RESUME_LIMIT_MS, late, signal)
  try {
    await resume(context, dupid, limit.signal)
    return true
  } catch (error) {
    signal.throwIfAborted()
    const message = `the duplication goes on only after writes are allowed: ${messageOf(error)}`
    context.emit({code: 'undo.resume_late', message, type: 'warning'})
    return false
  } finally {
    limit.dispose()
  }
}

/** Clients have not written to the target: the duplication may go on (product.md, lesson 14, forbids it only later). */
export async function resume(
  {effects, request, source}: MendingContext,
  dupid: number,
  signal: AbortSignal,
): Promise<void> {
  const entries = await source.duplications(request.table, {signal})
  const entry = entries.find((other) => other.dupid === dupid)
  if (entry?.status === DuplicationStatus.DS_PAUSE) await effects.perform({dupid, kind: 'resume-duplication'}, signal)
}

/** Deletes the source's deny env and proves on every primary that writes are accepted. */
export async function liftAndProve(
  context: MendingContext,
  options: MendingOptions & {configSyncMs: number},
): Promise<void> {
  const {effects, emit} = context
  await insist(context, options, 'taking the write-deny back', () =>
    effects.perform({before: null, kind: 'lift-deny'}, options.signal),
  )
  emit({sentence: 'the deny env is deleted; waiting for every server to hear of it', type: 'undo-progress'})
  await proveWritable(context, options)
}

/** Proves on every primary of the source that writes are accepted; insists within the limit, also against a deny that comes late. */
export async function proveWritable(
  context: MendingContext,
  options: MendingOptions & {configSyncMs: number},
): Promise<void> {
  const {client, clock, emit, request, source} = context
  const {configSyncMs, signal} = options
  await insist(context, options, 'proving that writes are allowed', async () => {
    try {
      await proveEverywhere({
        clock,
        cluster: source,
        limitMs: liftLimitMs(configSyncMs) + PROOF_MARGIN_MS,
        onProgress: ({partitionCount, proved}) =>
          emit({
            sentence: `${proved} of ${plural(partitionCount, 'partition accepts', 'partitions accept')} writes again`,
            type: 'undo-progress',
          }),
        pool: client.pool,
        signal,
        table: request.table,
        wanted: 'writable',
      })
    } catch (error) {
      if (isMigratorError(error, 'deny.not_proved')) await liftAgain(context, signal)
      throw error
    }
  })
}

/** A command that was stopped just before it sent its deny sends it when it wakes up, though the lock is somebody else's by then. */
async function liftAgain({effects, emit, request, source}: MendingContext, signal: AbortSignal): Promise<void> {
  const {table} = request
  const deny = (await source.table(table, {signal}))?.envs.get(DENY_ENV)
  if (deny === undefined || !MIGRATIONS_DENY.test(deny)) return
  const message = `${table} carries ${DENY_ENV}=${deny} again, sent late by a command that has lost the lock: it is taken off again`
  emit({code: 'undo.denied_again', message, type: 'warning'})
  await effects.perform({before: null, kind: 'lift-deny'}, signal)
}

/**
 * A meta whose own ZooKeeper is slow may set the env after it has answered its deletion ("no key need to delete"), and no
 * server has heard of it by then: so the env is looked at for a while, with writes allowed.
 * @returns whether it came
 */
export async function outwaitLateDeny(
  context: MendingContext,
  options: MendingOptions,
  {deny, forMs, lift}: {deny: string; forMs: number; lift(): Promise<void>},
): Promise<boolean> {
  const {clock, request, source} = context
  const {signal} = options
  const untilMs = clock.nowMs() + forMs
  let came = false
  while (clock.nowMs() < untilMs) {
    await sleep(clock, LATE_DENY_POLL_MS, signal)
    const look = () => source.table(request.table, {signal})
    const table = await insist(context, options, 'looking whether the deny is set after all', look)
    if (table?.envs.get(DENY_ENV) !== deny) continue
    // It may have been sent more than once, and each comes by itself.
    await lift()
    came = true
  }

  return came
}

/** Takes off a deny that a run which died a moment ago has sent and that is still on its way: nobody else would. @returns whether it came */
export async function takeLateDenyOff(
  context: MendingContext,
  options: MendingOptions & {configSyncMs: number},
  sent: {deny?: string; denyAtMs?: number},
): Promise<boolean> {
  const forMs = lateDenyMs(context.clock, sent)
  if (forMs === 0) return false
  return outwaitLateDeny(context, options, {deny: sent.deny!, forMs, lift: () => liftAndProve(context, options)})
}

/** For how long a deny that an earlier run sent, and that is not there, may still come; 0: none may. */
function lateDenyMs(clock: Clock, {deny, denyAtMs}: {deny?: string; denyAtMs?: number}): number {
  if (deny === undefined || denyAtMs === undefined) return 0
  // By the wall clock of whoever sent it: one that runs ahead of ours is not waited for longer.
  return Math.min(LATE_DENY_MS, Math.max(0, denyAtMs + LATE_DENY_MS - clock.wallMs()))
}

/** Tries until it works, the operator leaves, or the limit is reached; each failure is an alarm. */
export async function insist<T>(
  {clock, emit, request}: Pick<MendingContext, 'clock' | 'emit' | 'request'>,
  {limitMs = MENDING_LIMIT_MS, signal}: MendingOptions,
  what: string,
  attempt: () => Promise<T>,
): Promise<T> {
  const startMs = clock.nowMs()
  for (;;) {
    signal.throwIfAborted()
    try {
      return await attempt()
    } catch (error) {
      signal.throwIfAborted()
      const again = mayPass(error) || isMigratorError(error, 'deny.not_proved')
      if (!again || clock.nowMs() - startMs > limitMs) throw error
      emit({
        code: 'undo.trouble',
        message: `ALARM: ${request.table} may still be write-denied; ${what}: ${messageOf(error)}; trying again`,
        type: 'warning',
      })
      await sleep(clock, RETRY_MS, signal)
    }
  }
}
