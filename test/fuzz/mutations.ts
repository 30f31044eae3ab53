import {below, oneOf} from './target.js'

/* Changes that know nothing of the format. */

const MAX_BYTES = 64 * 1024
const INTEGERS = [0, 1, -1, 2, 127, 128, 255, 256, 32_767, 65_536, 1e9, 0x7f_ff_ff_ff, -0x80_00_00_00, 67_108_863]
const LONGS = [0n, -1n, 1n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 31n]

export const TOKENS = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ',',
  ':',
  '\\',
  '\n',
  '\r\n',
  '\0',
  '\t',
  ' ',
  ';',
  '=',
  '@',
  '.',
  '/',
  '../',
  '%',
  "'",
  '`',
  '$(',

  'null',
  'true',
  '-1',
  '1e999',
  '0',
  '1e308',
  '9007199254740993',
  'NaN',
  '{}',
  '[]',
  '""',
  '"kind"',
  '"__proto__"',

  '\u{1B}[2J',
  '\u{1B}]0;x\u{7}',
  '\u{9B}31m',
  '\u{202E}',
  '\u{2028}',
  '\u{FEFF}',
  '\u{D800}',
  '\u{E0041}',
  'é',
  '💣',
  '%2E%2E',
  '\\u0000',

  '[[[[[[[[[[[[[[[[',
  '{"a":{"a":{"a":',
  '1.1@127.0.0.1:1@P : ',
  'unknown command',
  'ERR_OK',
  'ERR_FORWARD_TO_OTHERS',
]

type Change = (input: Buffer, random: () => number) => Buffer

const splice = (input: Buffer, at: number, removed: number, added: Buffer) =>
  Buffer.concat([input.subarray(0, at), added, input.subarray(at + removed)])

/** A copy with `write` done to it at some place where `width` bytes fit. */
function patched(
  input: Buffer,
  width: number,
  random: () => number,
  write: (copy: Buffer, at: number) => void,
): Buffer {
  if (input.length < width) return input
  const copy = Buffer.from(input)
  write(copy, below(random, input.length - width + 1))
  return copy
}

const changes: Change[] = [
  (input, random) => patched(input, 1, random, (copy, at) => copy.writeUInt8(copy[at]! ^ (1 << below(random, 8)), at)),
  (input, random) => patched(input, 1, random, (copy, at) => copy.writeUInt8(below(random, 256), at)),
  (input, random) => patched(input, 4, random, (copy, at) => copy.writeInt32BE(oneOf(random, INTEGERS), at)),
  (input, random) => patched(input, 8, random, (copy, at) => copy.writeBigInt64BE(oneOf(random, LONGS), at)),
  (input, random) => input.subarray(0, below(random, input.length + 1)),
  (input, random) => splice(input, below(random, input.length + 1), below(random, 16), Buffer.alloc(0)),
  (input, random) => splice(input, below(random, input.length + 1), 0, Buffer.from(oneOf(random, TOKENS))),
  (input, random) =>
    splice(input, below(random, input.length + 1), below(random, 8), Buffer.from(oneOf(random, TOKENS))),
  (input, random) => {
    const from = below(random, input.length + 1)
    const piece = input.subarray(from, from + below(random, 64))
    return splice(
      input,
      below(random, input.length + 1),
      0,
      Buffer.concat(Array.from({length: 1 + below(random, 20)}, () => piece)),
    )
  },
  (input, random) => {
    const lines = input.toString('latin1').split('\n')
    lines.splice(below(random, lines.length), below(random, 3), oneOf(random, lines))
    return Buffer.from(lines.join('\n'), 'latin1')
  },
]

/** One to four of the changes. */
export function mutateBytes(input: Buffer, random: () => number): Buffer {
  let result = input
  for (let left = 1 + below(random, 4); left > 0; left--) result = oneOf(random, changes)(result, random)
  return result.subarray(0, MAX_BYTES)
}
