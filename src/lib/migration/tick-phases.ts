import {type Clock, sleep} from '../clock.js'
import {messageOf} from '../errors.js'
import {probeWrite} from '../pegasus/probe.js'
import {factsOf, type MigrationContext, type PrimaryAt} from './context.js'
import type {Progress} from './events.js'
import type {ServerChange} from './proof/deny.js'
import {byServer} from './proof/primaries.js'
import {timersOf} from './timers.js'

/** One sync of a server with its meta, which repeats each interval until the server restarts. `Clock.nowMs`. */
export interface TickPhase {
  /** It came after this and by `byMs`. */
  afterMs: number
  byMs: number
  /** The server's start: after another one the phase is another. */
  startTime: string
}

/** When to set a deny so that the servers hear of it close together. */
export interface Moment {
  /** `Clock.nowMs` */
  atMs: number
  /** Between the first and the last server that hears of it, at most; ms. */
  spreadMs: number
}

/** Shorter intervals are not worth waiting for. */
const WORTH_MS = 2000
/** Before the first sync: what setting the env takes, and how far the servers' timers may have drifted. */
const EARLY_MS = 1500
/** What the last looks before a deny take. */
export const LEAD_MS = 4000
const PROBE_TIMEOUT_MS = 3000
/** Timers drift: an older phase is not believed. */
const MOST_AGE_MS = 6 * 3_600_000

/**
 * The moment right before the syncs that follow the largest gap in the servers' circle of syncs: all of them then fall as close
 * together as they can.
 * @param phases of every server that counts
 * @returns undefined when there is no gap worth it
 */
export function bestMoment(
  phases: readonly Pick<TickPhase, 'afterMs' | 'byMs'>[],
  intervalMs: number,
  nowMs: number,
): Moment | undefined {
  const within = (ms: number) => ((ms % intervalMs) + intervalMs) % intervalMs
  const circle = phases
    .map(({afterMs, byMs}) => ({from: within(afterMs), to: within(afterMs) + (byMs - afterMs)}))
    .sort((a, b) => a.from - b.from)
  let best: undefined | {from: number; gapMs: number}
  for (const [index, {from}] of circle.entries()) {
    // The gap before this sync: from the latest end of those before it, around the circle.
    const before = circle.map(({to}, other) => (other < index ? to : to - intervalMs))
    const gapMs = from - Math.max(...before)
    if (!best || gapMs > best.gapMs) best = {from, gapMs}
  }

  if (!best || best.gapMs < 2 * EARLY_MS) return undefined
  const waitMs = within(best.from - EARLY_MS - nowMs)
  return {atMs: nowMs + waitMs, spreadMs: intervalMs - best.gapMs}
}

/**
 * Learns the phases for nothing: after a duplication was added, a server's primaries begin to refuse atomic writes at its next
 * sync (protocol.md §6.3). On master they learn of it in another way too, so that it tells nothing there.
 */
export class TickWatch {
  private readonly found = new Set<string>()
  private readonly startTimes = new Map<string, string>()
  private readonly unflaggedMs = new Map<string, number>()

  /** @param addedAtMs when the duplication was added: nobody refused before */
  constructor(
    private readonly context: MigrationContext,
    private readonly addedAtMs: number | undefined,
  ) {}

  /** Asks one primary of each server that has not shown it yet; does nothing where it is of no use. */
  async look(primaries: ReadonlyMap<number, PrimaryAt>): Promise<void> {
    const {context} = this
    const {generation} = factsOf(context).source
    if (generation === 'master' || this.addedAtMs === undefined || timersOf(context.state).configSyncMs < WORTH_MS)
      return
    const changes = new Map<string, ServerChange>()
    await Promise.all(
      [...byServer(primaries.values())]
        .filter(([address]) => !this.found.has(address))
        .map(async ([address, group]) => {
          const change = await this.ask(address, group[0]!)
          if (change) changes.set(address, change)
        }),
    )
    await rememberTicks(context, changes, this.startTimes)
  }

