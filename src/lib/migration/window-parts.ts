import type {DenyMode} from './request.js'
import type {WindowPart, WriteDenyWindow} from './result.js'
import {SILENCE_MS} from './proof/silence.js'

/** A client that was refused asks for the table's configuration once a second at most (measured.md §9). */
const CLIENT_REST_MS = 1000

/**
 * What the write-deny window was made of, each part beside what the servers themselves needed for it in this very run, as far as
 * that can be seen from outside.
 * @returns nothing unless the table was switched
 */
export function windowParts(window: WriteDenyWindow, denyMode: DenyMode): WindowPart[] {
  const {closedSeenAtMs, confirmedAtMs, drainedAtMs, firstRefusedAtMs, lastRefusedAtMs} = window
  const {pausedAtMs, shippedSeenAtMs, sourceClosedAtMs, switchedAtMs} = window
  if (switchedAtMs === undefined || firstRefusedAtMs === undefined || lastRefusedAtMs === undefined) return []
  const drainedMs = drainedAtMs ?? lastRefusedAtMs
  const pausedMs = pausedAtMs ?? drainedMs
  const servesMs = confirmedAtMs ?? switchedAtMs
  const shipFloorMs = Math.max(0, (shippedSeenAtMs ?? drainedMs) - lastRefusedAtMs)
  const parts: WindowPart[] = [
    {floorMs: lastRefusedAtMs - firstRefusedAtMs, name: 'deny', tookMs: lastRefusedAtMs - firstRefusedAtMs},
    {
      // Silence counts only when it has lasted.
      floorMs: denyMode === 'timeout' ? Math.max(SILENCE_MS, shipFloorMs) : shipFloorMs,
      name: 'ship',
      tookMs: drainedMs - lastRefusedAtMs,
    },
    {floorMs: 0, name: 'stop', tookMs: pausedMs - drainedMs},
    {floorMs: 0, name: 'switch', tookMs: servesMs - pausedMs},
  ]
  if (denyMode === 'timeout' && sourceClosedAtMs !== undefined) {
    const floorMs = Math.max(0, (closedSeenAtMs ?? sourceClosedAtMs) - servesMs)
    parts.push({floorMs, name: 'clients', tookMs: sourceClosedAtMs - servesMs})
  }

  return parts
}

/** From the first failed write until writes work again, as clients see it; without their own time-out, in `timeout` mode. */
export function clientsWindow(window: WriteDenyWindow, denyMode: DenyMode): undefined | {maxMs: number; minMs: number} {
  const {closedFirstAtMs, firstRefusedAtMs, switchedAtMs, windowMs} = window
  if (windowMs === undefined || firstRefusedAtMs === undefined || switchedAtMs === undefined) return undefined
  const minMs =
    denyMode === 'timeout' && closedFirstAtMs !== undefined
      ? Math.min(windowMs, closedFirstAtMs - firstRefusedAtMs)
      : windowMs
  return {maxMs: windowMs + CLIENT_REST_MS, minMs}
}
