/* What a value that somebody else wrote must be before it is used. */

/** Milliseconds since 1970 that a date can hold. */
export function isInstant(value: unknown): value is number {
  return typeof value === 'number' && !Number.isNaN(new Date(value).getTime())
}

/** A process of a system: never 0 or less, which mean groups of them. */
export function isPid(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0
}

/** A list of texts. */
export function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((text) => typeof text === 'string')
}
