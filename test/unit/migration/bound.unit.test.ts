import assert from 'node:assert/strict'

import {Bound, tellExceeded} from '../../../src/lib/migration/bound.js'
import type {MigrationState} from '../../../src/lib/migration/context.js'
import {VirtualClock} from '../../sandbox/virtual-clock.js'
import {ScriptedMigration} from '../../support/scripted-migration.js'

/** Of 120 s, less a config sync of 30 s and a margin of 2 s. */
const LIMIT_MS = 88_000
const AGAIN = 'Run the same command again at a quieter time, or with a larger --max-write-deny.'
const tooLong =
  'the cutover of users did not fit into --max-write-deny 120s: after 88 s the deny must be taken back, which takes up to 32 s'
const stoodStill = (seconds: number) =>
  `this machine or this process stood still for ${seconds} s while writes to users were denied: nothing could be done for them meanwhile`

/** A machine that may sleep, and a process that may be stopped: its timers come late then. */
class UnsteadyClock extends VirtualClock {
  /** Passed on the wall only. */
  sleptMs = 0
  stoppedMs = 0

  override nowMs(): number {
    return super.nowMs() + this.stoppedMs
  }

  override wallMs(): number {
    return super.wallMs() + this.stoppedMs + this.sleptMs
  }
}

describe('the bound of a cutover', () => {
  let clock: UnsteadyClock
  let script: ScriptedMigration
  let bound: Bound

  const scripted = (maxWriteDenyMs: number, {dryRun = false} = {}) => {
    clock = new UnsteadyClock()
    script = new ScriptedMigration({maxWriteDenyMs}, {clock, dryRun})
    bound = new Bound(script.context)
  }

  beforeEach(() => scripted(120_000))

  describe('is over', () => {
    it('so early that the servers still hear of the lift in time', async () => {
      bound.arm()
      await clock.advance(LIMIT_MS - 1)
      assert.equal(bound.signal.aborted, false)
      await clock.advance(1)
      const {code, message, next} = bound.signal.reason
      assert.deepEqual({code, message, next}, {code: 'cutover.bound', message: tooLong, next: AGAIN})
      assert.deepEqual(script.events, [])
    })

    it('at that time counted from when it is armed, and never before that', async () => {
      await clock.advance(200_000)
      bound.arm()
      await clock.advance(LIMIT_MS - 1)
      assert.equal(bound.signal.aborted, false)
      await clock.advance(1)
      assert.equal(bound.signal.aborted, true)
    })

    it('at once where the lift takes as long as writes may be denied', async () => {
      scripted(1000, {dryRun: true})
      bound.arm()
      assert.equal(bound.signal.aborted, false)
      await clock.advance(1)
      assert.match(bound.signal.reason.message, /--max-write-deny 1s: after 0 s the deny must be taken back/)
    })

    const windows: [string, MigrationState['window'], string][] = [
      ['that not all were', {setAtMs: 1000}, '; not every primary was seen to refuse writes in that time'],
      ['when it was proved', {provedAtMs: 3460, setAtMs: 1000}, '; the last primary refused writes after 2.5 s'],
      [
        'when the last one was',
        {lastRefusedAtMs: 2900, provedAtMs: 3460, setAtMs: 1000},
        '; the last primary refused writes after 1.9 s',
      ],
    ]
    for (const [what, window, told] of windows)
      it(`and tells of the primaries that were to refuse writes: ${what}`, async () => {
        bound.arm()
        script.state.window = window
        await clock.advance(LIMIT_MS)
        assert.equal(bound.signal.reason.message, tooLong + told)
      })

    it('with the run, whenever that is told to stop', () => {
      const why = new Error('Ctrl-C')
      script.abort.abort(why)
      assert.equal(bound.signal.reason, why)
      assert.equal(new Bound(script.context).signal.reason, why)
    })

    it('for another reason, which is the first one then; nobody watches any more', async () => {
      bound.arm()
      const why = new Error('somebody else switched')
      bound.giveUp(why)
      await clock.advance(1000)
      clock.sleptMs = 200_000
      await clock.advance(LIMIT_MS)
      assert.deepEqual([bound.signal.reason, script.events], [why, []])
    })

    it('never, once it is disposed of', async () => {
      bound.arm()
      bound.dispose()
      script.abort.abort(new Error('Ctrl-C'))
      clock.sleptMs = 200_000
      await clock.advance(LIMIT_MS)
      assert.deepEqual([bound.signal.aborted, script.events], [false, []])
    })

    it('never where it was not armed, nor is there anything to dispose of', async () => {
      bound.dispose()
      await clock.advance(LIMIT_MS)
      assert.equal(bound.signal.aborted, false)
    })
  })

  describe('is not armed', () => {
    const needs = async (configSyncMs: number, sumMs: number, needed: string) => {
      script.state.timers = {configSyncMs, groupCheckMs: 10_000}
      const timers = `config sync ${configSyncMs / 1000} s twice, group check 10 s twice, shipping and switch`
      assert.throws(() => bound.arm(), {
        code: 'cutover.no_fit',
        facts: {sumMs},
        message: `the cutover of users needs ${needed} s as the servers' timers are now (${timers}), allowed are 60 s`,
        next: `Nothing was denied. Allow --max-write-deny ${needed}s, or lower the servers' timers.`,
      })
      await clock.advance(200_000)
      assert.equal(bound.signal.aborted, false)
    }

    beforeEach(() => scripted(60_000))

    it('where the servers’ timers need more', () => needs(30_000, 94_000, '94'))

    it('where master’s do, which ships without an empty write', () => {
      script.source.generation = 'master'
      script.state.timers = {configSyncMs: 30_000, groupCheckMs: 10_000}
      assert.throws(() => bound.arm(), {
        code: 'cutover.no_fit',
        message:
          "the cutover of users needs 74 s as the servers' timers are now (config sync 30 s twice, shipping and switch), allowed are 60 s",
      })
    })

    it('for a part of a second, either', () => needs(13_001, 60_002, '61'))
  })

  describe('is armed', () => {
    it('where the servers’ timers need exactly that, or all of it', () => {
      scripted(94_000)
      bound.arm()
      bound.dispose()
      delete script.state.timers
      bound.arm()
      bound.dispose()
    })

    it('where master needs no empty write', () => {
      scripted(74_000)
      script.source.generation = 'master'
      bound.arm()
      bound.dispose()
    })

    it('in a rehearsal, which denies nothing', () => {
      scripted(60_000, {dryRun: true})
      bound.arm()
      bound.dispose()
    })
  })

  describe('where nothing could be done for a while', () => {
    const told = (seconds: number) => ({code: 'bound.standstill', message: stoodStill(seconds), type: 'warning'})

    beforeEach(async () => {
      bound.arm()
      await clock.advance(9500)
    })

    for (const way of ['sleptMs', 'stoppedMs'] as const)
      it(`tells so from 5 s on: ${way}`, async () => {
        clock[way] += 5000
        await clock.advance(1000)
        assert.deepEqual([script.events, script.state.standstill], [[], undefined])
        clock[way] += 5001
        await clock.advance(1000)
        assert.deepEqual([script.events, script.state.standstill], [[told(5)], stoodStill(5)])
        assert.equal(bound.signal.aborted, false)
      })

    it('tells each time, and remembers the last one', async () => {
      for (const seconds of [7, 9]) {
        clock.sleptMs += seconds * 1000
        await clock.advance(3000)
      }

      assert.deepEqual([script.events, script.state.standstill], [[told(7), told(9)], stoodStill(9)])
    })

    it('is over as soon as the wall clock says so', async () => {
      clock.sleptMs = LIMIT_MS - 10_000
      await clock.advance(1000)
      assert.deepEqual([script.events, bound.signal.aborted], [[told(78)], false])
      scripted(120_000)
      bound.arm()
      await clock.advance(9500)
      clock.sleptMs = LIMIT_MS - 10_000 + 1
      await clock.advance(1000)
      assert.deepEqual([script.told, bound.signal.reason.message], [['bound.standstill'], tooLong])
    })

    it('looks no more when it is over', async () => {
      clock.sleptMs = 200_000
      await clock.advance(1000)
      clock.sleptMs = 400_000
      await clock.advance(2000)
      assert.deepEqual(script.events, [told(200)])
    })
  })
})

