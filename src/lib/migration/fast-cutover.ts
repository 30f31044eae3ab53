import {sleep} from '../clock.js'
import {messageOf} from '../errors.js'
import {plural} from '../plural.js'
import {factsOf, type MigrationContext} from './context.js'
import type {Progress} from './events.js'
import {LOWERED_SYNC_MS} from './preflight/prediction.js'
import {hostingServers, onEach, putSettingsBack, rememberSetting, SYNC_INTERVAL} from './settings.js'
import {timersOf} from './timers.js'
import {mayPass, waitUntil} from './wait.js'

/** Each sync sends all replicas of a server through one thread of the meta. */
const MOST_REPLICAS_PER_SECOND = 5000
/** On top of the old interval, before the new one is believed. */
const TICK_MARGIN_MS = 1500
const POLL_MS = 1000
/** How often the servers are asked, while it is only time that must pass. */
const LOOK_EVERY_MS = 10_000
/** An answer time that doubled counts only above this: below, it is noise. */
const SLOW_META_MS = 50
const META_SAMPLES = 3

/** Servers whose interval was lowered by us. */
export interface FastCutover {
  /** Answer time of the meta leader before anything was lowered, ms. */
  metaMs: number
  /** What the interval was, and when it was lowered (`Clock.nowMs`), by server. */
  servers: Map<string, {loweredAtMs: number; oldMs: number}>
}

/** Why the interval is not lowered, or undefined. */
export async function fastCutoverObstacle(context: MigrationContext): Promise<string | undefined> {
  const {hints, request, state} = context
  const {generation} = factsOf(context).source
  const wanted = request.fastCutover ?? 'auto'
  if (wanted === 'off') return 'not wanted (--no-fast-cutover)'
  if (state.fastGivenUp) return 'it made the meta slow'
  if (generation === '2.4') return `${SYNC_INTERVAL} cannot be changed at run time on 2.4`
  if (generation === 'master') return `master answers ERR_OK to a new ${SYNC_INTERVAL} and changes nothing`
  const ours = hints.settings.some((effect) => effect.kind === 'set-server-config' && effect.name === SYNC_INTERVAL)
  if (!ours && timersOf(state).configSyncMs <= LOWERED_SYNC_MS)
    return `${SYNC_INTERVAL} is ${LOWERED_SYNC_MS} ms or less already`
  if (wanted === 'on') return undefined
  const replicas = await Promise.all(
    (await hostingServers(context)).map(
      async (address) => (await context.source.server(address).replicas({signal: context.signal})).length,
    ),
  )
  const perSecond = (replicas.reduce((sum, count) => sum + count, 0) * 1000) / LOWERED_SYNC_MS
  return perSecond > MOST_REPLICAS_PER_SECOND
    ? `the servers hold ${plural(perSecond, 'replica')}: too many for the meta each second (--fast-cutover does it all the same)`
    : undefined
}

/** Lowers the interval on every source server that hosts the table, and again where a restart undid it. */
export async function lowerSyncInterval(context: MigrationContext): Promise<void> {
  const {state} = context
  if (!state.fast) {
    const obstacle = await fastCutoverObstacle(context)
    if (obstacle !== undefined) return
    state.fast = {metaMs: await metaAnswerMs(context), servers: new Map()}
  }

  const hosts = await hostingServers(context)
  const {fast} = state
  await onEach(hosts, (address) => lowerOn(context, fast, address))
  for (const address of fast.servers.keys()) if (!hosts.includes(address)) fast.servers.delete(address)
}

async function lowerOn(context: MigrationContext, fast: FastCutover, address: string): Promise<void> {
  const {clock, effects, hints, signal, source, state} = context
  const server = source.server(address)
  const value = await server.config(SYNC_INTERVAL, {signal})
  // A restart undoes it: as long as it is there, nothing was restarted.
  if (fast.servers.has(address) && value === String(LOWERED_SYNC_MS)) return
  const earlier = hints.settings.find(
    (effect) => effect.kind === 'set-server-config' && effect.server === address && effect.name === SYNC_INTERVAL,
  )
  const before = earlier && 'before' in earlier ? String(earlier.before) : (value ?? '')
  if (value !== String(LOWERED_SYNC_MS)) {
    const effect = {
      before,
      kind: 'set-server-config',
      name: SYNC_INTERVAL,
      server: address,
      side: 'source',
      value: String(LOWERED_SYNC_MS),
    } as const
    rememberSetting(context, effect)
    await effects.perform(effect, signal)
  }

  fast.servers.set(address, {loweredAtMs: clock.nowMs(), oldMs: Number(before)})
  // Its syncs come at other times from now on.
  state.ticks?.delete(address)
}

/**
 * The tick that was scheduled before fires at its old time; only then the new period counts (measured.md §1): so an
 * old interval must have passed on each server, without a restart. Then the servers' timers are what was set.
 */
