import {systemClock} from '../../src/lib/clock.js'

/**
 * Waits for something that another process, or a library, has to do; a promise alone has no end.
 * @throws Error with `evidence` after `limitMs` of real time
 */
export async function within<T>(
  limitMs: number,
  what: string,
  promise: Promise<T>,
  evidence: () => string = () => '',
): Promise<T> {
  let cancel = () => {}
  const late = new Promise<never>((_resolve, reject) => {
    const timer = systemClock.setTimer(limitMs, () =>
      reject(new Error(`not there after ${limitMs / 1000} s: ${what}\n${evidence()}`)),
    )
    cancel = () => timer.cancel()
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    cancel()
  }
}
