import {isMigratorError, messageOf, MigratorError} from '../../errors.js'
import type {MigrationContext, Step} from '../context.js'
import {endsMigration, type JournalRecord} from '../journal.js'
import type {Outcome} from '../result.js'
import {DEFAULT_LIMIT_MS, type HookEnd, type HookFacts, type HookMoment, windowMoments} from './moments.js'

/** Of the bound, for a hook within the write-deny window. */
const WINDOW_SHARE = 0.1

/** What came of the run, for the last hooks. */
interface Ending {
  error?: unknown
  outcome?: Outcome
}

/** A step at which a hook may stop the migration: behind the commit point there is nothing left to stop. */
export function hookStep(moment: HookMoment): Step {
  return {
    async act(context) {
      if (context.state.commit !== 'done') await askHook(context, moment)
    },
    title: `run the hook ${moment}`,
  }
}

/**
 * Runs the hook of a moment before the commit point.
 * @throws MigratorError `hook.refused` when it fails or takes too long: the migration stops
 */
export async function askHook(context: MigrationContext, moment: HookMoment): Promise<void> {
  const end = await runHook(context, moment, {}, context.signal)
  context.signal.throwIfAborted()
  if (!end || end.ok) return
  throw new MigratorError('hook.refused', `hook ${moment}: ${end.text}${lastLine(end)}`, {
    facts: {moment, tookMs: end.tookMs},
    next: 'Look at what the hook says. The same command goes on from here.',
  })
}

/** Runs the hook of a moment that nothing can stop any more: a failure is told. @returns undefined when there is none */
export async function tellHook(
  context: MigrationContext,
  moment: HookMoment,
  ending: Ending = {},
): Promise<HookEnd | undefined> {
  const end = await runHook(context, moment, ending, context.forward)
  if (end && !end.ok)
    context.emit({code: 'hook.failed', message: `hook ${moment}: ${end.text}${lastLine(end)}`, type: 'warning'})
  return end
}

/** The hook behind the commit point hears of it once, whichever run comes to it: the journal keeps that it was run. */
export async function tellSwitched(context: MigrationContext): Promise<void> {
  const end = await tellHook(context, 'after-switch')
  if (!end) return
  try {
    await context.journal?.write({kind: 'hook', moment: 'after-switch', ok: end.ok})
  } catch (error) {
    context.emit({code: 'journal.write_failed', message: messageOf(error), type: 'warning'})
  }
}

/** Whether the journal tells of a cutover of this migration, and not that the hook of a moment behind it was run. */
export function isHookOwed(past: readonly JournalRecord[], moment: HookMoment): boolean {
  let isOwed = false
  for (const record of past) {
    if (record.kind === 'before' && record.effect.kind === 'deny') isOwed = true
    if (record.kind === 'hook' && record.moment === moment) isOwed = false
    if (endsMigration(record)) isOwed = false
  }

  return isOwed
}

async function runHook(
  context: MigrationContext,
  moment: HookMoment,
  ending: Ending,
  signal: AbortSignal,
): Promise<HookEnd | undefined> {
  const {dryRun, emit, operatorHooks: hooks, request} = context
  const inWindow = windowMoments.has(moment)
  const {inWindow: wanted = false, limitMs = DEFAULT_LIMIT_MS} = request.hooks ?? {}
  if (dryRun || !hooks?.has(moment) || (inWindow && !wanted)) return undefined
  const limit = inWindow ? Math.min(limitMs, request.maxWriteDenyMs * WINDOW_SHARE) : limitMs
  emit({moment, state: 'started', text: `hook ${moment}`, type: 'hook'})
  const end = await hooks.run(factsFor(context, moment, ending), {limitMs: limit, signal})
  for (const text of end.lines) emit({moment, state: 'output', text, type: 'hook'})
  emit({moment, state: end.ok ? 'done' : 'failed', text: end.text, type: 'hook'})
  return end
}

function factsFor({request, state}: MigrationContext, moment: HookMoment, {error, outcome}: Ending): HookFacts {
  return {
    ...(state.dupid === 0 ? {} : {dupid: state.dupid}),
    ...(error === undefined ? {} : {error: errorOf(error)}),
    moment,
    ...(outcome === undefined ? {} : {outcome}),
    ...(state.pendingMutations === undefined ? {} : {pendingMutations: state.pendingMutations}),
    schema: 1,
    source: {cluster: state.facts?.source.info.clusterName ?? '', metas: request.sourceMetas},
    table: request.table,
    target: {cluster: request.targetCluster, metas: request.targetMetas},
    writeDeny: {...state.window},
  }
}

function errorOf(error: unknown): HookFacts['error'] {
  return isMigratorError(error)
    ? {code: error.code, facts: error.facts, message: error.message}
    : {code: 'unexpected', facts: {}, message: messageOf(error)}
}

/** What it said last is mostly why. */
function lastLine({lines}: HookEnd): string {
  const line = lines.findLast((text) => text.trim() !== '')
  return line === undefined ? '' : ` (it said: ${line.trim()})`
}
