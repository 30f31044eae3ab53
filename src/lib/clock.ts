import {setMaxListeners} from 'node:events'
import {setTimeout as setNodeTimeout} from 'node:timers'

/** A pending callback; `cancel` after it fired does nothing. */
export interface Timer {
  cancel(): void
}

/**
 * The only source of time in this project. Everything that waits takes one, so that tests run on a
 * scaled clock and simulations on a virtual one.
 */
export interface Clock {
  /** Monotonic milliseconds; only differences mean anything. */
  nowMs(): number
  /** Calls back once, `delayMs` from now. */
  setTimer(delayMs: number, callback: () => void): Timer
  /** Milliseconds since 1970-01-01 UTC. */
  wallMs(): number
}

/** The machine's clock. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  setTimer(delayMs, callback) {
    const handle = setNodeTimeout(callback, Math.max(0, delayMs))
    return {cancel: () => clearTimeout(handle)}
  },
  wallMs: () => Date.now(),
}

/** A clock on which `scale` seconds pass in one second of `base`, starting at the base's present. */
export function scaledClock(scale: number, base: Clock = systemClock): Clock {
  const startNowMs = base.nowMs()
  const startWallMs = base.wallMs()
  const elapsedMs = () => (base.nowMs() - startNowMs) * scale
  return {
    nowMs: () => startNowMs + elapsedMs(),
    setTimer: (delayMs, callback) => base.setTimer(delayMs / scale, callback),
    wallMs: () => Math.round(startWallMs + elapsedMs()),
  }
}

/**
 * Resolves after `delayMs`.
 * @throws the signal's reason as soon as it is aborted.
 */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason)
      return
    }

    const onAbort = () => {
      timer.cancel()
      reject(signal!.reason)
    }

    const timer = clock.setTimer(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, {once: true})
  })
}

/** A signal that aborts after `timeoutMs` with `reason()`, or with one of its parents; `dispose` stops the timer. */
export interface Deadline {
  dispose(): void
  signal: AbortSignal
}

/** Joins a time limit on `clock` to parent signals, if there are any. */
export function deadline(
  clock: Clock,
  timeoutMs: number,
  reason: () => Error,
  ...parents: (AbortSignal | undefined)[]
): Deadline {
  const controller = new AbortController()
  // Hundreds of calls may be under way on one limit; each takes its listener away again.
  setMaxListeners(0, controller.signal)
  const onParentAbort = () => controller.abort(parents.find((parent) => parent?.aborted)!.reason)
  const timer = clock.setTimer(timeoutMs, () => controller.abort(reason()))
  for (const parent of parents) {
    if (parent?.aborted) onParentAbort()
    else parent?.addEventListener('abort', onParentAbort, {once: true})
  }

  return {
    dispose() {
      timer.cancel()
      for (const parent of parents) parent?.removeEventListener('abort', onParentAbort)
    },
    signal: controller.signal,
  }
}