describe('a bound that was not kept', () => {
  const exceeded = (window: MigrationState['window'], more: Partial<MigrationState> = {}) => {
    const script = new ScriptedMigration({maxWriteDenyMs: 120_000})
    Object.assign(script.state, more, {window})
    tellExceeded(script.context)
    return script.events
  }

  const told = (text: string, why: string) => [
    {
      code: 'bound.exceeded',
      message: `writes to users were denied for ${text} s, longer than --max-write-deny 120s: ${why}`,
      type: 'warning',
    },
  ]
  const heardLater = 'the servers heard later of it than their timers say'

  it('is told when writes work again, on the source or on the target', () => {
    assert.deepEqual(exceeded({liftedAtMs: 131_560, setAtMs: 1000}), told('130.6', heardLater))
    assert.deepEqual(exceeded({setAtMs: 1000, switchedAtMs: 121_001}), told('120.0', heardLater))
    assert.deepEqual(exceeded({liftedAtMs: 141_000, setAtMs: 1000, switchedAtMs: 121_001}), told('140.0', heardLater))
  })

  it('is told with its reason, first of all that nothing could be done', () => {
    const window = {liftedAtMs: 131_000, setAtMs: 1000}
    const mendingTrouble = 'no meta answers'
    assert.deepEqual(exceeded(window, {mendingTrouble}), told('130.0', mendingTrouble))
    assert.deepEqual(exceeded(window, {mendingTrouble, standstill: 'it slept'}), told('130.0', 'it slept'))
  })

  it('is not one that was kept to the end, nor where nothing was denied or nothing ended', () => {
    for (const window of [
      {liftedAtMs: 121_000, setAtMs: 1000},
      {liftedAtMs: 1000, setAtMs: 1000, switchedAtMs: 131_000},
      {liftedAtMs: 131_000},
      {setAtMs: 1000},
      {},
    ])
      assert.deepEqual(exceeded(window), [])
  })
})
