import assert from 'node:assert/strict'
import {setImmediate as nextTurn} from 'node:timers/promises'

import {sleep, systemClock} from '../../src/lib/clock.js'

/** What keeps a process alive, counted by kind. Standard streams and mocha's own timer are in it too. */
function held(): Map<string, number> {
  const counts = new Map<string, number>()
  // eslint-disable-next-line n/no-unsupported-features/node-builtins -- in Node 20 too, there called experimental
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return counts
}

/**
 * Runs `use` and checks that it leaves nothing behind that keeps the process alive: no socket, no timer, no look-up.
 * @param limitMs how long what is being closed may take
 */
export async function leavesNothing(use: () => Promise<void>, limitMs = 0): Promise<void> {
  await nextTurn()
  const before = held()
  await use()
  const until = systemClock.nowMs() + limitMs
  for (;;) {
    const extra = [...held()].filter(([kind, count]) => count > (before.get(kind) ?? 0)).map(([kind]) => kind)
    if (extra.length === 0) return
    assert.ok(systemClock.nowMs() < until, `left behind: ${extra.join(', ')}`)
    await sleep(systemClock, 10)
    // Until the next turn the pause's own timer counts.
    await nextTurn()
  }
}
