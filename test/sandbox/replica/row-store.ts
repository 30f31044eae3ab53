/** A row as stored; replaced as a whole, never changed, so that snapshots may share it. */
export interface Row {
  /** 0: never; else seconds since 2016. */
  expireTs: number
  key: Buffer
  value: Buffer
}

/**
 * Rows of a partition in order of their key's bytes, as rocksdb keeps them. The order is made when somebody reads
 * it: loading is quick, and scans share one snapshot until the next write.
 */
export class RowStore {
  /** Keys and values together. */
  bytes = 0
  private rows = new Map<string, Row>()
  private sorted: Row[] | undefined = []

  get size(): number {
    return this.rows.size
  }

  get(key: Buffer): Row | undefined {
    return this.rows.get(key.toString('latin1'))
  }

  put(key: Buffer, value: Buffer, expireTs: number): void {
    // Copies: what comes in are views of whole messages.
    const name = key.toString('latin1')
    const old = this.rows.get(name)
    this.rows.set(name, {expireTs, key: Buffer.from(key), value: Buffer.from(value)})
    this.bytes += key.length + value.length - (old ? old.key.length + old.value.length : 0)
    this.sorted = undefined
  }

  remove(key: Buffer): void {
    const name = key.toString('latin1')
    const old = this.rows.get(name)
    if (!old) return
    this.rows.delete(name)
    this.bytes -= old.key.length + old.value.length
    this.sorted = undefined
  }

  /** All rows in order, expired ones included; stays as it is while the store goes on changing. */
  snapshot(): readonly Row[] {
    if (!this.sorted) {
      const keys = [...this.rows.keys()].sort()
      this.sorted = keys.map((key) => this.rows.get(key)!)
    }

    return this.sorted
  }

  replaceAll(rows: readonly Row[]): void {
    this.rows = new Map(rows.map((row) => [row.key.toString('latin1'), row]))
    this.bytes = rows.reduce((sum, row) => sum + row.key.length + row.value.length, 0)
    this.sorted = undefined
  }
}

/** First index whose key is not below (`inclusive`) or is above `key`. */
export function lowerBound(rows: readonly Row[], key: Buffer, inclusive: boolean): number {
  let low = 0
  let high = rows.length
  while (low < high) {
    const middle = (low + high) >> 1
    const order = Buffer.compare(rows[middle]!.key, key)
    if (order < 0 || (order === 0 && !inclusive)) low = middle + 1
    else high = middle
  }

  return low
}
