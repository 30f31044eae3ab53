import {ux} from '@oclif/core'
import {phaseTitles} from '../migration/events.js'
import type {MigrationResult, Outcome, WindowPart, WriteDenyWindow} from '../migration/result.js'
import {checkLines} from './checks.js'
import {envLines} from './env-diff.js'
import {lastLookLine} from './last-look.js'
import {errorLines, isStop} from './outcome.js'
import {planLines} from './plan.js'
import {remainingClientsSentence} from './remaining-clients.js'
import {formatCount, formatDuration, formatTimeOfDay, paragraph, plural, printable} from './text.js'

/** Outcomes after which the same command goes on. */
const sameCommandGoesOn: ReadonlySet<Outcome> = new Set([
  'handed-over',
  'stopped',
  'switched-unfinished',
  'write-denied',
])
const good: ReadonlySet<Outcome> = new Set(['dry-run', 'handed-over', 'migrated'])

/** No failure leaves anybody without a next deed. */
function nextDeed({error, next, outcome}: MigrationResult): string | undefined {
  if (next !== undefined || outcome !== 'refused' || !error) return next
  // Nothing was wrong: whoever left at the question finds nothing to mend.
  return isStop(error)
    ? 'The same command begins anew.'
    : 'Mend what is named above; then the same command begins anew.'
}

/** Whether it did what it was asked to do. */
export const isGood = ({outcome}: MigrationResult) => good.has(outcome)

/** How it ended, in one sentence. */
export function headline(result: MigrationResult): string {
  const {source, table, target} = result
  switch (result.outcome) {
    case 'dry-run': {
      return `Dry run of ${table}, ${source.cluster} to ${target.cluster}: nothing was changed.`
    }

    case 'handed-over': {
      return `All of ${table} is on ${target.cluster}, and ${source.cluster} refuses its clients: move the applications now.`
    }

    case 'migrated': {
      return `${table} was moved from ${source.cluster} to ${target.cluster}.`
    }

    case 'refused': {
      return `Refused: ${table} was not moved, and nothing was changed.`
    }

    case 'stopped': {
      return `Stopped: ${table} is served by ${source.cluster}, and its writes are allowed there.`
    }

    case 'switched-unfinished': {
      return `${table} is served by ${target.cluster}, but not everything after the switch is done.`
    }

    case 'write-denied': {
      return `WRITES TO ${table} MAY BE DENIED.`
    }
  }
}

/** One line about the write-deny window; undefined when writes were never denied. */
export function windowLine(window: WriteDenyWindow): string | undefined {
  const {confirmedAtMs, drainedAtMs, firstRefusedAtMs, liftedAtMs, setAtMs, sourceClosedAtMs, switchedAtMs, windowMs} =
    window
  const startMs = firstRefusedAtMs ?? setAtMs
  if (startMs === undefined) return undefined
  const since = formatTimeOfDay(startMs)
  const durationMs = windowMs ?? (liftedAtMs === undefined ? undefined : liftedAtMs - startMs)
  if (durationMs === undefined) return `Writes have been denied since ${since}.`
  const notes = [
    drainedAtMs !== undefined && `drained at ${formatTimeOfDay(drainedAtMs)}`,
    switchedAtMs !== undefined && `switched at ${formatTimeOfDay(switchedAtMs)}`,
    confirmedAtMs !== undefined && `confirmed at ${formatTimeOfDay(confirmedAtMs)}`,
    sourceClosedAtMs !== undefined && `source closed at ${formatTimeOfDay(sourceClosedAtMs)}`,
    liftedAtMs !== undefined && `allowed again at ${formatTimeOfDay(liftedAtMs)}`,
  ].filter((note) => note !== false)
  return `Writes were denied for ${formatDuration(durationMs)} from ${since}${notes.length > 0 ? `: ${notes.join(', ')}` : ''}.`
}

const partNames: Record<WindowPart['name'], string> = {
  clients: 'clients sent away',
  deny: 'deny',
  ship: 'shipping',
  stop: 'stop and last look',
  switch: 'switch',
}

/** What the window was made of, each part beside what the servers needed. */
function windowPartsLine({parts}: WriteDenyWindow): string | undefined {
  if (!parts) return undefined
  const seconds = (ms: number) => (ms / 1000).toFixed(1)
  const each = parts.map(({floorMs, name, tookMs}) => `${partNames[name]} ${seconds(tookMs)} (${seconds(floorMs)})`)
  const overMs = parts.reduce((sum, {floorMs, tookMs}) => sum + tookMs - floorMs, 0)
  return `Of it, in seconds, and in brackets what the servers needed: ${each.join(', ')}; ${seconds(overMs)} s more than they needed.`
}

function clientsLine({clients}: WriteDenyWindow): string | undefined {
  if (!clients) return undefined
  return `Clients see it last ${formatDuration(clients.minMs)} to ${formatDuration(clients.maxMs)}: they ask for the table's configuration again once a second.`
}

