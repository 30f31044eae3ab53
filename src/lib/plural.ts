/* Numbers before nouns. */

/** `12,345` */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}

/** `1 partition`, `8 partitions`, `12,345 rows`; @param many where an `s` does not do: `primaries`, `rows are` */
export function plural(count: number, one: string, many?: string): string {
  return `${formatCount(count)} ${nounOf(count, one, many)}`
}

/** The noun alone, before a list: `partition 3`, `partitions 3, 5`. */
export function nounOf(count: number, one: string, many = `${one}s`): string {
  return count === 1 ? one : many
}
