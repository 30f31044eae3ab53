import {deadline} from '../clock.js'
import {isMigratorError, messageOf, MigratorError} from '../errors.js'
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
import {timersOf} from './timers.js'

/** The eight phases, in their order. */
export const phases: readonly Phase[] = [preflight, duplicate, catchUp, verify, deny, drain, switchOver, finish]

const UNDO_MARGIN_MS = 2000

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
        const summary = phase.summarize(context)
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
  context.emit({phase: phase.id, type: 'phase-started'})
  await context.journal?.write({kind: 'phase', phase: phase.id, state: 'started'})
  const observed = await phase.observe(context)
  if (observed.done) return observed.summary
  for (const step of phase.steps) {
    const report = (progress: Progress) => context.emit({phase: phase.id, progress, step: step.title, type: 'progress'})
    await step.act?.(context)
    if (!context.dryRun) await step.wait?.(context, report)
  }

  await context.journal?.write({kind: 'phase', phase: phase.id, state: 'done'})
  return undefined
}

/** The phases during which writes are denied and the bound counts. */
export const cutover: ReadonlySet<PhaseId> = new Set(['deny', 'drain', 'switch'])

/**
 * A context whose signal aborts early enough that writes flow again before the bound (I7): the bound less one config
 * sync, in which the servers hear of the lift.
 */
export function boundedContext(context: MigrationContext): {context: MigrationContext; dispose(): void} {
  const {clock, request, signal} = context
  const undoMs = timersOf(context.state).configSyncMs + UNDO_MARGIN_MS
  const limitMs = Math.max(1, request.maxWriteDenyMs - undoMs)
  const bound = deadline(
    clock,
    limitMs,
    () =>
      new MigratorError(
        'cutover.bound',
        `the cutover of ${request.table} did not fit into --max-write-deny ${request.maxWriteDenyMs / 1000} s: after ${Math.round(limitMs / 1000)} s the deny must be taken back, which takes up to ${Math.round(undoMs / 1000)} s`,
        {next: 'Run the same command again at a quieter time, or with a larger --max-write-deny.'},
      ),
    signal,
  )
  return {context: {...context, signal: bound.signal}, dispose: () => bound.dispose()}
}

/** Whether a run was stopped by its signal and not by a failure. */
export function wasInterrupted(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && (error === signal.reason || isMigratorError(error, 'rpc.aborted'))
}
