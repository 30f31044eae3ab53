const TICKS = '▁▂▃▄▅▆▇█'
/** Samples that are kept: what a wide terminal can show. */
const MOST_SAMPLES = 40
const SAMPLE_EVERY_MS = 1000

/** `█████░░░░░`: `part` of `whole` in `width` characters. */
export function bar(part: number, whole: number, width: number): string {
  const share = whole <= 0 ? 0 : Math.min(1, Math.max(0, part / whole))
  // What is not whole yet never looks so.
  const filled = share === 1 ? width : Math.min(width - 1, Math.round(share * width))
  return '█'.repeat(filled) + '░'.repeat(width - filled)
}

/** The last `width` of `values` as heights between nothing and the largest of them. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.slice(-width)
  const most = Math.max(...shown, 1)
  return shown.map((value) => TICKS[Math.round((Math.max(0, value) / most) * (TICKS.length - 1))]).join('')
}

/** A figure over time, one sample a second. */
export class History {
  private lastAtMs = Number.NEGATIVE_INFINITY
  private readonly samples: number[] = []

  add(value: number, atMs: number): void {
    if (atMs - this.lastAtMs < SAMPLE_EVERY_MS) this.samples.pop()
    else this.lastAtMs = atMs
    this.samples.push(value)
    if (this.samples.length > MOST_SAMPLES) this.samples.shift()
  }

  get values(): readonly number[] {
    return this.samples
  }
}
