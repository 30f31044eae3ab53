/** A source of numbers in [0, 1) that a seed fixes: simulations repeat exactly. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d_2b_79_f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A range of milliseconds, drawn from evenly. */
export type RangeMs = readonly [number, number]

export function pick(random: () => number, [low, high]: RangeMs): number {
  return low + random() * (high - low)
}
