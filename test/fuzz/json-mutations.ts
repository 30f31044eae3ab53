import {mutateBytes, TOKENS} from './mutations.js'
import {below, oneOf} from './target.js'

/* Changes that leave JSON what it is: another value, one more key, one less, a value where another kind belongs. */

const VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e300,
  -1e300,
  2 ** 53 + 2,
  2 ** 31,
  '',
  'x',
  [],
  {},
  [[]],
  [null],
  {a: null},

  '8.64e15',
  '2026-11-22T00:00:00.000Z',
  '999999-99-99',
  '1.1',
  '../../x',
  'digest:u:p',
  '127.0.0.1:34601',
  'toString',
  'constructor',
  '__proto__',
  'before',
  'after',
  'begin',
  'end',
  'deny',
  'word',
  'set-server-config',
]

type Holder = Record<string, unknown> | unknown[]

function holdersOf(value: unknown, found: Holder[] = []): Holder[] {
  if (typeof value !== 'object' || value === null || found.length > 500) return found
  found.push(value as Holder)
  for (const part of Object.values(value)) holdersOf(part, found)
  return found
}

function change(holder: Holder, random: () => number, others: readonly Holder[]): void {
  const keys = Object.keys(holder)
  const key =
    keys.length === 0 || random() < 0.1 ? oneOf(random, ['__proto__', '0', 'kind', 'x', 'length']) : oneOf(random, keys)
  if (key === 'length' && Array.isArray(holder)) return
  const target = holder as Record<string, unknown>
  const kind = below(random, 5)
  switch (kind) {
    case 0: {
      delete target[key]
      break
    }

    case 1: {
      target[key] = structuredClone(oneOf(random, others))
      break
    }

    case 2: {
      target[oneOf(random, [...keys, key])] = oneOf(random, TOKENS)
      break
    }

    default: {
      if (key !== 'length') target[key] = oneOf(random, VALUES)
    }
  }
}

/** Another text of JSON; undefined when it is none. */
export function mutateJson(text: string, random: () => number): string | undefined {
  let root: unknown
  try {
    root = JSON.parse(text)
  } catch {
    return undefined // mutated blindly before: the caller goes on blindly
  }

  if (random() < 0.03) return JSON.stringify(oneOf(random, VALUES))
  const holders = holdersOf(root)
  for (let left = 1 + below(random, 3); left > 0 && holders.length > 0; left--)
    change(oneOf(random, holders), random, holders.slice(-3))
  return JSON.stringify(root)
}

/** For inputs that are JSON from their first byte to their last. */
export function mutateAsJson(input: Buffer, random: () => number): Buffer {
  const changed = random() < 0.6 ? mutateJson(input.toString('utf8'), random) : undefined
  return changed === undefined ? mutateBytes(input, random) : Buffer.from(changed)
}

/** For inputs with JSON on some of their lines. */
export function mutateJsonLines(input: Buffer, random: () => number): Buffer {
  if (random() < 0.4) return mutateBytes(input, random)
  const lines = input.toString('utf8').split('\n')
  const at = below(random, lines.length)
  const changed = mutateJson(lines[at]!, random)
  if (changed === undefined) return mutateBytes(input, random)
  lines[at] = changed
  return Buffer.from(lines.join('\n'))
}
