import {ux} from '@oclif/core'
import {ExitCode} from '../exit-codes.js'
import {type RollbackOutcome, type RollbackResult, type StepId, stepTitles} from '../migration/rollback/index.js'
import {errorLines, signalExitCodes, type StopSignal} from './outcome.js'
import {planLines} from './plan.js'
import {formatDuration, paragraph, plural, printable, wrap} from './text.js'

const exitCodes: Record<RollbackOutcome, ExitCode> = {
  'dry-run': ExitCode.ok,
  'duplication-kept': ExitCode.resumable,
  refused: ExitCode.refused,
  returned: ExitCode.ok,
  'rolled-back': ExitCode.ok,
  stopped: ExitCode.resumable,
  'write-denied': ExitCode.needsOperator,
}

/** A rollback that a signal stopped says which; one after which writes may be denied says that first. */
export function rollbackExitCode(result: RollbackResult, signal?: StopSignal): ExitCode {
  const stopped = result.outcome === 'stopped' || result.outcome === 'refused'
  return signal && stopped ? signalExitCodes[signal] : exitCodes[result.outcome]
}

const returnSteps: ReadonlySet<StepId> = new Set(['close-target', 'compare-live', 'open-source-reads', 'switch-back'])

/** The side whose writes are allowed when a rollback stopped on its way: exactly one has them. */
function servingSide({error, source, steps, target, writableAfterMs}: RollbackResult): string {
  const isReturn = steps.some(({step}) => returnSteps.has(step))
  const onTarget = error?.code === 'rollback.switched' || (isReturn && writableAfterMs === undefined)
  return (onTarget ? target?.cluster : source.cluster) || 'exactly one side'
}

function headline(result: RollbackResult): string {
  const {outcome, source, table, target} = result
  switch (outcome) {
    case 'dry-run': {
      return `Dry run of a rollback of ${table}: nothing was changed.`
    }

    case 'duplication-kept': {
      return `Writes to ${table} are allowed on ${source.cluster}; its duplication is kept.`
    }

    case 'refused': {
      return `Refused: everything about ${table} is as it was found.`
    }

    case 'returned': {
      return `${table} is back on ${source.cluster}; ${target?.cluster ?? 'the target'} refuses every client of it.`
    }

    case 'rolled-back': {
      return `The migration of ${table} is taken back: ${source.cluster} serves it, and writes are allowed.`
    }

    case 'stopped': {
      return `Stopped: the rollback of ${table} is not finished; its writes are allowed on ${servingSide(result)}.`
    }

    case 'write-denied': {
      return `WRITES TO ${table} MAY BE DENIED.`
    }
  }
}

/** What was found and what will be done, before anybody is asked. */
export function rollbackPlanLines(found: readonly string[], effects: readonly string[], width: number): string[] {
  return [
    'Found:',
    ...found.flatMap((sentence) => paragraph(sentence, '    ', width, '  - ')),
    ...(effects.length === 0
      ? ['There is nothing to change.']
      : ['It will do this, in this order:', ...planLines(effects, width)]),
  ]
}

/** Outcomes after which the same command goes on. */
const sameCommandGoesOn: ReadonlySet<RollbackOutcome> = new Set(['stopped', 'write-denied'])

const capitalized = (text: string) => text.slice(0, 1).toUpperCase() + text.slice(1)

function stoppedIn({steps}: RollbackResult): string | undefined {
  const failed = steps.find(({state}) => state === 'failed')
  return failed && stepTitles[failed.step]
}

/** What is said when a rollback is over. @param commandLine what goes on from where it was stopped */
export function rollbackSummaryLines(result: RollbackResult, width: number, commandLine?: string): string[] {
  const good = exitCodes[result.outcome] === ExitCode.ok
  const lines = [ux.colorize(good ? 'green' : 'red', printable(headline(result)))]
  const {effects, error, found, next, outcome, settingsPutBack, steps, warnings, writableAfterMs} = result
  if (error) lines.push(...errorLines(error, stoppedIn(result), width))
  if (outcome === 'dry-run') lines.push('', ...rollbackPlanLines(found, effects, width))
  if (writableAfterMs !== undefined)
    lines.push(`  Every primary was proved to accept writes after ${formatDuration(writableAfterMs)}.`)
  // In the list it may be cut off, and it tells how long writes were denied for it.
  const removed = steps.find(({state, step}) => step === 'remove-duplication' && state === 'done')
  if (removed) lines.push(...paragraph(`${capitalized(removed.summary)}.`, '    ', width, '  '))
  for (const {state, summary} of steps.filter((step) => step.state === 'skipped'))
    lines.push(...paragraph(`${state}: ${summary}`, '  ', width))
  if (settingsPutBack.length > 0) lines.push(`  Settings put back: ${settingsPutBack.length}.`)
  if (warnings.length > 0) {
    lines.push(ux.colorize('yellow', `${plural(warnings.length, 'warning')}:`))
    lines.push(...warnings.flatMap((warning) => paragraph(warning, '    ', width, '  - ')))
  }

  const again = sameCommandGoesOn.has(outcome)
  if (next || again) lines.push('Next:')
  if (next) lines.push(...wrap(printable(next), width - 2).map((line) => `  ${line}`))
  if (again && commandLine !== undefined) lines.push(`  ${commandLine}`)
  return lines
}
