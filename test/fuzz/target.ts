/** One entrance through which bytes of strangers come in. */
export interface Target {
  name: string
  /** Makes another input out of one; default: bytes and tokens are changed blindly. */
  mutate?(input: Buffer, random: () => number): Buffer
  /**
   * Takes one input. Throws what the code under test throws; anything but a MigratorError is a finding.
   * @returns how it ended, in a few words: a new ending makes an input worth keeping
   */
  run(input: Buffer): Promise<string> | string
  /** Good inputs to begin with. */
  seeds(): Buffer[]
}

/** A whole number in [0, below). */
export function below(random: () => number, limit: number): number {
  return Math.floor(random() * limit)
}

export function oneOf<T>(random: () => number, from: readonly T[]): T {
  return from[below(random, from.length)]!
}

/** What kind of thing came out, so that two endings can be told apart. */
export function shapeOf(value: unknown, depth = 0): string {
  if (value === null || typeof value !== 'object') return typeof value
  if (Buffer.isBuffer(value)) return value.length === 0 ? 'no bytes' : 'bytes'
  const parts = value instanceof Map ? [...value.values()] : Object.values(value)
  const name = value.constructor?.name ?? 'object'
  if (depth > 0) return name
  return `${name}(${[...new Set(parts.slice(0, 12).map((part) => shapeOf(part, depth + 1)))].sort().join(' ')})`
}
