import type {RollbackRequest} from './request.js'
import type {RollbackResult} from './result.js'
import {Run} from './run.js'
import type {RollbackHooks, RollbackWorld} from './world.js'

export {type RollbackEvent, type StepId, stepTitles} from './events.js'
export {rollbackDefaults, type RollbackRequest} from './request.js'
export type {RollbackOutcome, RollbackResult, StepTiming} from './result.js'
export type {RollbackHooks, RollbackWorld} from './world.js'

/**
 * Takes a migration back from whatever state it finds. Safe to run twice, from any machine, with or without the journal.
 * Never throws for a failed rollback: the result's `outcome`, `error` and `next` tell.
 */
export async function rollback(
  request: RollbackRequest,
  world: RollbackWorld,
  hooks: RollbackHooks,
  options: {dryRun: boolean; signal: AbortSignal},
): Promise<RollbackResult> {
  const run = new Run(request, world, hooks, options)
  try {
    return await run.go()
  } finally {
    await run.close()
  }
}
