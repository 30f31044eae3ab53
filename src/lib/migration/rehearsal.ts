import {freshState, type MigrationContext} from './context.js'
import {describeEffect} from './effects.js'
import {RecordingEffects} from './effects-recording.js'
import {locate} from './position.js'
import {phases, type RunOutcome, runPhases} from './runner.js'

/**
 * What is still to be done, on the recording twin: an earlier run may have done the most of it, and what it left
 * denied is lifted before anything else.
 * @throws MigratorError as `locate`
 */
export async function rehearseRest(context: MigrationContext): Promise<RunOutcome> {
  const {denyMode} = context.request
  const {facts, timers} = context.state
  const found: MigrationContext = {...context, state: {...freshState(), facts, timers}}
  const position = await locate(found)
  if (position === 'denied') {
    await context.effects.perform({before: `${denyMode}*write`, kind: 'lift-deny'}, context.signal)
  }

  if (position === 'committed') {
    const {commit, dupid, nodeVersion, paused} = found.state
    Object.assign(context.state, {commit, dupid, nodeVersion, paused})
  }

  const first = position === 'committed' ? 'switch' : 'duplicate'
  return runPhases(context, phases.slice(phases.findIndex(({id}) => id === first)))
}

/** What was recorded, for a person. */
export function sentences({request}: MigrationContext, {recorded}: RecordingEffects): string[] {
  return recorded.map((effect) => describeEffect(effect, request.table))
}

/** What a run that is about to begin will do, for whoever must agree. @throws what the rehearsal fails with */
export async function foretell(context: MigrationContext): Promise<string[]> {
  const recording = new RecordingEffects(context.request.table, () => {})
  const {error} = await rehearseRest({
    ...context,
    dryRun: true,
    effects: recording,
    emit() {},
    hints: {...context.hints, settings: [...context.hints.settings]},
    journal: undefined,
    state: {...freshState(), facts: context.state.facts, timers: context.state.timers},
  })
  if (error !== undefined) throw error
  return sentences(context, recording)
}
