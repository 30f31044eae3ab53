import assert from 'node:assert/strict'

import {effectKinds} from '../../src/lib/migration/effects.js'
import {record, scenarios} from './scenarios.js'

/** Kinds that no scenario performs, and why that is right. Empty: the matrix meets them all. */
const unreached: Record<string, string> = {}

describe('crash matrix', function () {
  this.timeout(120_000)

  it('meets every kind of effect there is', async () => {
    const met = new Set<string>()
    for (const scenario of scenarios) for (const {kind} of (await record(scenario)).effects) met.add(kind)
    const missing = effectKinds.filter((kind) => !met.has(kind))
    assert.deepEqual(missing, Object.keys(unreached), 'give a new effect a scenario in test/crash/scenarios.ts')
  })
})
