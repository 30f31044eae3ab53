import assert from 'node:assert/strict'
import {execFileSync} from 'node:child_process'
import fc from 'fast-check'
import {shellQuote} from '../../../src/lib/shell-quote.js'
import {formatDuration, jsonText, paragraph, printable, printableLines, wrap} from '../../../src/lib/ui/text.js'

describe('JSON for a terminal', () => {
  it('is the same value, and steers nothing', () => {
    const value = {'k\u{9B}': ['\u{1B}[2J', 'a\nb', '\u{202E}\u{2028}\u{FEFF}\u{E0041}é'], n: 1}
    const text = jsonText(value)
    assert.deepEqual(JSON.parse(text), value)
    assert.doesNotMatch(text.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
    assert.match(text, /"\\u202e\\u2028\\ufeff\\udb40\\udc41é"/)
    assert.equal(jsonText([]), '[]')
  })
})

describe('text for people', () => {
  it('lets no control character, escape sequence or direction mark through', () => {
    assert.equal(
      printable('a\u001B[2Jb\r\u0007\u009B31m\u202Ec\n'),
      'a\\u001b[2Jb\\u000d\\u0007\\u009b31m\\u202ec\\u000a',
    )
    fc.assert(
      fc.property(fc.string({unit: 'binary'}), (text) => {
        assert.doesNotMatch(printable(text), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
      }),
    )
  })

  it('leaves ordinary text of any script as it is', () => {
    assert.equal(printable('tabelle-ä 表 😀'), 'tabelle-ä 表 😀')
    assert.deepEqual(printableLines('one\r\ntwo\tthree'), ['one', 'two  three'])
  })

  it('says durations in the units that a person reads', () => {
    const said = [0, 999, 1000, 59_949, 59_950, 61_000, 3_600_000, 7_500_000].map((ms) => formatDuration(ms))
    assert.deepEqual(said, ['0 ms', '999 ms', '1.0 s', '59.9 s', '1 min', '1 min 1 s', '1 h', '2 h 5 min'])
  })

  it('wraps without losing or adding a letter, and keeps to the width', () => {
    fc.assert(
      fc.property(
        fc.array(fc.stringMatching(/^[a-z]{1,30}$/), {minLength: 1}),
        fc.integer({max: 40, min: 5}),
        (words, width) => {
          const lines = wrap(words.join(' '), width)
          assert.ok(lines.every((line) => line.length <= width))
          assert.equal(lines.join('').replaceAll(' ', ''), words.join(''))
        },
      ),
    )
  })

  it('indents a paragraph, its first line differently', () => {
    assert.deepEqual(paragraph('one two three four five six', '    ', 24, '  - '), [
      '  - one two three four',
      '    five six',
    ])
  })

  it('quotes words so that a shell gives them back', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.string({unit: 'grapheme'}).filter((word) => !word.includes('\0')),
          {maxLength: 4},
        ),
        (words) => {
          const line = `printf '%s\\0' ${words.map((word) => shellQuote(word)).join(' ')}`
          const printed = execFileSync('sh', ['-c', line], {encoding: 'utf8'})
          assert.equal(printed, words.length === 0 ? '\0' : `${words.join('\0')}\0`)
        },
      ),
      {numRuns: 30},
    )
    assert.equal(shellQuote('10.0.0.1:34601,10.0.0.2:34601'), '10.0.0.1:34601,10.0.0.2:34601')
  })
})
