import type {Generation, ServerFacts} from './check.js'
import {numberSettingOf} from './settings.js'
import {seconds} from './wording.js'

/** What the prediction needs of `PreflightFacts`; `table:migrate-status` reads no more. */
export interface PredictionFacts {
  source: {generation: Generation; servers: Array<Pick<ServerFacts, 'address' | 'config' | 'dump'>>}
}

/** How long writes will be denied, by the servers' own timers. */
export interface WindowPrediction {
  /** From the proof of the deny until everything that was accepted is on the target, ms. */
  drainMs: {max: number; min: number}
  /** One sentence per part of the sum, with the server that decides it. */
  parts: string[]
  /** Until the last primary refuses writes, ms. */
  spreadMs: number
  /** What `--max-write-deny` must allow: spread, longest drain, switch and taking the deny back, ms. */
  sumMs: number
  switchMs: number
  /** Until the last primary accepts writes again once the deny is taken back, ms. */
  undoMs: number
}

/** Defaults of the servers' code, where a server's own value could not be read (protocol.md §12, measured-master.md §3). */
const CONFIG_SYNC_MS = 30_000
const GROUP_CHECK_MS = 10_000
/** On top of a tick: the probe that sees its effect. */
const PROBE_MS = 1000
/** What a fast cutover sets config_sync_interval_ms to. */
export const LOWERED_SYNC_MS = 1000
/** Shipping of what the last empty write lets go; measured 0.1..0.3 s, and as long again as the servers are slow. */
const SHIP_MS = 2000
/** One ZooKeeper transaction and the metaproxies' answers. */
const SWITCH_MS = 10_000

/** How long a drain takes at most with a backlog, and what `--max-write-deny` must allow then; ms. */
export function predictDrainMs(
  generation: Generation,
  {configSyncMs, groupCheckMs}: {configSyncMs: number; groupCheckMs: number},
  backlogMs: number,
): {drainMs: number; sumMs: number} {
  const spreadMs = configSyncMs + PROBE_MS
  const drainMs = Math.max(generation === 'master' ? 0 : 2 * groupCheckMs, backlogMs) + SHIP_MS
  return {drainMs, sumMs: spreadMs + drainMs + SWITCH_MS + spreadMs}
}

interface Slowest {
  address: string
  ms: number
}

function slowest(servers: PredictionFacts['source']['servers'], name: string, fallbackMs: number): Slowest {
  let found: Slowest | undefined
  for (const server of servers) {
    const ms = numberSettingOf(server, name) ?? fallbackMs
    if (!found || ms > found.ms) found = {address: server.address, ms}
  }

  return found ?? {address: 'no server', ms: fallbackMs}
}

/**
 * Predicts the write-deny window from each server's timers (product.md I7, measured.md §2 and §3).
 * @param loweredSyncMs the config sync interval that the migration sets before the deny, if it does (2.5 only)
 */
export function predictWindow(facts: PredictionFacts, loweredSyncMs?: number): WindowPrediction {
  const {generation, servers} = facts.source
  const sync = slowest(servers, 'config_sync_interval_ms', CONFIG_SYNC_MS)
  const syncMs = generation === '2.5' ? Math.min(sync.ms, loweredSyncMs ?? sync.ms) : sync.ms
  const spreadMs = syncMs + PROBE_MS
  const syncFigure = `config_sync_interval_ms ${syncMs}${syncMs < sync.ms ? ', lowered before the deny' : ` on ${sync.address}`}`
  const parts = [`the deny reaches every primary within ${seconds(spreadMs)} (${syncFigure})`]

  let drainMs = {max: SHIP_MS, min: 0}
  if (generation === 'master') {
    parts.push(`the drain takes up to ${seconds(SHIP_MS)}: master ships everything at once`)
  } else {
    const groupCheck = slowest(servers, 'group_check_interval_ms', GROUP_CHECK_MS)
    drainMs = {max: 2 * groupCheck.ms + SHIP_MS, min: groupCheck.ms}
    parts.push(
      `the drain takes ${seconds(drainMs.min)} to ${seconds(drainMs.max)}: the last mutation of each partition ships only with` +
        ` the next empty write (group_check_interval_ms ${groupCheck.ms} on ${groupCheck.address}; a shorter one in the config file and a rolling restart before the migration shorten it)`,
    )
  }

  parts.push(
    `the switch takes up to ${seconds(SWITCH_MS)}`,
    `if anything fails, taking the deny back takes up to ${seconds(spreadMs)} more`,
  )
  return {
    drainMs,
    parts,
    spreadMs,
    sumMs: spreadMs + drainMs.max + SWITCH_MS + spreadMs,
    switchMs: SWITCH_MS,
    undoMs: spreadMs,
  }
}
