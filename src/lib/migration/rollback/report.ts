import {isMigratorError, messageOf} from '../../errors.js'
import type {RollbackState} from './context.js'
import type {RollbackEvent} from './events.js'
import type {RollbackRequest} from './request.js'
import type {RollbackOutcome, RollbackResult, StepTiming} from './result.js'
import type {RollbackView} from './view.js'

/** Collects what a rollback tells into its result. */
export class RollbackReport {
  effects: readonly string[] = []
  private found: string[] = []
  private keptNext: string | undefined
  private recall: string | undefined
  private settingsPutBack: string[] = []
  private source: RollbackResult['source']
  private target: RollbackResult['target']
  private timings: StepTiming[] = []
  private readonly warnings: string[] = []
  private writableAfterMs: number | undefined

  constructor(private readonly request: RollbackRequest) {
    this.source = {cluster: '', metas: request.sourceMetas}
  }

  hear(event: RollbackEvent): void {
    if (event.type === 'warning' && !this.warnings.includes(event.message)) this.warnings.push(event.message)
  }

  observed({appId, source, target}: RollbackView, found: string[]): void {
    this.found = found
    this.source = {...source, tableId: appId}
    if (target) {
      const {cluster, metas, table} = target
      this.target = {cluster, metas, ...(table ? {tableId: table.appId} : {})}
    }
  }

  performed(timings: StepTiming[], {keptNext, settingsPutBack, writableAfterMs}: RollbackState): void {
    this.timings = timings
    this.keptNext = keptNext
    this.settingsPutBack = settingsPutBack
    this.writableAfterMs = writableAfterMs
  }

  /** The target's copy is gone: how it comes back is said to the end. */
  dropped({target}: RollbackView): void {
    this.recall = `For seven days the copy can be recalled. In the Pegasus shell on ${target!.cluster}: recall ${target!.table!.appId} ${this.request.table}`
  }

  finish(outcome: RollbackOutcome): RollbackResult {
    const next = this.nextOf(outcome)
    return {
      effects: [...this.effects],
      found: this.found,
      ...(next === undefined ? {} : {next}),
      outcome,
      schema: 1,
      settingsPutBack: this.settingsPutBack,
      source: this.source,
      steps: this.timings,
      table: this.request.table,
      ...(this.target ? {target: this.target} : {}),
      warnings: this.warnings,
      ...(this.writableAfterMs === undefined ? {} : {writableAfterMs: Math.round(this.writableAfterMs)}),
    }
  }

  failed(error: unknown, outcome: RollbackOutcome): RollbackResult {
    const result = this.finish(outcome)
    result.error = isMigratorError(error)
      ? {code: error.code, facts: error.facts, message: error.message}
      : {code: 'unexpected', facts: {}, message: messageOf(error)}
    // Where writes may be denied the way out counts more than the cause's own advice.
    if (outcome !== 'write-denied' && isMigratorError(error) && error.next !== undefined) result.next = error.next
    return result
  }

  private nextOf(outcome: RollbackOutcome): string | undefined {
    const {table} = this.request
    switch (outcome) {
      case 'duplication-kept': {
        if (this.keptNext !== undefined) return this.keptNext
        return `Writes to ${table} are allowed. To remove the duplication too, run the same command with --brief-deny, or when nobody writes.`
      }

      case 'returned': {
        return `${this.source.cluster} serves ${table} again. Clients that name metas themselves must be pointed at ${this.source.metas.join(',')}. ${this.target?.cluster ?? 'The target'} refuses every client of it; its copy is kept.`
      }

      case 'rolled-back': {
        return this.recall
      }

      case 'stopped': {
        return 'Running the same command again goes on from where things are.'
      }

      case 'write-denied': {
        return `Writes to ${table} may be denied. Run the same command again: it goes on until they are proved to be allowed.`
      }

      default: {
        return undefined
      }
    }
  }
}
