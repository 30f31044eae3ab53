import {sleep} from '../clock.js'
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
    await Promise.all(
      [...byServer(primaries.values())]
        .filter(([address]) => !this.found.has(address))
        .map(([address, group]) => this.ask(address, group[0]!)),
    )
  }

  private async ask(address: string, {partitionIndex}: PrimaryAt): Promise<void> {
    const {client, clock, signal} = this.context
    const {appId, partitionCount} = factsOf(this.context).source.configuration
    const sentMs = clock.nowMs()
    const limits = {signal, timeoutMs: PROBE_TIMEOUT_MS}
    const {detail, verdict} = await probeWrite(client.pool, address, {appId, partitionIndex}, partitionCount, limits)
    if (verdict !== 'not-denied') return
    if (detail !== 'ERR_OPERATION_DISABLED') {
      this.unflaggedMs.set(address, sentMs)
      return
    }

    this.found.add(address)
    const change = {afterMs: this.unflaggedMs.get(address) ?? this.addedAtMs, byMs: clock.nowMs()}
    await rememberTicks(this.context, new Map([[address, change]]))
  }
}

/** Takes down when servers were seen to change: at a sync. Those that changed before anybody looked tell nothing. */
export async function rememberTicks(
  {signal, source, state}: MigrationContext,
  changes: ReadonlyMap<string, ServerChange>,
): Promise<void> {
  if (timersOf(state).configSyncMs < WORTH_MS) return
  state.ticks ??= new Map()
  for (const [address, {afterMs, byMs}] of changes) {
    if (afterMs === undefined) continue
    state.ticks.set(address, {afterMs, byMs, startTime: await source.server(address).startTime({signal})})
  }
}

/** When to deny writes, by what is known of every server with a primary; undefined: no moment is better than another. */
export async function momentToDeny(
  context: MigrationContext,
  primaries: ReadonlyMap<number, PrimaryAt>,
): Promise<Moment | undefined> {
  const {clock, signal, source, state} = context
  const intervalMs = timersOf(state).configSyncMs
  const {ticks} = state
  if (!ticks || intervalMs < WORTH_MS) return undefined
  const servers = [...byServer(primaries.values()).keys()]
  const phases = await Promise.all(
    servers.map(async (address) => {
      const known = ticks.get(address)
      return known && known.startTime === (await source.server(address).startTime({signal})) ? known : undefined
    }),
  )
  const known = phases.filter((phase) => phase !== undefined)
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
