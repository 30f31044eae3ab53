import {isMigratorError, messageOf} from '../errors.js'
import type {MigrationContext} from './context.js'
import {windowsOfEarlierRuns} from './earlier-windows.js'
import type {MigrationEvent} from './events.js'
import {planOf} from './plan.js'
import type {MigrationRequest} from './request.js'
import type {MigrationResult, Outcome, PhaseTiming} from './result.js'
import {clientsWindow, windowParts} from './window-parts.js'

/** Collects what a run tells into its result. */
export class ResultBuilder {
  effects: string[] = []
  private readonly checks: MigrationResult['checks'] = []
  private readonly timings: PhaseTiming[] = []
  private readonly warnings: string[] = []

  constructor(private readonly request: MigrationRequest) {}

  addTimings(timings: PhaseTiming[]): void {
    this.timings.push(...timings)
  }

  hear(event: MigrationEvent): void {
    if (event.type === 'check') this.checks.push(event.check)
    if (event.type === 'warning') this.warnings.push(event.message)
  }

  finish(context: MigrationContext | undefined, outcome: Outcome): MigrationResult {
    const {request} = this
    const facts = context?.state.facts
    const next = nextOf(request, outcome, context)
    const plan = facts && planOf(facts)
    const earlierRuns = windowsOfEarlierRuns(context?.journal?.past ?? [])
    return {
      checks: [...this.checks],
      earlierWindows: context?.state.earlierWindows ?? [],
      effects: this.effects,
      ...(context?.state.envDifferences ? {envDifferences: context.state.envDifferences} : {}),
      ...(context?.state.lastLook ? {lastLook: context.state.lastLook} : {}),
      ...(next === undefined ? {} : {next}),
      outcome,
      phases: [...this.timings],
      ...(plan ? {plan} : {}),
      ...(context?.state.remainingClients ? {remainingClients: context.state.remainingClients} : {}),
      schema: 1,
      settingsPutBack: context?.state.settingsPutBack ?? [],
      source: {
        cluster: facts?.source.info.clusterName ?? '',
        metas: request.sourceMetas,
        ...(facts ? {tableId: facts.source.table.appId} : {}),
      },
      table: request.table,
      target: {
        cluster: request.targetCluster,
        metas: request.targetMetas,
        ...(context?.state.targetAppId === undefined ? {} : {tableId: context.state.targetAppId}),
      },
      ...(context?.state.verification ? {verification: context.state.verification} : {}),
      warnings: [...this.warnings],
      ...(earlierRuns.length > 0 ? {windowsOfEarlierRuns: earlierRuns} : {}),
      writeDeny: writeDenyOf(context),
    }
  }

  failed(error: unknown, outcome: Outcome, context?: MigrationContext): MigrationResult {
    const result = this.finish(context, outcome)
    result.error = isMigratorError(error)
      ? {code: error.code, facts: error.facts, message: error.message}
      : {code: 'unexpected', facts: {}, message: messageOf(error)}
    // Where writes may be denied or the switch is half done, the way out counts more than the cause's own advice.
    const keepsOwn =
      outcome === 'write-denied' || (outcome === 'switched-unfinished' && !isMigratorError(error, 'switch.by_others'))
    if (!keepsOwn && isMigratorError(error) && error.next !== undefined) result.next = error.next
    return result
  }
}

/** What the probes saw, on the wall clock. */
function deniedPartitions({clock, state}: MigrationContext): Pick<MigrationResult['writeDeny'], 'partitions'> {
  if (state.window.firstRefusedAtMs === undefined) return {}
  const toWallMs = clock.wallMs() - clock.nowMs()
  const partitions = [...state.denied.values()].map(({partitionIndex, server, sinceMs}) => ({
    partition: partitionIndex,
    refusedAtMs: Math.round(sinceMs + toWallMs),
    server,
  }))
  return {partitions: partitions.sort((a, b) => a.partition - b.partition)}
}

/** The window with what it was made of. */
function writeDenyOf(context: MigrationContext | undefined): MigrationResult['writeDeny'] {
  if (!context) return {}
  const {request, state} = context
  const parts = windowParts(state.window, request.denyMode)
  const clients = clientsWindow(state.window, request.denyMode)
  return {
    ...state.window,
    ...deniedPartitions(context),
    ...(parts.length > 0 ? {parts} : {}),
    ...(clients ? {clients} : {}),
  }
}

function nextOf(
  request: MigrationRequest,
  outcome: Outcome,
  context: MigrationContext | undefined,
): string | undefined {
  switch (outcome) {
    case 'handed-over': {
      return `Move the applications to ${request.targetCluster} now; the source refuses everyone.`
    }

    case 'migrated': {
      return undefined
    }

    case 'stopped': {
      const kept = context?.state.dupid ? ` Duplication ${context.state.dupid} is kept.` : ''
      return `Writes are allowed on the source.${kept} Running the same command again goes on from here.`
    }

    case 'switched-unfinished': {
      return `${request.targetCluster} serves ${request.table}. Run the same command again: it only finishes what is left.`
    }

    case 'write-denied': {
      return `${request.table} may be write-denied on the source. Run the same command again: it takes the deny back or goes on.`
    }

    default: {
      return undefined
    }
  }
}