  private async ask(address: string, {partitionIndex}: PrimaryAt): Promise<ServerChange | undefined> {
    const {client, clock, signal, source} = this.context
    const {appId, partitionCount} = factsOf(this.context).source.configuration
    // Read first: if it restarts in between, what it shows is thrown away later, not believed.
    if (!this.startTimes.has(address)) this.startTimes.set(address, await source.server(address).startTime({signal}))
    const limits = {signal, timeoutMs: PROBE_TIMEOUT_MS}
    let sentMs = clock.nowMs()
    const {detail, verdict} = await client.gate.pass(address, signal, () => {
      sentMs = clock.nowMs()
      return probeWrite(client.pool, address, {appId, partitionIndex}, partitionCount, limits)
    })
    if (verdict !== 'not-denied') return undefined
    if (detail !== 'ERR_OPERATION_DISABLED') {
      this.unflaggedMs.set(address, sentMs)
      return undefined
    }

    this.found.add(address)
    return {afterMs: this.unflaggedMs.get(address) ?? this.addedAtMs, byMs: clock.nowMs()}
  }
}

/**
 * Takes down when servers were seen to change: at a sync. Those that changed before anybody looked tell nothing, nor does one whose
 * interval is being changed.
 * @param startTimes of the servers, from before they changed
 */
export async function rememberTicks(
  {clock, emit, journal, state}: MigrationContext,
  changes: ReadonlyMap<string, ServerChange>,
  startTimes: ReadonlyMap<string, string>,
): Promise<void> {
  if (timersOf(state).configSyncMs < WORTH_MS) return
  const toWallMs = clock.wallMs() - clock.nowMs()
  const servers: Record<string, TickPhase> = {}
  for (const [address, {afterMs, byMs}] of changes) {
    const startTime = startTimes.get(address)
    if (afterMs === undefined || startTime === undefined || state.fast?.servers.has(address)) continue
    state.ticks ??= new Map()
    state.ticks.set(address, {afterMs, byMs, startTime})
    servers[address] = {afterMs: Math.round(afterMs + toWallMs), byMs: Math.round(byMs + toWallMs), startTime}
  }

  if (Object.keys(servers).length === 0) return
  try {
    await journal?.write({kind: 'ticks', servers})
  } catch (error) {
    // This run knows them all the same.
    emit({code: 'journal.write_failed', message: messageOf(error), type: 'warning'})
  }
}

/** What an earlier run wrote down, on this process's clock. */
export function ticksFrom(journaled: Readonly<Record<string, TickPhase>>, clock: Clock): Map<string, TickPhase> {
  const toWallMs = clock.wallMs() - clock.nowMs()
  return new Map(
    Object.entries(journaled).map(([address, {afterMs, byMs, startTime}]) => [
      address,
      {afterMs: afterMs - toWallMs, byMs: byMs - toWallMs, startTime},
    ]),
  )
}

/**
 * When to deny writes, by what is known of every server with a primary; undefined: no moment is better than another. Reads when each
 * of them was started: a phase from before a restart is thrown away, and the deny itself will show a new one.
 */
export async function momentToDeny(
  context: MigrationContext,
  primaries: ReadonlyMap<number, PrimaryAt>,
): Promise<Moment | undefined> {
  const {clock, signal, source, state} = context
  const intervalMs = timersOf(state).configSyncMs
  if (intervalMs < WORTH_MS) return undefined
  const servers = [...byServer(primaries.values()).keys()]
  const startTimes = await Promise.all(servers.map((address) => source.server(address).startTime({signal})))
  state.startTimes = new Map(servers.map((address, index) => [address, startTimes[index]!]))
  const known: TickPhase[] = []
  for (const [address, startTime] of state.startTimes) {
    const tick = state.ticks?.get(address)
    const isGood = tick?.startTime === startTime && clock.nowMs() - tick.byMs <= MOST_AGE_MS
    if (isGood) known.push(tick)
    else state.ticks?.delete(address)
  }

  return known.length === servers.length ? bestMoment(known, intervalMs, clock.nowMs() + LEAD_MS) : undefined
}

/** Waits until it is time for the last looks before the deny. */
export async function waitForMoment(
  {clock, signal}: MigrationContext,
  {atMs, spreadMs}: Moment,
  report: (progress: Progress) => void,
): Promise<void> {
  const waitMs = atMs - LEAD_MS - clock.nowMs()
  const seconds = (ms: number) => (ms / 1000).toFixed(1)
  report({
    etaMs: Math.max(0, waitMs),
    text: `the servers ask for envs at fixed times: denied in ${seconds(atMs - clock.nowMs())} s, all of them hear of it within ${seconds(spreadMs)} s of each other`,
  })
  if (waitMs > 0) await sleep(clock, waitMs, signal)
}
