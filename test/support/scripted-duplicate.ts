import {MigratorError} from '../../src/lib/errors.js'
import type {MigrationContext} from '../../src/lib/migration/context.js'
import {duplicate} from '../../src/lib/migration/phases/duplicate.js'
import type {MigrationRequest} from '../../src/lib/migration/request.js'
import {runPhases} from '../../src/lib/migration/runner.js'
import {DuplicationStatus} from '../../src/lib/rpc/structs/duplication.js'
import {DUPID, ScriptedMigration} from './scripted-migration.js'

/* What the tests of Duplicate share: a scripted migration in that phase. */

export const noLeader = () => new MigratorError('meta.error', 'no leader', {facts: {err: 'ERR_FORWARD_TO_OTHERS'}})
export const metaSays = (err: string) => new MigratorError('meta.error', err, {facts: {err}})
export const limits = {...new ScriptedMigration().context.request.limits, duplicateMs: 600_000, stallMs: 60_000}

/** Nothing ships yet, and the target has no table. */
export function fresh(
  request: Partial<MigrationRequest> = {},
  more: Partial<MigrationContext> = {},
): ScriptedMigration {
  const script = new ScriptedMigration({limits, ...request}, more)
  script.state.dupid = 0
  script.source.config.set('duplicate_log_batch_bytes', '4096')
  script.afterEffect = (effect) => {
    if (effect.kind === 'set-server-config') script.source.config.set(`${effect.server} ${effect.name}`, effect.value)
    if (effect.kind === 'set-meta-level') script.source.metaLevel = 400
  }

  return script
}

/** Ours, of an earlier run, in this state. */
export function known(status: DuplicationStatus, request: Partial<MigrationRequest> = {}): ScriptedMigration {
  const script = fresh(request)
  script.source.status = status
  script.source.config.set('duplicate_log_batch_bytes', '0')
  script.context.hints.dupid = DUPID
  return script
}

/** Has the state of the duplication change at these times. */
export function goes(script: ScriptedMigration, ...stages: [atMs: number, status: DuplicationStatus][]): void {
  for (const [atMs, status] of stages) {
    script.clock.setTimer(atMs, () => {
      script.source.status = status
    })
  }
}

export async function run(script: ScriptedMigration) {
  const {error, timings} = await script.run(runPhases(script.context, [duplicate]))
  return {error: error as MigratorError | undefined, summary: timings[0]!.summary}
}

export const progress = (script: ScriptedMigration) =>
  script.events.flatMap((event) => (event.type === 'progress' ? [event.progress] : []))
export const texts = (script: ScriptedMigration) => [...new Set(progress(script).map(({text}) => text))]
