import {setMaxListeners} from 'node:events'

/** Many calls listen to the signal that their caller gave them: Node's warning of a leak at the eleventh is wrong here. */
export function allowListeners(signal: AbortSignal | undefined): void {
  if (signal) setMaxListeners(0, signal)
}

/** `promise`, or the signal's reason as soon as it is aborted. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, {once: true})
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
