import {type ErrorFacts, MigratorError} from '../errors.js'
import {ExitCode} from '../exit-codes.js'
import type {MigrationResult, Outcome} from '../migration/result.js'
import {paragraph, printable} from './text.js'

/** The signals that stop a run; SIGHUP is what a closed terminal sends. */
export const signalExitCodes = {
  SIGHUP: ExitCode.hangup,
  SIGINT: ExitCode.interrupted,
  SIGTERM: ExitCode.terminated,
} as const

export type StopSignal = keyof typeof signalExitCodes

/** What a signal most likely was, for those who do not know its name. */
export const signalNames: Record<StopSignal, string> = {
  SIGHUP: 'SIGHUP (the terminal was closed)',
  SIGINT: 'SIGINT (Ctrl-C)',
  SIGTERM: 'SIGTERM',
}

/** The code of what a signal stopped: no error that anybody would look up. */
const STOPPED = 'ui.signal'

/** What stands for the signal where a run says why it ended. @param options what somebody should know who sees just this */
export function stoppedBy(signal: StopSignal, options: {next?: string; state?: string} = {}): MigratorError {
  const {next, state} = options
  return new MigratorError(STOPPED, `stopped by ${signalNames[signal]}${state === undefined ? '' : `; ${state}`}`, {
    exitCode: signalExitCodes[signal],
    ...(next === undefined ? {} : {next}),
  })
}

/** Whether a signal ended it, and nothing failed. */
export const isStop = (error: {code: string} | undefined): boolean => error?.code === STOPPED

interface ShownError {
  code: string
  facts: ErrorFacts
  message: string
}

/** What went wrong, its figures and its code; of what a signal stopped, only where. @param where what was being done */
export function errorLines({code, facts, message}: ShownError, where: string | undefined, width: number): string[] {
  if (isStop({code})) {
    const sentence = `${message.slice(0, 1).toUpperCase()}${message.slice(1)}${where === undefined ? '' : ` in “${where}”`}.`
    return paragraph(sentence, '  ', width, '')
  }

  const known = Object.entries(facts).filter(([, value]) => value !== undefined)
  const figures = known.map(([key, value]) => `${key}: ${value}`).join(', ')
  return [
    ...paragraph(message, '  ', width, ''),
    ...(figures === '' ? [] : paragraph(figures, '  ', width)),
    `  (${printable(code)})`,
  ]
}

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