function staleReadsLine({sourceClosedAtMs, switchedAtMs}: WriteDenyWindow): string | undefined {
  if (switchedAtMs === undefined || sourceClosedAtMs === undefined || sourceClosedAtMs <= switchedAtMs) return undefined
  const staleMs = sourceClosedAtMs - switchedAtMs
  return `For ${formatDuration(staleMs)} after the switch, reads through the source may have been stale.`
}

function verificationLine({verification}: MigrationResult): string | undefined {
  if (!verification) return undefined
  const {partitions, rowsCompared, rowsCountedSource, rowsCountedTarget} = verification
  const counted =
    rowsCountedSource + rowsCountedTarget === 0
      ? ''
      : `, ${formatCount(rowsCountedSource)} counted on the source, ${formatCount(rowsCountedTarget)} on the target`
  return `Verified ${plural(partitions, 'partition')}: ${plural(rowsCompared, 'row')} compared${counted}.`
}

function phasesLine({error, phases}: MigrationResult): string | undefined {
  if (phases.length === 0) return undefined
  const ending = isStop(error) ? 'stopped' : 'failed'
  const parts = phases.map(({durationMs, phase, state}) => {
    const title = phaseTitles[phase]
    if (state === 'skipped') return `${title} skipped`
    return `${title} ${formatDuration(durationMs)}${state === 'failed' ? ` (${ending})` : ''}`
  })
  return `Phases: ${parts.join(', ')}.`
}

/** What stays as it is now, and the operators' own commands to open or drop it. */
function remainderLines(result: MigrationResult, width: number): string[] {
  const {source, table, target, writeDeny} = result
  if (writeDeny.sourceClosedAtMs === undefined) return []
  const asking = remainingClientsSentence(result)
  const shell = `In the Pegasus shell on ${source.cluster} (${source.metas.join(',')}):`
  return [
    '',
    ...paragraph(
      `The source refuses every client of ${table} from now on, so that nobody writes there. ${shell}`,
      '',
      width,
    ),
    printable(`  to drop it, once nobody misses it:  drop ${table} -r 604800`),
    printable(`  to open it again:  use ${table}, then del_app_envs replica.deny_client_request`),
    ...paragraph(
      `Open it only when no client uses ${table} on ${target.cluster} any more: what was written there is not on ${source.cluster}.`,
      '',
      width,
    ),
    ...(asking === undefined ? [] : paragraph(asking, '', width)),
  ]
}

function errorPart({checks, error, phases}: MigrationResult, width: number): string[] {
  // What stopped it stands first among the checks.
  if (!error || (error.code === 'preflight.refused' && checks.length > 0)) return []
  const failed = phases.findLast(({state}) => state === 'failed')
  return ['', ...errorLines(error, failed && phaseTitles[failed.phase], width)]
}

/**
 * What is said when the run is over: how it ended, what happened to writes, what stays, what is next.
 * @param talk the plan in words, for a dry run
 */
export function summaryLines(
  result: MigrationResult,
  commandLine: string,
  width: number,
  talk: readonly string[] = [],
): string[] {
  const lines = [
    ux.colorize(isGood(result) ? 'green' : 'red', printable(headline(result))),
    ...errorPart(result, width),
  ]
  if (result.outcome === 'dry-run' || (result.outcome === 'refused' && result.checks.length > 0))
    lines.push('', ...checkLines(result.checks, width))
  if (result.outcome === 'dry-run')
    return [...lines, '', 'It would do this, in this order:', ...planLines(result.effects, width), '', ...talk]

  const facts = [
    ...result.earlierWindows.map((window) => windowLine(window)),
    windowLine(result.writeDeny),
    windowPartsLine(result.writeDeny),
    clientsLine(result.writeDeny),
    staleReadsLine(result.writeDeny),
    verificationLine(result),
    lastLookLine(result),
    phasesLine(result),
    result.settingsPutBack.length > 0 ? `Settings put back: ${result.settingsPutBack.length}.` : undefined,
  ].filter((line) => line !== undefined)
  if (facts.length > 0) lines.push('', ...facts.flatMap((fact) => paragraph(fact, '  ', width, '')))

  lines.push(...envLines(result, width), ...remainderLines(result, width))
  if (result.warnings.length > 0) {
    lines.push('', ux.colorize('yellow', `${plural(result.warnings.length, 'warning')}:`))
    lines.push(...result.warnings.flatMap((warning) => paragraph(warning, '    ', width, '  - ')))
  }

  const again = sameCommandGoesOn.has(result.outcome)
  const next = nextDeed(result)
  if (next || again) lines.push('', 'Next:')
  if (next) lines.push(...paragraph(next, '  ', width))
  if (again) lines.push(`  ${commandLine}`)
  return lines
}
