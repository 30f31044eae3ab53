import {MigratorError} from '../../errors.js'
import {DuplicationStatus} from '../../rpc/structs/duplication.js'
import {liftAndProve, proveWritable, resumeBeforeLift, takeCommitAway, takeLateDenyOff} from '../mend.js'
import type {RollbackContext, RunStep} from './context.js'
import {isCopyGone} from './copy.js'

/** First things first: the deny is taken off the source, and that is proved on every primary. */
export const allowWrites: RunStep = async (context) => {
  const {clock, rollback, signal, startMs, state, view} = context
  if (view.node.side === 'source') {
    const found = await takeCommitAway(context, {limitMs: rollback.limitMs, signal})
    if (found === 'switched') {
      throw new MigratorError(
        'rollback.switched',
        `${rollback.table} was switched to ${context.request.targetCluster} just now: nothing is lifted`,
        {
          next: 'Run the same command again: it sees the table on the target then.',
        },
      )
    }
  }

  const {entry} = view
  // To a copy that is gone nothing could be shipped, and a paused pipeline can be removed.
  const goesOn = entry?.status === DuplicationStatus.DS_PAUSE && !isCopyGone(view)
  if (goesOn && (await resumeBeforeLift(context, entry.dupid, signal))) {
    entry.status = DuplicationStatus.DS_LOG
  }

  await liftAndProve(context, {configSyncMs: view.timers.configSyncMs, limitMs: rollback.limitMs, signal})
  state.writableAfterMs = clock.nowMs() - startMs
  return `every primary accepts writes, proved after ${(state.writableAfterMs / 1000).toFixed(1)} s`
}

/** Nothing is denied by the meta; servers may not have heard of it yet, or a first rollback was stopped before its proof. */
export const proveWrites: RunStep = async (context) => {
  const {clock, rollback, signal, startMs, state, view} = context
  const options = {configSyncMs: view.timers.configSyncMs, limitMs: rollback.limitMs, signal}
  await proveWritable(context, options)
  const late = await takeLateDenyOff(context, options, {
    ...(view.journal?.deny === undefined ? {} : {deny: view.journal.deny}),
    ...(view.journal?.denySentAtMs === undefined ? {} : {denyAtMs: view.journal.denySentAtMs}),
  })
  state.writableAfterMs = clock.nowMs() - startMs
  return late
    ? 'a deny that was still on its way came, and was taken off; every primary accepts writes'
    : 'every primary accepts writes'
}

/** Writes are allowed whatever happened to the run's own signal. */
export async function takeOwnDenyBack(context: RollbackContext): Promise<void> {
  const {rollback, state, view} = context
  if (!state.deniesSource) return
  const {signal} = new AbortController()
  await liftAndProve(context, {configSyncMs: view.timers.configSyncMs, limitMs: rollback.limitMs, signal})
  state.deniesSource = false
}
