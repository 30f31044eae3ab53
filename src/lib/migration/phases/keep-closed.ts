import {sleep} from '../../clock.js'
import {MigratorError} from '../../errors.js'
import type {MigrationContext} from '../context.js'
import {DENY_ENV} from '../effects-live.js'
import type {Progress} from '../events.js'
import {CLOSED, closeSource, proveSourceClosed} from './switch.js'

/** Somebody who sets it anew each time is not argued with. */
const TRIES = 3
/** Whoever has just replaced it may do so again. */
const SETTLE_MS = 3000

/**
 * The source must refuse everyone to the end (I3), and envs have no compare-and-set: whoever replaces ours while the migration finishes
 * opens the old side. So it is looked at again, and closed again.
 * @throws MigratorError `finish.reopened` when it does not stay closed
 */
export async function keepClosed(context: MigrationContext, report: (progress: Progress) => void): Promise<void> {
  const {clock, emit, forward, request, source} = context
  let found: string | undefined
  for (let tries = 0; tries < TRIES; tries++) {
    const table = await source.table(request.table, {patienceMs: 60_000, signal: forward})
    // Dropped since: nobody can write to it.
    if (!table) return
    found = table.envs.get(DENY_ENV)
    if (found === CLOSED) return
    const message = `somebody replaced ${DENY_ENV}=${CLOSED} on the source's ${request.table} by ${found ?? 'nothing'}: it is closed again`
    context.state.warnings.push(message)
    emit({code: 'finish.closed_again', message, type: 'warning'})
    await closeSource(context)
    await proveSourceClosed(context, report)
    await sleep(clock, SETTLE_MS, forward)
  }

  throw new MigratorError(
    'finish.reopened',
    `${DENY_ENV} on the source's ${request.table} is ${found ?? 'deleted'} again and again: somebody else sets it, and the source does not refuse everyone`,
    {
      facts: {found},
      next: `${request.targetCluster} serves. Find out who sets it, then run the same command again: it closes the source.`,
    },
  )
}

/** At the end: a deny whose first answer was lost may come until then, and would stand in the place of ours. */
export async function keepClosedForGood(
  context: MigrationContext,
  report: (progress: Progress) => void,
): Promise<void> {
  const {clock, forward, state} = context
  const restMs = (state.denyLateUntilMs ?? 0) - clock.nowMs()
  if (restMs > 0) {
    report({text: `a deny whose answer was lost may still come for ${Math.ceil(restMs / 1000)} s`})
    await sleep(clock, restMs, forward)
  }

  await keepClosed(context, report)
}
