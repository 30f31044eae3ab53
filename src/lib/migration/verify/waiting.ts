/**
 * `promise`, or the signal's reason as soon as it is aborted. What comes of the promise afterwards is not looked at:
 * an aborted comparison has no use for it.
 */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort: (() => void) | undefined
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, {once: true})
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort!)
  }
}

/**
 * Runs `work` on every item, `parallel` at once. The first error is told to `onError` at once, so that it may abort the
 * others, and thrown after those under way have ended.
 */
export async function eachInParallel<T>(
  items: Iterable<T>,
  parallel: number,
  work: (item: T) => Promise<void>,
  onError: (error: unknown) => void = () => {},
): Promise<void> {
  const queue = items[Symbol.iterator]()
  const failures: unknown[] = []
  const worker = async () => {
    for (let next = queue.next(); !next.done && failures.length === 0; next = queue.next()) {
      try {
        await work(next.value)
      } catch (error) {
        if (failures.push(error) === 1) onError(error)
      }
    }
  }

  await Promise.all(Array.from({length: Math.max(1, parallel)}, worker))
  if (failures.length > 0) throw failures[0]
}
