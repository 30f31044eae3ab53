import {ExitCode} from '../exit-codes.js'
import type {MigrationResult, Outcome} from '../migration/result.js'

/** The signals that stop a run; SIGHUP is what a closed terminal sends. */
export const signalExitCodes = {
  SIGHUP: ExitCode.hangup,
  SIGINT: ExitCode.interrupted,
  SIGTERM: ExitCode.terminated,
} as const

export type StopSignal = keyof typeof signalExitCodes

const outcomeExitCodes: Record<Outcome, ExitCode> = {
  'dry-run': ExitCode.ok,
  'handed-over': ExitCode.ok,
  migrated: ExitCode.ok,
  refused: ExitCode.refused,
  stopped: ExitCode.resumable,
  'switched-unfinished': ExitCode.needsOperator,
  'write-denied': ExitCode.needsOperator,
}

/** A run that a signal stopped says which; one whose state a person must look at says that first. */
export function exitCodeOf(result: MigrationResult, signal?: StopSignal): ExitCode {
  const stopped = result.outcome === 'stopped' || result.outcome === 'refused'
  return signal && stopped ? signalExitCodes[signal] : outcomeExitCodes[result.outcome]
}
