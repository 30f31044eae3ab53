/** A piece of key space, `from` inclusive, `to` exclusive; `to` undefined: to the end. */
export interface Gap {
  from: Buffer
  to: Buffer | undefined
}

/** Which pieces of a partition's key space have been compared; pieces that touch become one. */
export class Coverage {
  private pieces: Gap[] = []

  add(from: Buffer, to: Buffer | undefined): void {
    const merged: Gap = {from, to}
    const apart: Gap[] = []
    for (const piece of this.pieces) {
      if (endsBefore(piece, merged.from) || endsBefore(merged, piece.from)) {
        apart.push(piece)
        continue
      }

      if (Buffer.compare(piece.from, merged.from) < 0) merged.from = piece.from
      if (merged.to && (!piece.to || Buffer.compare(piece.to, merged.to) > 0)) merged.to = piece.to
    }

    this.pieces = [...apart, merged].sort((a, b) => Buffer.compare(a.from, b.from))
  }

  covers(key: Buffer): boolean {
    return this.pieces.some(({from, to}) => Buffer.compare(from, key) <= 0 && (!to || Buffer.compare(key, to) < 0))
  }

  /** The first piece at or after `key` that is not covered, beginning again at the front; undefined: all is. */
  gapAt(key: Buffer): Gap | undefined {
    return this.gapFrom(key) ?? this.gapFrom(Buffer.alloc(0))
  }

  private gapFrom(key: Buffer): Gap | undefined {
    let from = key
    for (const piece of this.pieces) {
      if (Buffer.compare(from, piece.from) < 0) return {from, to: piece.from}
      if (!piece.to) return undefined
      if (Buffer.compare(from, piece.to) < 0) from = piece.to
    }

    return {from, to: undefined}
  }
}

/** The key right behind this one: nothing lies between them. */
export function behind(key: Buffer): Buffer {
  return Buffer.concat([key, Buffer.of(0)])
}

function endsBefore(piece: Gap, key: Buffer): boolean {
  return piece.to !== undefined && Buffer.compare(piece.to, key) < 0
}
