const keysRemembered = 64
const positionsRemembered = 64

/**
 * Finds places to begin a sample at. Servers seek to a key but know no "row number n", and evenly random bytes would
 * nearly always fall between keys that are text. So a guess begins as a key that was seen, and goes on with bytes that
 * were seen: at the same position or, because neighbours have long beginnings in common, anywhere; and with an arbitrary
 * byte now and then.
 */
export class KeyGuesser {
  private readonly bytesAnywhere = new Set<number>()
  private readonly bytesAt: Set<number>[] = []
  private readonly keys: Buffer[] = []
  private keysSeen = 0

  constructor(private readonly random: () => number) {}

  /** A key at random; below every possible end of a partition (FF FF). */
  guess(): Buffer {
    const model = this.keys[this.below(this.keys.length)] ?? Buffer.alloc(8)
    const cut = this.below(Math.min(model.length, positionsRemembered) + 1)
    const guess = Buffer.from(model.subarray(0, positionsRemembered))
    for (let position = cut; position < guess.length; position++) guess[position] = this.byteAt(position)
    // The length of a hash key is at most FF FE, and a range that begins at FF FF would be taken for an empty one.
    if (guess.length > 1 && guess[0] === 0xff && guess[1] === 0xff) guess[1] = 0xfe
    return guess
  }

  learn(key: Buffer): void {
    this.keysSeen++
    for (let position = 0; position < Math.min(key.length, positionsRemembered); position++) {
      const bytes = this.bytesAt[position]
      if (bytes) bytes.add(key[position]!)
      else this.bytesAt[position] = new Set([key[position]!])
      this.bytesAnywhere.add(key[position]!)
    }

    // Every key has the same chance of being among those remembered.
    const slot = this.keys.length < keysRemembered ? this.keys.length : this.below(this.keysSeen)
    if (slot < keysRemembered) this.keys[slot] = Buffer.from(key)
  }

  private below(count: number): number {
    return Math.floor(this.random() * count)
  }

  private byteAt(position: number): number {
    const choice = this.random()
    if (choice < 0.1) return this.below(256)
    const known = [...((choice < 0.5 ? this.bytesAt[position] : undefined) ?? this.bytesAnywhere)]
    return known[this.below(known.length)] ?? this.below(256)
  }
}
