import {messageOf} from '../../errors.js'
import {type RollbackContext, type RunStep, StepSkipped} from './context.js'
import {removeDuplication} from './duplication.js'
import type {StepId, UnstampedRollbackEvent} from './events.js'
import {cleanTarget, dropTarget, putBack} from './leftovers.js'
import type {StepTiming} from './result.js'
import * as back from './return.js'
import {allowWrites, proveWrites} from './writes.js'

const steps: Record<StepId, RunStep> = {
  'allow-writes': allowWrites,
  'prove-writes': proveWrites,
  'remove-duplication': removeDuplication,
  'open-source-reads': back.openSourceReads,
  'compare-live': back.compareLive,
  'deny-target': back.denyTarget,
  'compare-denied': back.compareDenied,
  'switch-back': back.switchBack,
  'open-source': back.openSource,
  'close-target': back.closeTarget,
  'put-settings-back': putBack,
  'clean-target': cleanTarget,
  'drop-target': dropTarget,
}

export interface StepsOutcome {
  error?: unknown
  timings: StepTiming[]
}

/** Runs the plan's steps in order, up to the first that fails. Undoes nothing. */
export async function runSteps(
  context: RollbackContext,
  emit: (event: UnstampedRollbackEvent) => void,
  onStep: (step: StepId | undefined) => void,
): Promise<StepsOutcome> {
  const {clock, plan} = context
  const timings: StepTiming[] = []
  for (const step of plan.steps) {
    const startMs = clock.nowMs()
    const note = (state: StepTiming['state'], summary: string) => {
      const timing = {durationMs: Math.round(clock.nowMs() - startMs), state, step, summary}
      timings.push(timing)
      return timing
    }

    onStep(step)
    emit({step, type: 'step-started'})
    try {
      context.signal.throwIfAborted()
      const {durationMs, summary} = note('done', await steps[step](context))
      emit({durationMs, step, summary, type: 'step-finished'})
    } catch (error) {
      if (error instanceof StepSkipped) {
        emit({reason: note('skipped', error.message).summary, step, type: 'step-skipped'})
        continue
      }

      emit({error: note('failed', messageOf(error)).summary, step, type: 'step-failed'})
      return {error, timings}
    } finally {
      onStep(undefined)
    }
  }

  return {timings}
}
