/** Runs `work` on every item, at most `atOnce` at a time. @throws the first error, without beginning any more */
export async function forEachBounded<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < items.length) await work(items[next++]!)
  }

  await Promise.all(Array.from({length: Math.min(atOnce, items.length)}, worker))
}
