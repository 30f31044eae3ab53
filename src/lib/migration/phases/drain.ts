import {MigratorError} from '../../errors.js'
import {plural} from '../../plural.js'
import {DuplicationStatus} from '../../rpc/structs/duplication.js'
import type {MigrationContext, Phase} from '../context.js'
import type {Progress} from '../events.js'
import {lookAtOwnNode} from '../node-watch.js'
import {hookStep} from '../operator-hooks/calls.js'
import {movedPrimaries, readPrimaries} from '../proof/primaries.js'
import {listed} from '../proof/shipping.js'
import {timersOf} from '../timers.js'
import {proveDeny} from './deny.js'
import {DrainPass, PrimaryMoved} from './drain-pass.js'
import {findEntry} from './duplicate.js'
import {whileLooking} from './last-look.js'

/** The drain of 2.4/2.5 takes one to two group checks after the last write (measured.md §3), then some. */
const DRAIN_MARGIN_MS = 30_000

/** Waits until everything that was accepted is on the target, proved by decrees, then stops all shipping. */
export const drain: Phase = {
  id: 'drain',
  async observe() {
    return {done: false}
  },
  steps: [
    {title: 'wait until everything accepted is on the target', wait: waitUntilDrained},
    {act: stopAndLook, title: 'stop shipping'},
    hookStep('drained'),
  ],
  summarize({state}) {
    const {drainedAtMs, provedAtMs} = state.window
    const tookMs = drainedAtMs === undefined || provedAtMs === undefined ? 0 : drainedAtMs - provedAtMs
    return `${plural(state.drained.size, 'partition')} drained ${(tookMs / 1000).toFixed(1)} s after the proof`
  },
}

async function stopAndLook(context: MigrationContext): Promise<void> {
  await beside(context, whileLooking(context, stopShipping))
  if (!context.dryRun) context.state.window.pausedAtMs = context.clock.wallMs()
}

async function waitUntilDrained(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {clock, request, state} = context
  const limitMs = request.limits.drainMs ?? 2 * timersOf(state).groupCheckMs + DRAIN_MARGIN_MS
  const startMs = clock.nowMs()
  for (;;) {
    try {
      const pass = new DrainPass(context, report, startMs + limitMs)
      state.drained = await pass.run()
      state.window.shippedSeenAtMs = pass.shippedSeenAtMs
      state.window.drainedAtMs = clock.wallMs()
      return
    } catch (error) {
      if (!(error instanceof PrimaryMoved)) throw error
      // F stays valid over a failover, but the new primary may have been opened without the deny (protocol.md §13).
      report({text: `new primary of ${listed('partition', error.partitions)}: the deny is proved again`})
      const proof = await proveDeny(context, report)
      state.denied = proof.primaries
    }
  }
}

/** Everything has arrived: whoever switches the node after this look overwrites nothing. It costs no time of the window. */
async function beside(context: MigrationContext, work: Promise<void>): Promise<void> {
  const looking = context.dryRun ? undefined : lookAtOwnNode(context, context.signal)
  const [done, looked] = await Promise.allSettled([work, looking])
  if (done.status === 'rejected') throw done.reason
  if (looked.status === 'rejected') throw looked.reason
}

/**
 * A new source primary ships the last mutations again and overwrites what clients have written to the target since
 * (product.md, lesson 14). So nothing may ship after the switch: the duplication is paused, and the primaries must be
 * the ones that were drained; otherwise it ships again and is drained anew.
 */
async function stopShipping(context: MigrationContext): Promise<void> {
  const {effects, request, signal, source, state} = context
  for (;;) {
    await context.guard?.assertMine()
    state.paused = true
    await effects.perform({dupid: state.dupid, kind: 'pause-duplication'}, signal)
    if (context.dryRun) return
    const entry = await findEntry(context)
    if (entry.status !== DuplicationStatus.DS_PAUSE) {
      throw new MigratorError(
        'drain.not_paused',
        `${request.table}: duplication ${state.dupid} is in ${DuplicationStatus[entry.status]} right after it was paused: somebody else resumed it`,
        {next: 'Find out who did. Writes are allowed again on the source; the same command goes on from here.'},
      )
    }

    const {primaries} = await readPrimaries(source, request.table, signal)
    const moved = movedPrimaries(state.drained, primaries)
    if (moved.length === 0) return
    context.emit({
      code: 'drain.moved',
      message: `new primary of ${listed('partition', moved)}: drained once more`,
      type: 'warning',
    })
    await effects.perform({dupid: state.dupid, kind: 'resume-duplication'}, signal)
    state.paused = false
    const report = (progress: Progress) =>
      context.emit({phase: 'drain', progress, step: 'drain once more', type: 'progress'})
    await waitUntilDrained(context, report)
  }
}
