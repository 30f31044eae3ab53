import assert from 'node:assert/strict'

import type {VirtualClock} from '../sandbox/virtual-clock.js'

/** Asserts that no timer is left and nothing is under way any more. */
export async function assertAtRest(clock: VirtualClock): Promise<void> {
  const beforeMs = clock.nowMs()
  await assert.rejects(clock.run(new Promise(() => {})), /nothing left to happen/)
  assert.equal(clock.nowMs(), beforeMs, 'a timer was left behind')
}
