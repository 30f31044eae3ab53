import assert from 'node:assert/strict'

import {RequestCounter} from '../../../bench/request-counter.js'
import type {PhaseId} from '../../../src/lib/migration/index.js'
import {Simulation} from '../../simulation/simulation.js'

/** Phases in which nobody waits: rows are compared in Verify, and the others are the cutover. */
const calm: ReadonlySet<string> = new Set<PhaseId>(['duplicate', 'catch-up', 'finish'])

describe('what a migration asks of servers', function () {
  this.timeout(120_000)
  let simulation: Simulation
  afterEach(() => simulation.stop())

  for (const [profile, fastCutover] of [
    ['2.4', 'auto'],
    ['2.5', 'auto'],
    ['2.5', 'off'],
    ['master', 'auto'],
  ] as const) {
    it(`is one request a server and second at most while nothing is denied on ${profile}${fastCutover === 'off' ? ' with --no-fast-cutover' : ''}`, async () => {
      simulation = await Simulation.open({
        load: {keys: 100, writers: 6, writesPerSecond: 60},
        partitionCount: 8,
        profile,
        realTimers: true,
        seed: 5,
      })
      const {clock, source, target} = simulation
      const counter = new RequestCounter(clock, [source, target])
      const driver = simulation.migrate(
        {
          onEvent(event) {
            if (event.type === 'phase-started') counter.begin(event.phase)
            if (event.type === 'phase-finished') counter.end()
          },
        },
        {fastCutover, maxWriteDenyMs: 400_000},
      )
      const result = await simulation.run(driver.result)
      assert.equal(result.outcome, 'migrated', result.error?.message)
      const figures = counter.figures().filter(({to}) => to === 'servers')
      for (const {peakPerSecond, perSecond, phase} of figures) {
        if (!calm.has(phase)) continue
        assert.ok(perSecond > 0 && perSecond <= 1, `${phase}: ${perSecond} a second`)
        assert.equal(peakPerSecond, 1, `${phase}: ${peakPerSecond} in one second`)
      }

      // Where time counts they are asked as often as it helps.
      assert.ok(figures.find(({phase}) => phase === 'drain')!.perSecond > 2)
      // The budget makes a migration only a little longer.
      const tookMs = result.phases.reduce((sum, {durationMs}) => sum + durationMs, 0)
      assert.ok(tookMs < 240_000, `${tookMs} ms`)
    })
  }
})
