import assert from 'node:assert/strict'

import fc from 'fast-check'

import {endings, moves, movesByHand, names, stateIds} from './machine.js'
import {type Move, Player} from './player.js'

/** Effects of a migration at which it may be stopped. */
const MOMENTS = [
  'effect:add-duplication',
  'done:add-duplication',
  'phase:catch-up',
  'phase:verify',
  'effect:deny',
  'done:deny',
  'effect:pause-duplication',
  'done:pause-duplication',
  'effect:switch-node',
  'done:switch-node',
  'effect:close-source',
  'done:close-source',
  'effect:remove-duplication',
  'done:remove-duplication',
  'effect:delete-target-envs',
]
/** Enough to meet every move; more with SIMULATION_MODEL_RUNS. */
const RUNS = Number(process.env.SIMULATION_MODEL_RUNS ?? 12)

const stopped = fc.record({
  at: fc.constantFrom(...MOMENTS),
  guard: fc.boolean(),
  kind: fc.constantFrom('killed' as const, 'killed' as const, 'interrupted' as const),
})
const simple = fc.record({
  kind: fc.constantFrom(
    'adopt' as const,
    'migrate' as const,
    'name-source' as const,
    'rollback' as const,
    'status' as const,
    'switch-by-hand' as const,
  ),
})
const anyMove: fc.Arbitrary<Move> = fc.oneof({arbitrary: stopped, weight: 2}, {arbitrary: simple, weight: 3})

describe('the phase machine', function () {
  this.timeout(600_000)

  it('has a way out of every state, by one command or by the hand that made it', () => {
    for (const state of stateIds) {
      const ends = [...endings.migrate[state].states, ...endings.rollback[state].states, ...(movesByHand[state] ?? [])]
      assert.ok(
        ends.some((end) => end === 'migrated' || end === 'idle' || end === 'shipping'),
        state,
      )
      assert.ok(names[state].length > 0)
    }
  })

  it('is left by legal moves only, and every command ends as the table says', async () => {
    const property = fc.asyncProperty(
      fc.array(anyMove, {maxLength: 5, minLength: 1}),
      fc.constantFrom('2.5' as const, 'master' as const),
      (list, profile) => Player.play([...list, {kind: 'status'}], {profile}),
    )
    await fc.assert(property, {numRuns: RUNS, seed: Number(process.env.SIMULATION_MODEL_SEED ?? 42)})
  })

  it('makes no move that the table does not know', () => {
    for (const [state, next] of Object.entries(moves))
      for (const other of next) assert.ok(stateIds.includes(other), state)
  })
})
