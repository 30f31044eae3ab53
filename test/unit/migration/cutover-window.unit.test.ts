import assert from 'node:assert/strict'
import {clockTime, nextOpening, windowLengthMs} from '../../../src/lib/migration/cutover-window.js'
import {parseCutoverWindow} from '../../../src/lib/ui/parse.js'

const NEED_MS = 120_000
const at = (text: string) => new Date(text).getTime()

describe('the cutover window', () => {
  const opening = (window: string, now: string, needMs = NEED_MS) => {
    const found = nextOpening(parseCutoverWindow(window), at(now), needMs)
    return found && [new Date(found.opensAtMs).toISOString(), new Date(found.closesAtMs).toISOString()]
  }

  const iso = (text: string) => new Date(text).toISOString()
  const cases: [string, string, string, string, string][] = [
    ['later today', '02:00-05:00', '2026-11-22T01:00:00', '2026-11-22T02:00:00', '2026-11-22T05:00:00'],
    ['open now', '02:00-05:00', '2026-11-22T03:15:00', '2026-11-22T03:15:00', '2026-11-22T05:00:00'],
    ['just long enough', '02:00-05:00', '2026-11-22T04:58:00', '2026-11-22T04:58:00', '2026-11-22T05:00:00'],
    ['too late today', '02:00-05:00', '2026-11-22T04:58:01', '2026-11-23T02:00:00', '2026-11-23T05:00:00'],
    ['over for today', '02:00-05:00', '2026-11-22T12:00:00', '2026-11-23T02:00:00', '2026-11-23T05:00:00'],
    ['over midnight, before', '22:00-04:00', '2026-11-22T20:00:00', '2026-11-22T22:00:00', '2026-11-23T04:00:00'],
    [
      'over midnight, begun yesterday',
      '22:00-04:00',
      '2026-11-22T01:00:00',
      '2026-11-22T01:00:00',
      '2026-11-22T04:00:00',
    ],
    ['at the end of a year', '00:30-01:00', '2026-12-31T23:00:00', '2027-01-01T00:30:00', '2027-01-01T01:00:00'],
  ]
  for (const [what, window, now, opens, closes] of cases) {
    it(`is found: ${what}`, () => assert.deepEqual(opening(window, now), [iso(opens), iso(closes)]))
  }

  it('is never found when it is too short', () => {
    assert.equal(opening('02:00-02:01', '2026-11-22T01:00:00'), undefined)
    assert.equal(windowLengthMs(parseCutoverWindow('02:00-02:01')), 60_000)
    assert.equal(windowLengthMs(parseCutoverWindow('22:00-04:00')), 6 * 3_600_000)
  })

  it('keeps to the hours of the clock when it is changed', () => {
    const before = process.env.TZ
    process.env.TZ = 'Europe/Berlin'
    try {
      // Clocks went from 2:00 to 3:00 in the night to 2026-03-29.
      const found = nextOpening(parseCutoverWindow('04:00-05:00'), at('2026-03-28T12:00:00+01:00'), NEED_MS)!
      assert.equal(found.opensAtMs, at('2026-03-29T04:00:00+02:00'))
      assert.equal(clockTime(found.opensAtMs), '04:00')
    } finally {
      if (before === undefined) delete process.env.TZ
      else process.env.TZ = before
    }
  })

  for (const input of ['2-5', '02:00', '24:00-01:00', '02:60-03:00', '02:00-02:00', '02:00 - 05:00', ''])
    it(`is not ${JSON.stringify(input)}`, () => assert.throws(() => parseCutoverWindow(input), {code: 'usage'}))
})
