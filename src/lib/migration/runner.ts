import {messageOf} from '../errors.js'
import type {Manner} from '../pegasus/server-gate.js'
import type {MigrationContext, Phase} from './context.js'
import type {PhaseId, Progress} from './events.js'
import {catchUp} from './phases/catch-up.js'
import {deny} from './phases/deny.js'
import {drain} from './phases/drain.js'
import {duplicate} from './phases/duplicate.js'
import {finish} from './phases/finish.js'
import {preflight} from './phases/preflight.js'
import {switchOver} from './phases/switch.js'
import {verify} from './phases/verify.js'
import type {PhaseTiming} from './result.js'

/** The eight phases, in their order. */
export const phases: readonly Phase[] = [preflight, duplicate, catchUp, verify, deny, drain, switchOver, finish]

/** What came of running the phases. */
export interface RunOutcome {
  error?: unknown
  failedIn?: PhaseId
  timings: PhaseTiming[]
}

/**
 * Runs the phases that are not done yet, in order. Prints nothing, decides nothing about undoing: it stops at the
 * first failure and says where.
 * @param from the first phase to run
 */
export async function runPhases(
  context: MigrationContext,
  selected: readonly Phase[],
  betweenPhases?: (phase: Phase) => Promise<void>,
): Promise<RunOutcome> {
  const timings: PhaseTiming[] = []
  for (const phase of selected) {
    const startMs = context.clock.nowMs()
    const timing = (state: PhaseTiming['state'], summary: string): PhaseTiming => ({
      durationMs: Math.round(context.clock.nowMs() - startMs),
      phase: phase.id,
      state,
      summary,
    })
    try {
      await betweenPhases?.(phase)
      const skipped = phase.skip?.(context) ?? (await runPhase(context, phase))
      if (skipped === undefined) {
        const summary =
          context.dryRun && phase.id !== 'preflight' ? 'not run: this is a rehearsal' : phase.summarize(context)
        timings.push(timing('done', summary))
        context.emit({durationMs: timings.at(-1)!.durationMs, phase: phase.id, summary, type: 'phase-finished'})
      } else {
        timings.push(timing('skipped', skipped))
        context.emit({phase: phase.id, reason: skipped, type: 'phase-skipped'})
      }
    } catch (error) {
      timings.push(timing('failed', messageOf(error)))
      context.emit({error: messageOf(error), phase: phase.id, type: 'phase-failed'})
      return {error, failedIn: phase.id, timings}
    }
  }

  return {timings}
}

/** @returns why the phase was left out, or undefined when it ran */
async function runPhase(context: MigrationContext, phase: Phase): Promise<string | undefined> {
  context.signal.throwIfAborted()
  context.client.gate.manner = mannerOf(context, phase)
  context.emit({phase: phase.id, type: 'phase-started'})
  await context.journal?.write({kind: 'phase', phase: phase.id, state: 'started'})
  const observed = await phase.observe(context)
  if (observed.done) return observed.summary
  for (const step of phase.steps) {
    const report = (progress: Progress) =>
      context.emit({phase: phase.id, progress: withConfirmed(context, progress), step: step.title, type: 'progress'})
    await step.act?.(context)
    if (!context.dryRun) await step.wait?.(context, report)
  }

  await context.journal?.write({kind: 'phase', phase: phase.id, state: 'done'})
  return undefined
}

/** Where nobody waits the servers are left in peace; Preflight and a rehearsal ask each thing once. */
function mannerOf({dryRun}: MigrationContext, {id}: Phase): Manner {
  const isQuick = dryRun || id === 'preflight' || id === 'drain' || id === 'switch'
  return isQuick ? 'singly' : 'calmly'
}

function withConfirmed({state}: MigrationContext, progress: Progress): Progress {
  const {confirmedMutations} = state
  return confirmedMutations === undefined ? progress : {confirmedMutations, ...progress}
}

/** The phases during which writes are denied and the bound counts. */
export const cutoverPhases: ReadonlySet<PhaseId> = new Set(['deny', 'drain', 'switch'])