export async function waitForShortSync(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {clock, signal, state} = context
  if (!state.fast) return
  const oldMs = believeOldInterval(state, state.fast)
  let lookedMs = Number.NEGATIVE_INFINITY
  const waitingServers = () => {
    const nowMs = clock.nowMs()
    return [...state.fast!.servers]
      .filter(([, server]) => nowMs - server.loweredAtMs < server.oldMs + TICK_MARGIN_MS)
      .map(([address]) => address)
  }

  try {
    await waitUntil<string[]>({
      clock,
      describe: (waiting) => `${waiting.join(', ')} still follow the old interval`,
      done: (waiting) => waiting.length === 0,
      intervalMs: POLL_MS,
      limitMs: 2 * oldMs + 4 * TICK_MARGIN_MS,
      async observe() {
        // A restart undoes it: so they are asked once more when it should be there.
        if (waitingServers().length === 0 || clock.nowMs() - lookedMs >= LOOK_EVERY_MS) {
          await lowerSyncInterval(context)
          lookedMs = clock.nowMs()
        }

        return waitingServers()
      },
      onProgress: (waiting) =>
        report({
          serverCount: state.fast!.servers.size,
          serversDone: state.fast!.servers.size - waiting.length,
          text: `servers that hear of the deny within a second: ${state.fast!.servers.size - waiting.length} of ${state.fast!.servers.size}`,
        }),
      signal,
      stage: 'shorter config sync on every server',
    })
    state.timers = {...timersOf(state), configSyncMs: LOWERED_SYNC_MS}
  } catch (error) {
    if (!mayPass(error) && !(error instanceof Error && 'code' in error && error.code === 'wait.limit')) throw error
    // Also that of a server which came meanwhile.
    believeOldInterval(state, state.fast)
    context.emit({
      code: 'fast-cutover.off',
      message: `the cutover will be slower: ${messageOf(error)}`,
      type: 'warning',
    })
  }
}

/** Until the short interval is seen to count: an earlier try may have relied on it, and a restart have undone it since. */
export function believeOldInterval(state: MigrationContext['state'], fast: FastCutover): number {
  const oldMs = Math.max(LOWERED_SYNC_MS, ...[...fast.servers.values()].map((server) => server.oldMs))
  const timers = timersOf(state)
  state.timers = {...timers, configSyncMs: Math.max(timers.configSyncMs, oldMs)}
  return oldMs
}

/** Watches the meta leader while something else is done that takes long. */
export async function whileWatchingMeta<T>(context: MigrationContext, work: Promise<T>): Promise<T> {
  const ending = new AbortController()
  const signal = AbortSignal.any([context.signal, ending.signal])
  let trouble: {error: unknown} | undefined
  const watching = watchMetaOn(context, signal).catch((error: unknown) => {
    trouble = {error}
  })
  let done: T
  try {
    done = await work
  } finally {
    ending.abort(new Error('it is done'))
    await watching
  }

  if (trouble) throw trouble.error
  return done
}

async function watchMetaOn(context: MigrationContext, signal: AbortSignal): Promise<void> {
  try {
    for (;;) {
      await sleep(context.clock, LOOK_EVERY_MS, signal)
      try {
        await watchMeta(context, signal)
      } catch (error) {
        // Whether it is slow is asked again; that it is away is noticed by whoever needs it.
        if (!mayPass(error)) throw error
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** Takes the short interval back when the meta leader answers twice as slowly as before. @param signal ends the measuring only */
export async function watchMeta(context: MigrationContext, signal = context.signal): Promise<void> {
  const {fast} = context.state
  if (!fast) return
  const nowMs = await metaAnswerMs(context, signal)
  if (nowMs < SLOW_META_MS || nowMs < 2 * fast.metaMs) return
  context.emit({
    code: 'fast-cutover.off',
    message: `the meta leader answers in ${Math.round(nowMs)} ms instead of ${Math.round(fast.metaMs)}: the short ${SYNC_INTERVAL} is taken back`,
    type: 'warning',
  })
  believeOldInterval(context.state, fast)
  await restoreSyncInterval(context, context.signal)
  context.state.ticks = undefined
  context.state.fast = undefined
  context.state.fastGivenUp = true
}

/** Puts the old interval back for as long as no cutover is near; `lowerSyncInterval` begins anew. */
export async function restSyncInterval(context: MigrationContext): Promise<void> {
  const {fast} = context.state
  if (!fast) return
  believeOldInterval(context.state, fast)
  await restoreSyncInterval(context, context.signal)
  context.state.ticks = undefined
  context.state.fast = undefined
}

/** Only when the lift, or the source's `reconfig*all`, is proved: earlier, an undo would take the old interval again. */
export async function restoreSyncInterval(context: MigrationContext, signal: AbortSignal): Promise<void> {
  await putSettingsBack(
    context,
    signal,
    (effect) => effect.kind === 'set-server-config' && effect.name === SYNC_INTERVAL,
  )
}

/** The quickest of a few answers: the slow ones have other reasons. */
async function metaAnswerMs(context: MigrationContext, signal = context.signal): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let sample = 0; sample < META_SAMPLES; sample++) {
    const startMs = context.clock.nowMs()
    await context.source.info({signal})
    best = Math.min(best, context.clock.nowMs() - startMs)
  }

  return best
}
