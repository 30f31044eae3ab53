const keysRemembered = 64
const positionsRemembered = 64

/**
 * Finds places to begin a sample at. Servers seek to a key but know no "row number n", and evenly random bytes would
 * nearly always fall between keys that are text; so guesses are made of the bytes that keys seen so far have at the
 * same positions, with an arbitrary byte now and then for what has not been seen.
 */
export class KeyGuesser {
  private readonly bytesAt: Set<number>[] = []
  private readonly keys: Buffer[] = []
  private keysSeen = 0

  constructor(private readonly random: () => number) {}

  /** A key at random; below every possible end of a partition (FF FF). */
  guess(): Buffer {
    const model = this.keys[this.below(this.keys.length)] ?? Buffer.alloc(8)
    const cut = this.below(Math.min(model.length, positionsRemembered) + 1)
    const guess = Buffer.from(model.subarray(0, positionsRemembered))
    for (let position = cut; position < guess.length; position++)
      guess[position] = this.byteAt(position, position === cut)
    // The length of a hash key is at most FF FE, and a range that begins at FF FF would be taken for an empty one.
    if (guess.length > 1 && guess[0] === 0xff && guess[1] === 0xff) guess[1] = 0xfe
    return guess
  }

  learn(key: Buffer): void {
    this.keysSeen++
    // Every key has the same chance of being among those remembered.
    const slot = this.keys.length < keysRemembered ? this.keys.length : this.below(this.keysSeen)
    if (slot >= keysRemembered) return
    this.keys[slot] = Buffer.from(key)
    for (let position = 0; position < Math.min(key.length, positionsRemembered); position++) {
      const bytes = this.bytesAt[position]
      if (bytes) bytes.add(key[position]!)
      else this.bytesAt[position] = new Set([key[position]!])
    }
  }

  private below(count: number): number {
    return Math.floor(this.random() * count)
  }

  private byteAt(position: number, first: boolean): number {
    const known = [...(this.bytesAt[position] ?? [])]
    if (known.length === 0 || (first && this.random() < 0.5)) return this.below(256)
    return known[this.below(known.length)]!
  }
}
