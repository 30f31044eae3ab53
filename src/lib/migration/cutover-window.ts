/** Hours of the day, local time, in which a cutover may take place; `toMinute` at or below `fromMinute`: over midnight. */
export interface CutoverWindow {
  /** Minutes since midnight. */
  fromMinute: number
  toMinute: number
}

/** When a cutover may begin, and when the window that it is in closes; wall clock, ms. */
export interface Opening {
  closesAtMs: number
  /** Not before `nowMs`. */
  opensAtMs: number
}

/**
 * The next moment, or now, from which a cutover of `needMs` ends before its window closes.
 * @returns undefined when no window is so long
 */
export function nextOpening({fromMinute, toMinute}: CutoverWindow, nowMs: number, needMs: number): Opening | undefined {
  const today = new Date(nowMs)
  // Days of the calendar, not of 24 hours: clocks are changed now and then. The window that began yesterday may still be open.
  for (const day of [-1, 0, 1, 2]) {
    const at = (minute: number, later = 0) =>
      new Date(today.getFullYear(), today.getMonth(), today.getDate() + day + later, 0, minute).getTime()
    const closesAtMs = at(toMinute, toMinute <= fromMinute ? 1 : 0)
    const opensAtMs = Math.max(nowMs, at(fromMinute))
    if (opensAtMs + needMs <= closesAtMs) return {closesAtMs, opensAtMs}
  }

  return undefined
}

/** Length of the window, ms. */
export function windowLengthMs({fromMinute, toMinute}: CutoverWindow): number {
  const minutes = toMinute - fromMinute
  return (minutes > 0 ? minutes : minutes + 1440) * 60_000
}

/** `02:00`, local time. */
export function clockTime(atMs: number): string {
  const at = new Date(atMs)
  return [at.getHours(), at.getMinutes()].map((part) => String(part).padStart(2, '0')).join(':')
}
