import {malformed} from '../rpc/memory-transport.js'
import {excerpt} from '../rpc/rpc-errors.js'

/* Reading JSON that a server sent. All throw MigratorError rpc.malformed. */

/** A value takes up to thirty times the memory of its text, and a second for some millions: a server sends a few thousand. */
const MAX_VALUES = 500_000

/** @throws MigratorError rpc.malformed where a text would come to more values than any server sends */
export function checkValues(text: string, what: string): void {
  let count = 0
  for (const mark of ['{', '[', ','])
    for (let at = text.indexOf(mark); at !== -1; at = text.indexOf(mark, at + 1))
      if (++count > MAX_VALUES) throw malformed(`${what} has more than ${MAX_VALUES} values`)
}

export function parseJson(text: string, what: string): unknown {
  checkValues(text, what)
  try {
    return JSON.parse(text)
  } catch (error) {
    throw malformed(`${what} is no JSON: ${excerpt(text)}`, error)
  }
}

export function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(`${what} is no object`)
  return value as Record<string, unknown>
}

export function arrayOf(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw malformed(`${what} is no list`)
  return value as unknown[]
}

export function numberIn(object: Record<string, unknown>, key: string): number {
  const value = object[key]
  if (typeof value !== 'number' || !Number.isFinite(value)) throw malformed(`${key} is no number`)
  return value
}

export function textIn(object: Record<string, unknown>, key: string): string {
  const value = object[key]
  if (typeof value !== 'string') throw malformed(`${key} is no text`)
  return value
}

export function booleanIn(object: Record<string, unknown>, key: string): boolean {
  const value = object[key]
  if (typeof value !== 'boolean') throw malformed(`${key} is neither true nor false`)
  return value
}
